"""The tasks of a job inside one's own DAG."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.task_group import BatchScoringTaskGroup

DOCUMENTS = Path(__file__).parent / "doubling"
DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108

with DAG(
    "example_batch_inline",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):

    @task
    def make_data() -> None:
        folder = DATA / "inline"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(4):
            (folder / f"{number}.csv").write_text(f"x\n{number}\n")

    deploy = BatchDeploymentOperator(
        task_id="deploy",
        documents=[str(DOCUMENTS / "endpoint.yml"), str(DOCUMENTS / "deployment.yml")],
        set_default=True,
    )

    # [START howto_task_group]
    score = BatchScoringTaskGroup(
        "score",
        endpoint="doubling",
        input_data=(DATA / "inline").as_uri(),
        settings={"instance_count": 2},
    )
    # [END howto_task_group]

    [make_data(), deploy] >> score
