"""``python -m demo``: the main job from a model to predictions. ``python -m demo stop`` ends the Airflow it left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo import flights
from demo.airflow_instance import AirflowInstance

ROOT = Path(__file__).parent
STATE = ROOT.parent / ".demo"
FIRST_ROWS = 5


class Demo:
    """The steps of the demo, each timed."""

    def __init__(self) -> None:
        self.data = STATE / "flights"
        self.airflow = AirflowInstance(
            home=STATE / "airflow",
            allowed_input_uris=self.data.as_uri(),
            mlflow_tracking_uri=f"sqlite:///{STATE}/mlflow.db",
        )
        self.seconds: dict[str, float] = {}

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        print(f"\n== {what}", flush=True)
        start = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - start

    def run(self) -> None:
        """Do all of it."""
        STATE.mkdir(exist_ok=True)
        with self._step("the flights of 2013 as daily Parquet files"):
            print(f"{flights.write_daily_files(self.data)} files in {self.data}")
        with self._step("a scikit-learn pipeline, logged and registered in MLflow"):
            print(flights.train_and_log(self.airflow.mlflow_tracking_uri, STATE / "models"))
        with self._step("a real Airflow: scheduler, API server, dag-processor, triggerer"):
            self.airflow.start()
            print(self.airflow.url)
        with self._step("apply the endpoint and its two deployments"):
            documents = ("endpoint.yml", "mlflow-deployment.yml", "script-deployment.yml")
            files = [argument for name in documents for argument in ("-f", str(ROOT / name))]
            self._endpoints("apply", *files)
            self._endpoints("set-default", "flights", "gradient-boosting")
        with self._step("invoke the endpoint (its default deployment: MLflow without code)"):
            default = self._invoke()
        with self._step("invoke the other deployment by its name (a scoring script)"):
            script = self._invoke("--deployment", "with-script")
        for job in (default, script):
            self._show(job)
        print("\nSeconds:")
        for what, seconds in self.seconds.items():
            print(f"  {seconds:6.1f}  {what}")
        print(f"\nThe endpoint's DAG and its runs: {self.airflow.url}/dags/batch_endpoint.flights")
        print("Airflow goes on running. `make demo-stop` ends it, `make clean` removes everything.")

    def _endpoints(self, *arguments: str) -> None:
        command = self.airflow.command("batch-endpoints", *arguments)
        subprocess.run(command, env=self.airflow.environment(), check=True)

    def _invoke(self, *arguments: str) -> dict[str, Any]:
        """Invoke, wait with a progress bar, and return the job."""
        name = f"demo-{time.time_ns() // 1_000_000}"
        self._endpoints("invoke", "flights", "--input", self.data.as_uri(), "--job-name", name, "--wait", *arguments)
        command = self.airflow.command("batch-endpoints", "jobs", "show", "flights", name, "--output", "json")
        shown = subprocess.run(command, env=self.airflow.environment(), check=True, capture_output=True, text=True)
        job = json.loads(shown.stdout)
        return job[0] if isinstance(job, list) else job

    def _show(self, job: dict[str, Any]) -> None:
        """Print where the predictions are, how many, and the first of them."""
        import pyarrow.csv
        import pyarrow.parquet

        folder = Path(job["output"].removeprefix("file://"))
        manifest = json.loads((folder / "manifest.json").read_text())
        counts = manifest["counts"]
        print(f"\n{job['deployment']}: {job['output']}")
        print(
            f"  {counts['listed']} files = {counts['succeeded']} succeeded + {counts['failed']} failed; {counts['rows']:,} rows"
        )
        for file in manifest["files"]:
            path = folder / file["name"]
            read = pyarrow.csv.read_csv if path.suffix == ".csv" else pyarrow.parquet.read_table
            table = read(path).slice(0, FIRST_ROWS).to_pandas()
            print(f"  {file['name']}, {file['bytes']:,} bytes; the first rows:")
            print("\n".join(f"    {line}" for line in table.to_string(index=False).splitlines()))


def main() -> int:
    """Run the demo, or end what it left running."""
    demo = Demo()
    if sys.argv[1:] == ["stop"]:
        demo.airflow.stop()
        return 0
    try:
        demo.run()
    except KeyboardInterrupt:
        print("\nStopping Airflow; `make demo` starts over with what is there.", flush=True)
        demo.airflow.stop()
        return 130
    except subprocess.CalledProcessError as error:
        print(f"\n`{' '.join(map(str, error.cmd[1:4]))} ...` ended with code {error.returncode}.", file=sys.stderr)
        print(
            f"The logs are in {demo.airflow.home}; Airflow goes on running for a look: {demo.airflow.url}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
