"""Train a model, deploy it beside the one in use, compare the two on the same data, and switch when it is no worse."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_batch_endpoints.operators.deployment import BatchDeploymentOperator
from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator

DATA = Path(os.environ.get("BATCH_ENDPOINTS_EXAMPLES", "/tmp/batch-endpoints-examples"))  # noqa: S108
ENDPOINT = "prices"


def deployment(name: str, model: str) -> dict:
    return {
        "name": name,
        "endpoint_name": ENDPOINT,
        "type": "model",
        "model": model,
        "settings": {"output_file_name": "predictions.parquet", "retry_settings": {"max_retries": 1, "timeout": 120}},
    }


with DAG(
    "example_batch_mlops",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "batch-endpoints"],
):

    @task(multiple_outputs=True)
    def train() -> dict[str, str]:
        import mlflow
        import pandas as pd
        from sklearn.linear_model import LinearRegression

        from airflow_batch_endpoints.config import settings

        mlflow.set_tracking_uri(settings().mlflow_tracking_uri)
        client = mlflow.MlflowClient()
        name = "example-prices"
        experiment = client.get_experiment_by_name(name)
        folder = (DATA / "models").as_uri()
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name, folder)
        table = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "price": [10.0, 20.0, 30.0, 40.0]})
        models = {}
        for label, target in (("current", table.price * 0.9), ("candidate", table.price)):
            with mlflow.start_run(experiment_id=experiment_id):
                model = LinearRegression().fit(table[["size"]], target)
                info = mlflow.sklearn.log_model(
                    model,
                    name="model",
                    registered_model_name=name,
                    input_example=table[["size"]],
                    serialization_format="cloudpickle",
                    pip_requirements=["scikit-learn"],
                )
                models[label] = f"models:/{name}/{info.registered_model_version}"
        (DATA / "prices").mkdir(parents=True, exist_ok=True)
        table.to_csv(DATA / "prices" / "known.csv", index=False)
        return models

    trained = train()
    endpoint = BatchDeploymentOperator(
        task_id="endpoint", documents=[{"name": ENDPOINT, "description": "House prices."}]
    )
    current = BatchDeploymentOperator(
        task_id="current", documents=[deployment("current", trained["current"])], set_default=True
    )
    # [START howto_operator_batch_deployment]
    candidate = BatchDeploymentOperator(task_id="candidate", documents=[deployment("candidate", trained["candidate"])])
    # [END howto_operator_batch_deployment]

    jobs = [
        BatchInvokeOperator(
            task_id=f"score_{name}",
            endpoint=ENDPOINT,
            deployment=name,
            input_data=(DATA / "prices").as_uri(),
            deferrable=True,
        )
        for name in ("current", "candidate")
    ]

    @task
    def compare(current: dict, candidate: dict) -> bool:
        import pandas as pd

        known = pd.read_csv(DATA / "prices" / "known.csv")
        errors = []
        for job in (current, candidate):
            predicted = pd.read_parquet(f"{job['output_uri']}/predictions.parquet")
            errors.append(float((predicted["prediction"] - known["price"]).abs().mean()))
        assert errors[1] <= errors[0], f"the candidate is worse: {errors}"
        return True

    # [START howto_hook]
    @task
    def switch(is_better: bool) -> None:
        from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook

        if is_better:
            BatchEndpointHook().set_default(ENDPOINT, "candidate")

    # [END howto_hook]

    endpoint >> current >> candidate >> jobs
    switch(compare(jobs[0].output, jobs[1].output))
