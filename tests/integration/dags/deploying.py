"""A DAG that deploys another DAG, with the parameters of one of its runs as defaults."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator

with DAG("deploying_a_run", schedule=None, start_date=datetime(2024, 1, 1)):
    BatchDeploymentOperator(
        task_id="deploy",
        documents=[
            {
                "name": "from-a-task",
                "endpoint_name": "reports",
                "dag_id": "example_nightly_report",
                "dag_run_id": "{{ dag_run.conf['run'] }}",
            }
        ],
    )
