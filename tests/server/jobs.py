"""Jobs as a scheduler would have left them, for an API server that stands alone: the work is done by real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.clients import body
from tests.server.conftest import ApiServer
from tests.worker.conftest import Job

PICKY = """
def init(): pass
def run(batch):
    if any("2.csv" in path for path in batch): raise ValueError("no twos")
    return [path.rpartition("/")[2] for path in batch]
"""
SETTINGS = {"mini_batch_size": 1, "error_threshold": -1, "retry_settings": {"max_retries": 0}}
SAY = """
import json, sys
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
dag, run_id, state, said = sys.argv[1:]
with create_session() as session:
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run_id))
    for task, key, value in json.loads(said):
        XComModel.set(key=key, value=value, task_id=task, dag_id=dag, run_id=run_id, session=session)
    times = {"start_date": run.queued_at, "end_date": run.queued_at} if state == "success" else {}
    session.execute(DagRun.__table__.update().where(DagRun.id == run.id).values(state=state, **times))
"""


def start(server: ApiServer, endpoint: str, name: str, output: str) -> None:
    """Start a job whose output is known, as if it had been planned."""
    answer = server.rest("POST", f"/v1/endpoints/{endpoint}/jobs", json=body(server.inputs, name=name))
    assert answer.status_code == 201, answer.text
    reference = {
        "endpoint": endpoint, "deployment": "main", "job": name, "input_uri": server.inputs, "output_uri": output,
        "launch": {"compute": {"name": "local", "type": "local"}},
    }  # fmt: skip
    server.python(SAY, f"batch_endpoint.{endpoint}", name, "running", json.dumps([["plan", "job", reference]]))


def work(server: ApiServer, endpoint: str, name: str, output: str, folder: Path, *, publishes: bool) -> None:
    """Do the work of a job, of which one item in four fails."""
    job = Job(folder, name=name, spec={"endpoint": endpoint, "deployment": "main", "output_uri": output})
    job.files({f"{number}.csv": f"{number}\n" for number in range(4)}).script(PICKY)
    results = {}
    for command in ("plan", "score", "publish")[: 3 if publishes else 2]:
        arguments = [] if command == "plan" else ["--output-uri", output, "--job", name]
        arguments += ["--instance", "0"] if command == "score" else []
        done = subprocess.run(
            [sys.executable, "-m", "airflow_batch_endpoints.worker", command, "--submission", "0", *arguments],
            env={
                **os.environ,
                "BATCH_ENDPOINTS_JOB_SPEC": job.specification(SETTINGS),
                "BATCH_ENDPOINTS_RESULT": str(folder / "result.json"),
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        results[command] = json.loads((folder / "result.json").read_text())
    if publishes:
        said = [[command, "summary", results[command]] for command in ("plan", "publish")]
        server.python(SAY, f"batch_endpoint.{endpoint}", name, "success", json.dumps(said))
