"""What a job costs in a real Airflow with its default settings, beside a DAG of three tasks that do nothing.

Runs in the project's own environment (``.venv``), which has Airflow. First with one endpoint, then with two hundred.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from benchmarks.campaign import Campaign, scratch
from demo.airflow_instance import AirflowInstance

RUNS = 5
ENDPOINTS = 200
ENDPOINT, NOTHING = "tiny", "nothing"
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 300
ROWS = 10

_NOTHING = f"""
from airflow.sdk import DAG, task
with DAG("{NOTHING}", schedule=None):
    @task
    def plan(): pass
    @task
    def score(): pass
    @task
    def publish(): pass
    plan() >> score() >> publish()
"""
_SCRIPT = "def init(): pass\ndef run(mini_batch): return [len(open(path).readlines()) for path in mini_batch]\n"


class Measured(AirflowInstance):
    """An Airflow to measure jobs in."""

    def apply(self, folder: Path, names: list[str]) -> None:
        """Apply endpoints, each with a deployment that runs a script."""
        files = []
        (folder / "code").mkdir(parents=True, exist_ok=True)
        (folder / "code" / "score.py").write_text(_SCRIPT)
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "weights.txt").write_text("1\n")
        for name in names:
            deployment = {
                "name": "main", "endpoint_name": name, "type": "model", "model": {"path": "model"},
                "code_configuration": {"code": "code", "scoring_script": "score.py"},
            }  # fmt: skip
            for kind, document in (("endpoint", {"name": name}), ("deployment", deployment)):
                path = folder / f"{name}-{kind}.yml"
                path.write_text(json.dumps(document))
                files += ["-f", str(path)]
        # One deployment can be made the default while applying; the many are there, and are not invoked.
        default = ["--set-default"] if len(names) == 1 else []
        command = self.command("batch-endpoints", "apply", *files, *default)
        subprocess.run(command, env=self.environment(), check=True, stdout=subprocess.DEVNULL)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call Airflow's REST API."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        return _ask(urllib.request.Request(f"{self.url}/api/v2/{path}", method=method, data=data, headers=headers))

    @cached_property
    def _token(self) -> str:
        return str(_ask(urllib.request.Request(f"{self.url}/auth/token"))["access_token"])

    def run(self, dag: str, run: str, conf: dict[str, Any]) -> dict[str, float]:
        """Trigger a DAG, wait for success, and return how long it and its tasks took."""
        asked, start = self._requests(), time.time()
        self.api("POST", f"dags/{dag}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": conf})
        state: dict[str, Any] = {}
        while state.get("state") not in ("success", "failed"):
            if time.time() - start > PATIENCE_SECONDS:
                raise SystemExit(f"{dag} {run} did not end in {PATIENCE_SECONDS} s: {state}")
            time.sleep(POLL_SECONDS)
            state = self.api("GET", f"dags/{dag}/dagRuns/{run}")
        if state["state"] != "success":
            raise SystemExit(f"{dag} {run} failed; see {self.home}/logs")
        tasks = self.api("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {
            "seconds": _time(state["end_date"]) - start,
            "task_seconds": sum(_time(task["end_date"]) - _time(task["start_date"]) for task in tasks) / len(tasks),
            "queued_seconds": sum(_time(task["start_date"]) - _time(task["queued_when"]) for task in tasks)
            / len(tasks),
            "requests": self._requests() - asked,
        }

    def _requests(self) -> int:
        """Requests of tasks, the dag-processor and the triggerer to the execution API so far."""
        return len(re.findall(r"path=/execution/", (self.home / "api-server.log").read_text(errors="replace")))

    def parse_seconds(self) -> float:
        """How long the file with the endpoints took to parse, the last time."""
        return float(self.api("GET", f"dags/batch_endpoint.{ENDPOINT}")["last_parse_duration"])

    def prepare_dag(self, dag: str) -> None:
        """Wait until a DAG is there, and let it run."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while dag not in {found["dag_id"] for found in self.api("GET", f"dags?dag_id_pattern={dag}&limit=100")["dags"]}:
            if time.monotonic() > deadline:
                raise SystemExit(f"the DAG {dag} did not appear; see {self.home}")
            time.sleep(POLL_SECONDS)
        self.api("PATCH", f"dags/{dag}", {"is_paused": False})


@retry(
    retry=retry_if_exception_type(OSError), stop=stop_after_delay(PATIENCE_SECONDS), wait=wait_fixed(1), reraise=True
)
def _ask(request: urllib.request.Request) -> Any:
    """Ask the API server. On SQLite it answers 500, late or not at all while another process holds the lock."""
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.CONFLICT and request.method == "POST":
            return {}  # an earlier try got through
        raise


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def measure(campaign: Campaign) -> None:
    """Measure what is not measured yet: jobs and no-op runs in turn, with one endpoint and with many."""
    campaign.begin()
    done = {(result["endpoints"], result["dag"], result["round"]) for result in campaign.results("airflow")}
    with scratch("airflow") as folder:
        (folder / "in").mkdir()
        (folder / "in" / "rows.csv").write_text("1\n" * ROWS)
        airflow = Measured(
            folder / "home", allowed_input_uris=folder.as_uri(), mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db"
        )
        (airflow.home / "dags").mkdir(parents=True)
        (airflow.home / "dags" / "nothing.py").write_text(_NOTHING)
        airflow.start()
        try:
            airflow.apply(folder / "documents", [ENDPOINT])
            for dag in (f"batch_endpoint.{ENDPOINT}", NOTHING):
                airflow.prepare_dag(dag)
            for endpoints in (1, ENDPOINTS):
                if endpoints > 1:
                    airflow.apply(folder / "documents", [f"other-{number}" for number in range(1, endpoints)])
                # The first run of each pays for what is warm afterwards.
                for number in range(RUNS + 1):
                    for dag in (f"batch_endpoint.{ENDPOINT}", NOTHING):
                        if (endpoints, dag, number) in done:
                            continue
                        conf = {} if dag == NOTHING else {"input": (folder / "in").as_uri()}
                        result = airflow.run(dag, f"run-{endpoints}-{number}", conf)
                        result |= {
                            "endpoints": endpoints,
                            "dag": dag,
                            "round": number,
                            "parse_seconds": airflow.parse_seconds(),
                        }
                        campaign.keep("airflow", result)
                        print(result, flush=True)
        finally:
            airflow.stop()
