"""Give a DAG that is there already a stable endpoint: its jobs are runs of that DAG."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, Param, task

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108

# [START howto_dag]
with DAG(
    "example_nightly_report",  # it knows nothing of batch endpoints
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    params={"day": Param("2024-01-01", type="string"), "seconds": Param(0, type="number", minimum=0)},
    tags=["example", "batch-endpoints"],
):

    @task
    def report(params: dict) -> str:
        import time

        time.sleep(params["seconds"])
        folder = DATA / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{params['day']}.txt").write_text("all is well\n")
        return params["day"]

    report()

with DAG(
    "example_batch_other_dag",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):
    deploy = BatchDeploymentOperator(
        task_id="deploy",
        documents=[
            {"name": "reports", "description": "Reports of single days."},
            {
                "name": "nightly",
                "endpoint_name": "reports",
                "dag_id": "example_nightly_report",
                "inputs": {"day": "2024-01-01"},  # defaults
            },
        ],
        set_default=True,
    )
    deploy >> BatchInvokeOperator(
        task_id="report", endpoint="reports", inputs={"day": "{{ dag_run.run_after | ds }}"}, deferrable=True
    )
# [END howto_dag]
