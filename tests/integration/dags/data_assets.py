"""DAGs that run for new versions of data assets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, dag, task

from airflow_batch_endpoints.assets import data_asset
from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

START = datetime(2024, 1, 1)

with DAG("on_arrivals", schedule=[data_asset("arrivals")], start_date=START, catchup=False):
    BatchInvokeOperator(
        task_id="invoke",
        endpoint="arrivals",
        input_data="{{ (triggering_asset_events.values() | first | last).extra['reference'] }}",
        poll_interval=0.5,
    )

with DAG("next_arrivals", schedule=None, start_date=START):
    path = "azureml://datastores/harbour/paths/{{ dag_run.conf['folder'] }}"
    BatchDeploymentOperator(task_id="apply", documents=[{"name": "arrivals", "type": "uri_folder", "path": path}])


@dag(schedule=[data_asset("arrival-scores")], start_date=START, catchup=False)
def on_arrival_scores():
    @task
    def told(triggering_asset_events: Any = None) -> dict[str, Any]:
        (event,) = triggering_asset_events[data_asset("arrival-scores")]
        return event.extra

    told()


on_arrival_scores()
