"""Score one partition a day, and start another DAG whenever predictions are published."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, AssetAlias, task

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

DOCUMENTS = Path(__file__).parent / "doubling"
DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108
DAY = "{{ dag_run.run_after | ds }}"

with DAG(
    "example_batch_etl",
    schedule="@daily",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):

    @task
    def extract(day: str) -> None:
        folder = DATA / "partitions" / day
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part-0.csv").write_text("x\n1\n2\n3\n")

    deploy = BatchDeploymentOperator(
        task_id="deploy",
        documents=[str(DOCUMENTS / "endpoint.yml"), str(DOCUMENTS / "deployment.yml")],
        set_default=True,
    )

    # [START howto_partitions]
    score = BatchInvokeOperator(
        task_id="score",
        endpoint="doubling",
        input_data=f"{DATA.as_uri()}/partitions/{DAY}",
    )
    # [END howto_partitions]

    [extract(DAY), deploy] >> score

# [START howto_asset]
PREDICTIONS = AssetAlias("batch_endpoint.doubling")  # every output of the endpoint

with DAG(
    "example_batch_report",
    schedule=[PREDICTIONS],
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):

    @task
    def report(triggering_asset_events=None) -> list[str]:
        events = triggering_asset_events[PREDICTIONS]
        lines = [f"{event.asset.uri}: {event.extra['rows']} rows of job {event.extra['job']}" for event in events]
        assert lines
        return lines

    report()
# [END howto_asset]
