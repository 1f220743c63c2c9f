"""Score every new version of a data asset, and make the predictions a new version of another."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_batch_endpoints.assets import data_asset
from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

DOCUMENTS = Path(__file__).parent / "doubling"
DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108
START = datetime(2024, 1, 1)
TAGS = ["example", "batch-endpoints"]

with DAG("example_batch_new_data", schedule=None, start_date=START, catchup=False, tags=TAGS):

    @task
    def extract(run: str) -> str:
        folder = DATA / "numbers" / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part-0.csv").write_text("x\n1\n2\n3\n")
        return folder.as_uri()

    deploy = BatchDeploymentOperator(
        task_id="deploy",
        documents=[str(DOCUMENTS / "endpoint.yml"), str(DOCUMENTS / "deployment.yml")],
        set_default=True,
    )

    # [START howto_new_version]
    new_version = BatchDeploymentOperator(
        task_id="new_version",
        documents=[{"name": "example-numbers", "type": "uri_folder", "path": "{{ ti.xcom_pull('extract') }}"}],
    )
    # [END howto_new_version]

    [extract("{{ run_id }}"), deploy] >> new_version

# [START howto_on_data]
with DAG(
    "example_batch_on_new_data",
    schedule=[data_asset("example-numbers")],  # every new version of it
    start_date=START,
    catchup=False,
    tags=TAGS,
):
    BatchInvokeOperator(
        task_id="score",
        endpoint="doubling",
        input_data="{{ (triggering_asset_events.values() | first | last).extra['reference'] }}",
        outputs={"doubled": {"name": "example-doubled"}},  # the predictions become a new version of this one
    )
# [END howto_on_data]

with DAG(
    "example_batch_on_new_scores",
    schedule=[data_asset("example-doubled")],
    start_date=START,
    catchup=False,
    tags=TAGS,
):

    @task
    def total(triggering_asset_events=None) -> int:
        import pandas as pd

        events = triggering_asset_events[data_asset("example-doubled")]
        return int(sum(pd.read_csv(event.extra["path"])["doubled"].sum() for event in events))

    total()
