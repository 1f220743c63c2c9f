from __future__ import annotations

import json

import pytest

from tests.integration.conftest import RealAirflow

NAMES = ("example-numbers", "example-doubled")
"""Data assets of the example."""
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
    assert json.loads(airflow.client("show", "prices", "-o", "json").stdout)["default"] == "candidate"


def test_new_data_are_scored_and_the_predictions_become_data(airflow: RealAirflow) -> None:
    dag_id = "example_batch_on_new_scores"
    for waiting in ("example_batch_on_new_data", dag_id):
        airflow.eventually(lambda waiting=waiting: airflow.has_dag(waiting))
        airflow.api("PATCH", f"dags/{waiting}", {"is_paused": False})
    airflow.trigger("example_batch_new_data", "example")
    airflow.wait("example_batch_new_data", "example", "success")
    (run,) = airflow.eventually(lambda: airflow.runs(dag_id))
    airflow.wait(dag_id, run, "success")
    path = f"dags/{dag_id}/dagRuns/{run}/taskInstances/total/xcomEntries/return_value"
    assert airflow.api("GET", path)["value"] == 2 * (1 + 2 + 3)
    versions = {name: json.loads(airflow.client("assets", "show", "data", name, "-o", "json").stdout) for name in NAMES}
    assert {name: version["version"] for name, version in versions.items()} == dict.fromkeys(NAMES, "1")
    assert versions["example-numbers"]["path"].endswith("numbers/example")
