"""DAGs that invoke an endpoint in every way the tests look at."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset

from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator
from airflow_batch_endpoints.sensors.job import BatchJobSensor

INPUT = f"{os.environ.get('BATCH_ENDPOINTS_EXAMPLES', '/nowhere')}/" + "{{ dag_run.conf.get('folder', 'small') }}"

for how, options in {
    "waiting": {"deferrable": False},
    "deferrable": {"deferrable": True},
    "starting": {"wait_for_completion": False},
    "on_asset": {"deferrable": True},
    "limited": {"deferrable": True, "execution_timeout": timedelta(seconds=20), "retries": 0},
}.items():
    schedule = [Asset(name="invoking", uri="x://invoking")] if how == "on_asset" else None
    with DAG(f"invoking_{how}", schedule=schedule, start_date=datetime(2024, 1, 1), catchup=False) as dag:
        invoke = BatchInvokeOperator(
            task_id="invoke",
            endpoint="invoked",
            input_data=INPUT,
            poll_interval=0.5,
            **{"retries": 2, "retry_delay": timedelta(seconds=1), **options},
        )
        if how == "starting":
            wait = BatchJobSensor(
                task_id="wait",
                endpoint="invoked",
                job="{{ ti.xcom_pull('invoke')['job'] }}",
                poke_interval=1,
                deferrable=True,
            )
            invoke >> wait
    globals()[dag.dag_id] = dag

with DAG("invoking_nothing", schedule=None, start_date=datetime(2024, 1, 1), catchup=False) as invoking_nothing:
    for how in ("poke", "reschedule", "deferrable"):
        BatchJobSensor(
            task_id=how,
            endpoint="invoked",
            job="{{ dag_run.conf['job'] }}",
            poke_interval=1,
            mode="reschedule" if how == "reschedule" else "poke",
            deferrable=how == "deferrable",
        )
    BatchJobSensor(
        task_id="impatient",
        endpoint="invoked",
        job="unborn",
        poke_interval=1,
        timeout=5,
        soft_fail=True,
        deferrable=True,
    )
