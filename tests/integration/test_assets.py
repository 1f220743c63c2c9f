from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(600)]

WHO = "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) + ' ' + os.environ['AWS_ACCESS_KEY_ID'] for p in b]\n"
SECRET = "c2VjcmV0LW9mLXRoZS1oYXJib3Vy"


def test_a_new_version_runs_the_dags_that_wait_for_it(airflow: RealAirflow) -> None:
    """From documents to predictions that are a data asset themselves, by an event for each version."""
    documents = airflow.script_endpoint("arrivals", WHO, output_asset="arrival-scores")
    waiting = ("on_arrivals", "next_arrivals", "on_arrival_scores")
    airflow.eventually(lambda: all(airflow.has_dag(dag_id) for dag_id in waiting))
    for dag_id in waiting:
        airflow.api("PATCH", f"dags/{dag_id}", {"is_paused": False})
    connection = {"connection_id": "harbour", "conn_type": "aws", "login": "harbour-key", "password": SECRET}
    airflow.api("POST", "connections", connection)
    airflow.inputs("harbour/day1", 2)
    airflow.inputs("harbour/day2", 3)
    store = {"name": "harbour", "type": "uri", "uri": (airflow.data / "harbour").as_uri(), "conn_id": "harbour"}
    data = {"name": "arrivals", "type": "uri_folder", "path": "azureml://datastores/harbour/paths/day1"}
    for name, document in {"store": store, "data": data}.items():
        (documents / f"{name}.yml").write_text(json.dumps(document))
    done = airflow.cli("apply", "-f", str(documents / "store.yml"), "-f", str(documents / "data.yml"), "-o", "json")
    assert [each["result"] for each in json.loads(done.stdout)] == ["created", "created"]
    first = scores(airflow, 1)
    assert (first["reference"], first["type"]) == ("azureml:arrival-scores:1", "uri_file")
    predictions = Path(str(first["path"]).removeprefix("file://")).read_text().splitlines()
    assert [line.strip('"') for line in predictions[1:]] == ["000.csv harbour-key", "001.csv harbour-key"]
    (job,) = json.loads(airflow.cli("jobs", "list", "arrivals", "-o", "json").stdout)
    assert job["input"] == (airflow.data / "harbour" / "day1").as_uri()
    manifest = json.loads(Path(job["output"].removeprefix("file://"), "manifest.json").read_text())
    assert manifest["assets"] == ["azureml:arrivals:1"]

    # The next version comes from a task, the same again is none.
    for run in ("new", "again"):
        airflow.trigger("next_arrivals", run, {"folder": "day2"})
        airflow.wait("next_arrivals", run, "success")
    second = scores(airflow, 2)
    assert second["reference"] == "azureml:arrival-scores:2"
    assert len(Path(str(second["path"]).removeprefix("file://")).read_text().splitlines()) == 1 + 3
    assert len(airflow.runs("on_arrivals")) == 2
    assert json.loads(airflow.cli("assets", "show", "data", "arrivals", "-o", "json").stdout)["path"].endswith("day2")

    # The password went from the connection into the workers' environment, and nowhere else.
    assert SECRET not in "".join(path.read_text(errors="replace") for path in (airflow.home / "logs").rglob("*.log"))
    assert SECRET not in json.dumps(airflow.api("GET", "variables?limit=1000"))
    for run in airflow.runs("batch_endpoint.arrivals"):
        for task in airflow.tasks("batch_endpoint.arrivals", run):
            path = f"dags/batch_endpoint.arrivals/dagRuns/{run}/taskInstances/{task['task_id']}/xcomEntries"
            for entry in airflow.api("GET", f"{path}?map_index={task['map_index']}")["xcom_entries"]:
                kept = airflow.api("GET", f"{path}/{entry['key']}?map_index={task['map_index']}")
                assert SECRET not in json.dumps(kept)


def scores(airflow: RealAirflow, number: int) -> dict[str, str]:
    """Return what the event said that a version of the scores made, once that many DAG runs have ended well."""
    airflow.eventually(lambda: len(airflow.runs("on_arrival_scores")) >= number, 240)
    newest = sorted(airflow.runs("on_arrival_scores"))[-1]
    airflow.wait("on_arrival_scores", newest, "success")
    path = f"dags/on_arrival_scores/dagRuns/{newest}/taskInstances/told/xcomEntries/return_value"
    return dict(airflow.api("GET", path)["value"])
