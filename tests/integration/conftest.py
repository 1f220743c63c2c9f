"""A real Airflow for the tests: scheduler, API server, dag-processor, triggerer and real task processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.airflow_instance import free_port
from tests.clients import WithUsers

EXAMPLES = Path(__file__).parents[2] / "example_dags"
DAGS = Path(__file__).parent / "dags"
FINAL = ("success", "failed")


@dataclass
class RealAirflow(WithUsers):
    """An Airflow that looks more often than one should, so that tests need not wait."""

    def environment(self) -> dict[str, str]:
        options = {
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
            "BATCH_ENDPOINTS_EXAMPLES": str(self.data),
        }
        return super().environment() | options

    def add_dags(self, folder: Path) -> None:
        """Put the DAGs of a folder, with what lies beside them, into the dags folder."""
        dags = self.home / "dags"
        dags.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.suffix == ".py" or path.is_dir():
                (dags / path.name).symlink_to(path)

    def cli(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``airflow batch-endpoints``."""
        return self.completed(self.command("batch-endpoints", *arguments), code)

    def job(self, endpoint: str, name: str) -> dict[str, Any]:
        return dict(json.loads(self.client("jobs", "show", endpoint, name, "-o", "json").stdout))

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
        self.eventually(lambda: self.has_dag(dag_id))
        self.api("PATCH", f"dags/{dag_id}", {"is_paused": False})
        self.api("POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}})

    def emit(self, asset: str, dag_id: str) -> None:
        """Make an event of an asset that a DAG is scheduled on."""
        self.eventually(lambda: self.has_dag(dag_id))
        self.api("PATCH", f"dags/{dag_id}", {"is_paused": False})
        (found,) = self.api("GET", f"assets?name_pattern={asset}")["assets"]
        self.api("POST", "assets/events", {"asset_id": found["id"]})

    def has_dag(self, dag_id: str) -> bool:
        try:
            self.api("GET", f"dags/{dag_id}")
        except AssertionError:
            return False
        return True

    @property
    def outputs(self) -> Path:
        return self.home / "batch_endpoints" / "outputs"

    def runs(self, dag_id: str) -> set[str]:
        return {run["dag_run_id"] for run in self.api("GET", f"dags/{dag_id}/dagRuns?limit=100")["dag_runs"]}

    def state(self, dag_id: str, run_id: str) -> str:
        return str(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait(self, dag_id: str, run_id: str, *states: str, seconds: float = 300) -> str:
        """Wait until a run has ended, in one of the states that are expected."""
        wanted, found = states or FINAL, ""

        def has_ended() -> bool:
            nonlocal found
            found = self.state(dag_id, run_id)
            return found in (*wanted, *FINAL)

        try:
            self.eventually(has_ended, seconds)
            assert found in wanted
        except AssertionError:
            logs = self.log_ends(dag_id, run_id)
            raise AssertionError(f"{dag_id} {run_id} is {found}, not {wanted}\n{logs}") from None
        return found

    def clear(self, dag_id: str, run_id: str) -> None:
        self.api("POST", f"dags/{dag_id}/dagRuns/{run_id}/clear", {"dry_run": False})

    def fail(self, dag_id: str, run_id: str) -> None:
        self.api("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return list(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        return int(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")["try_number"])

    def logs(self, dag_id: str, run_id: str) -> str:
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
        return "\n".join(f"--- {path}\n{path.read_text()}" for path in sorted(folder.rglob("*.log")))

    def log_ends(self, dag_id: str, run_id: str) -> str:
        """Return the ends of the logs, for the message of a test that failed."""
        return "\n--- ".join(log[-3000:] for log in self.logs(dag_id, run_id).split("\n--- "))

    def eventually(self, what: Callable[[], Any], seconds: float = 240) -> Any:
        """Wait for something. The machine may be busy with other tests; what is slow is not wrong."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.3)
        return found

    def workers(self, command: str, job: str = "") -> list[int]:
        """Return the processes of this instance that run a command of the worker."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                outside = f"{self.home}".encode() not in b"\0".join(arguments)
            except OSError:
                continue
            if b"airflow_batch_endpoints.worker" in arguments and command.encode() in arguments:
                if (command != "plan" and outside) or (job and job.encode() not in arguments):
                    continue
                found.append(int(folder.name))
        return found

    def kill_component(self, name: str) -> None:
        os.killpg(self._components()[name][0], signal.SIGKILL)

    def inputs(self, name: str, files: int) -> Path:
        folder = self.data / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            (folder / f"{number:03}.csv").write_text(f"{number}\n")
        return folder

    def script_endpoint(self, name: str, source: str, compute: str = "local", **settings: Any) -> Path:
        """Apply an endpoint with a deployment that runs a script, and return the folder of its documents."""
        folder = self.data / "documents" / name
        (folder / "code").mkdir(parents=True, exist_ok=True)
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "weights.txt").write_text("1\n")
        (folder / "code" / "score.py").write_text(source)
        (folder / "endpoint.yml").write_text(json.dumps({"name": name, "description": f"the endpoint {name}"}))
        deployment = {
            "name": "main", "endpoint_name": name, "type": "model", "model": {"path": "model"},
            "code_configuration": {"code": "code", "scoring_script": "score.py"}, "settings": settings,
            "compute": compute,
        }  # fmt: skip
        (folder / "deployment.yml").write_text(json.dumps(deployment))
        self.client("apply", "-f", str(folder / "endpoint.yml"), "-f", str(folder / "deployment.yml"), "--set-default")
        return folder


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A server that models are registered in, with its pages."""
    folder.mkdir()
    url = f"http://127.0.0.1:{free_port(0)}"
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1",
                "--port", url.rpartition(":")[2], "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
                "--artifacts-destination", str(folder / "artifacts"),
            ],
            stdout=log, stderr=log, start_new_session=True, 
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
        try:
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    """One Airflow for all tests of the session."""
    root = tmp_path_factory.mktemp("airflow")
    data = root / "data"
    data.mkdir()
    with mlflow_server(root / "mlflow") as mlflow:
        instance = RealAirflow(
            home=root / "home", allowed_input_uris=data.as_uri(), mlflow_tracking_uri=mlflow, data=data
        )
        instance.add_dags(EXAMPLES)
        instance.add_dags(DAGS)
        try:
            instance.start()
            instance.eventually(lambda: is_well(f"{mlflow}/health"))
            yield instance
        finally:
            instance.stop()


def is_well(url: str) -> bool:
    """Whether a server answers."""
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
