"""Train a model with a pipeline behind one endpoint, and score customers with a pipeline behind another."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

DOCUMENTS = Path(__file__).parent / "churn"
DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108

with DAG(
    "example_batch_pipeline",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):

    @task
    def customers() -> None:
        folder = DATA / "customers"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f"{months},{calls},{int(calls > months)}" for months in range(1, 9) for calls in (0, 4, 9)]
        for number, part in enumerate((rows[:12], rows[12:])):
            (folder / f"{number}.csv").write_text("\n".join(["months,calls,left", *part, ""]))

    deploy_training = BatchDeploymentOperator(
        task_id="deploy_training",
        documents=[str(DOCUMENTS / "training-endpoint.yml"), str(DOCUMENTS / "training-deployment.yml")],
        set_default=True,
    )
    deploy_scoring = BatchDeploymentOperator(
        task_id="deploy_scoring",
        documents=[str(DOCUMENTS / "endpoint.yml"), str(DOCUMENTS / "deployment.yml")],
        set_default=True,
    )

    # [START howto_operator_batch_invoke_pipeline]
    train = BatchInvokeOperator(
        task_id="train",
        endpoint="churn-training",
        inputs={"customers": {"type": "uri_folder", "path": (DATA / "customers").as_uri()}, "strength": 2.0},
        deferrable=True,
    )
    score = BatchInvokeOperator(
        task_id="score",
        endpoint="churn",
        inputs={
            "customers": {"type": "uri_folder", "path": (DATA / "customers").as_uri()},
            "transformations": {
                "type": "custom_model",
                "path": "{{ ti.xcom_pull('train')['outputs']['transformations'] }}",
            },
            "model": {"type": "mlflow_model", "path": "{{ ti.xcom_pull('train')['outputs']['model'] }}"},
        },
        deferrable=True,
    )
    # [END howto_operator_batch_invoke_pipeline]

    @task
    def check(job: dict) -> int:
        import pandas as pd

        scored = pd.read_csv(f"{job['outputs']['scores']}/predictions.csv")
        assert (scored["prediction"] == scored["left"]).mean() > 0.8
        return len(scored)

    [customers(), deploy_training] >> train >> score
    deploy_scoring >> score
    check(score.output)
