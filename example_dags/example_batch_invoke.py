"""Apply an endpoint and invoke it. Needs BATCH_ENDPOINTS_EXAMPLES: a folder within ``allowed_input_uris``."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

DOCUMENTS = Path(__file__).parent / "doubling"
DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108

with DAG(
    "example_batch_invoke",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):

    @task
    def make_data() -> str:
        folder = DATA / "numbers"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(5):
            (folder / f"{number}.csv").write_text(f"x\n{number}\n{number + 10}\n")
        return folder.as_uri()

    deploy = BatchDeploymentOperator(
        task_id="deploy",
        documents=[str(DOCUMENTS / "endpoint.yml"), str(DOCUMENTS / "deployment.yml")],
        set_default=True,
    )

    # [START howto_operator_batch_invoke]
    score = BatchInvokeOperator(
        task_id="score",
        endpoint="doubling",
        input_data="{{ ti.xcom_pull('make_data') }}",
        settings={"mini_batch_size": 3},
        deferrable=True,
    )
    # [END howto_operator_batch_invoke]

    @task
    def check(job: dict) -> None:
        assert job["state"] == "Completed"
        assert job["rows"] == 10

    [make_data(), deploy] >> score
    check(score.output)
