from __future__ import annotations

import json

import pytest

from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", ["invoke", "etl", "mlops", "inline"])
def test_example(airflow: RealAirflow, name: str) -> None:
    dag_id, run = f"example_batch_{name}", "example"
    airflow.trigger(dag_id, run)
    airflow.wait(dag_id, run, "success", seconds=300)


def test_predictions_start_the_dag_scheduled_on_them(airflow: RealAirflow) -> None:
    dag_id = "example_batch_report"
    airflow.eventually(lambda: airflow.has_dag(dag_id))
    airflow.api("PATCH", f"dags/{dag_id}", {"is_paused": False})
    airflow.trigger("example_batch_etl", "reported")
    airflow.wait("example_batch_etl", "reported", "success")
    airflow.eventually(
        lambda: any(run["state"] == "success" for run in airflow.api("GET", f"dags/{dag_id}/dagRuns")["dag_runs"])
    )


def test_mlops_left_the_better_deployment_as_default(airflow: RealAirflow) -> None:
    assert json.loads(airflow.cli("show", "prices", "-o", "json").stdout)["default"] == "candidate"
