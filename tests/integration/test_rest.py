from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import body, upload
from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PICKY = (
    "import os\ndef init(): pass\ndef run(b):\n    if any('003' in p for p in b): raise ValueError('no threes')\n"
    "    return [os.path.basename(p) for p in b]\n"
)
SLOW = "import time\ndef init(): pass\ndef run(b):\n    time.sleep(1)\n    return list(b)\n"


def apply(airflow: RealAirflow, name: str, source: str, **settings: Any) -> None:
    answer = airflow.rest("POST", "/v1/apply", files=upload(name, source, **settings), data={"set_default": "true"})
    assert answer.status_code == 200, answer.text
    airflow.eventually(lambda: airflow.rest("GET", f"/v1/endpoints/{name}").json()["is_invokable"])


def finished(airflow: RealAirflow, endpoint: str, job: str) -> dict[str, Any]:
    path = f"/v1/endpoints/{endpoint}/jobs/{job}"

    def ended() -> Any:
        found = airflow.rest("GET", path).json()
        return found if found["state"] in ("Completed", "Failed", "Canceled") else None

    return dict(airflow.eventually(ended))


@pytest.fixture(scope="module")
def picky(airflow: RealAirflow) -> str:
    apply(airflow, "restpicky", PICKY, mini_batch_size=1, retry_settings={"max_retries": 0})
    airflow.inputs("small", 7)
    return "restpicky"


def test_a_job_from_invocation_to_predictions(airflow: RealAirflow, picky: str) -> None:
    uri = (airflow.data / "small").as_uri()
    answer = airflow.rest("POST", f"/v1/endpoints/{picky}/jobs", json=body(uri), role="user")
    assert answer.status_code == 201, answer.text
    started = answer.json()
    assert started["properties"]["status"] == started["state"]
    assert started["invoker"] == "user"
    job = finished(airflow, picky, started["id"].rpartition("/")[2])
    assert job["state"] == "Completed", job
    assert {name: job["counts"][name] for name in ("listed", "succeeded", "failed")} == {
        "listed": 7, "succeeded": 6, "failed": 1,
    }  # fmt: skip
    assert [instance["instance"] for instance in job["instances"]] == [0]
    path = f"/v1/endpoints/{picky}/jobs/{job['name']}"

    outputs = airflow.rest("GET", f"{path}/outputs", role="viewer").json()
    assert [file["name"] for file in outputs["files"]] == ["predictions.csv"]
    content = airflow.rest("GET", f"{path}/outputs/predictions.csv", role="viewer")
    assert content.content == Path(job["output"].removeprefix("file://"), "predictions.csv").read_bytes()
    assert content.headers["content-disposition"].startswith("attachment")
    assert airflow.rest("GET", f"{path}/outputs/_batch/job.json").status_code == 404
    assert airflow.rest("GET", f"{path}/outputs/..%2F..%2Fairflow.db").status_code == 404

    preview = airflow.rest("GET", f"{path}/preview?rows=3", role="viewer").json()
    assert (preview["file"], len(preview["rows"]), preview["is_complete"]) == ("predictions.csv", 3, False)
    letters = airflow.rest("GET", f"{path}/dead-letters", role="viewer").json()
    assert letters["total"] == 1
    assert (letters["groups"][0]["error_type"], letters["groups"][0]["message"]) == ("ValueError", "no threes")
    assert letters["groups"][0]["items"][0].endswith("003.csv")
    documents = airflow.rest("GET", f"{path}/documents", role="op").json()
    assert documents["deployment"]["document"]["settings"]["mini_batch_size"] == 1
    assert documents["launch"]["compute"]["name"] == "local"
    again = airflow.rest(
        "POST", f"/v1/endpoints/{picky}/jobs", json={"properties": {"replayOf": job["name"], "name": "again"}}
    )
    assert (again.status_code, again.json()["replay_of"]) == (201, job["name"]), again.text
    logs = airflow.rest("GET", f"{path}/logs", role="viewer")
    assert "--- plan, try 1" in logs.text
    assert "dead letter" in logs.text
    assert "--- score instance 0" in airflow.rest("GET", f"{path}/logs?task=score&instance=0").text


def test_canceled_is_not_failed_also_after_a_rebuild(airflow: RealAirflow) -> None:
    apply(airflow, "restslow", SLOW, mini_batch_size=1)
    airflow.inputs("restsome", 60)
    path = "/v1/endpoints/restslow/jobs"
    job = airflow.rest("POST", path, json=body((airflow.data / "restsome").as_uri()), role="user").json()["name"]
    airflow.eventually(lambda: airflow.rest("GET", f"{path}/{job}").json()["state"] == "Running")
    assert airflow.rest("POST", f"{path}/{job}/cancel", role="viewer").status_code == 403
    canceled = airflow.rest("POST", f"{path}/{job}/cancel", role="user").json()
    assert (canceled["state"], canceled["error"]) == ("Canceled", "canceled by user")
    assert airflow.rest("POST", f"{path}/{job}/cancel", role="user").status_code == 409
    failed = airflow.rest("POST", path, json=body((airflow.data / "none").as_uri())).json()["name"]
    assert finished(airflow, "restslow", failed)["state"] == "Failed"
    assert airflow.cli("jobs", "sync").stdout.startswith("looked at ")
    states = {entry["name"]: entry["state"] for entry in airflow.rest("GET", path).json()["items"]}
    assert states == {job: "Canceled", failed: "Failed"}
    airflow.eventually(lambda: not airflow.workers("score", job))


def test_a_hidden_storage_says_so(airflow: RealAirflow, picky: str) -> None:
    uri = (airflow.data / "small").as_uri()
    job = airflow.rest("POST", f"/v1/endpoints/{picky}/jobs", json=body(uri, name="vanishing")).json()["name"]
    found = finished(airflow, picky, job)
    folder = Path(found["output"].removeprefix("file://"))
    secret = airflow.home / "jwt.secret"
    (folder / "predictions.csv").unlink()
    (folder / "predictions.csv").symlink_to(secret)
    path = f"/v1/endpoints/{picky}/jobs/{job}"
    for what in ("outputs/predictions.csv", "preview"):
        answer = airflow.rest("GET", f"{path}/{what}")
        assert (answer.status_code, "allowed_output_uris" in answer.text) == (400, True)
        assert secret.read_text() not in answer.text
    (folder / "manifest.json").unlink()
    assert airflow.rest("GET", f"{path}/outputs").status_code == 409


def test_who_clears_a_run_does_not_change_whose_it_is(airflow: RealAirflow) -> None:
    compute = {
        "type": "kubernetes", "kubernetes_conn_id": "nowhere", "namespace": "batch", "image": "registry.example/worker:1",
        "service_accounts": {"op": "account-of-op"},
        "volumes": [{"name": "all", "persistentVolumeClaim": {"claimName": "all"}}],
        "volume_mounts": [{"name": "all", "mountPath": str(airflow.home.parent)}],
    }  # fmt: skip
    assert airflow.rest("PUT", "/v1/computes/accounts", json=compute).status_code == 201
    parts = upload("restcleared", PICKY)
    kind, (name, content) = parts[1]
    parts[1] = (kind, (name, json.dumps(json.loads(content) | {"compute": "accounts"}).encode()))
    answer = airflow.rest("POST", "/v1/apply", files=parts, data={"set_default": "true"})
    assert answer.status_code == 200, answer.text
    airflow.eventually(lambda: airflow.rest("GET", "/v1/endpoints/restcleared").json()["is_invokable"])
    path, dag = "/v1/endpoints/restcleared/jobs", "batch_endpoint.restcleared"
    uri = airflow.inputs("cleared", 2).as_uri()
    refused = airflow.rest("POST", path, json=body(uri, name="cleared"), role="user")
    assert "invoker 'user' is not among the service_accounts" in refused.json()["detail"]
    compute["service_accounts"] |= {"user": "account-of-user"}
    assert airflow.rest("PUT", "/v1/computes/accounts", json=compute).status_code == 200
    assert airflow.rest("POST", path, json=body(uri, name="cleared"), role="user").status_code == 201

    def pinned() -> Any:
        return airflow.rest("GET", f"{path}/cleared/documents", role="op").json()["launch"].get("service_account")

    assert airflow.eventually(pinned) == "account-of-user"
    assert airflow.rest("POST", f"{path}/cleared/cancel", role="op").status_code == 200
    answer = httpx.post(
        f"{airflow.url}/api/v2/dags/{dag}/dagRuns/cleared/clear", json={"dry_run": False},
        headers={"Authorization": f"Bearer {airflow.token('op')}"}, timeout=60,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    # It is planned again, for a cluster that is not there: as the account of who invoked it.
    airflow.eventually(lambda: airflow.tries(dag, "cleared", "plan") > 1 and "running" in airflow.state(dag, "cleared"))
    job = airflow.eventually(
        lambda: found if (found := airflow.rest("GET", f"{path}/cleared").json())["submission"] == 1 else None
    )
    assert (job["invoker"], airflow.eventually(pinned)) == ("user", "account-of-user")
    cleared = airflow.api("GET", f"eventLogs?limit=100&dag_id={dag}&run_id=cleared")["event_logs"]
    assert ("clear_dag_run", "op") in {(entry["event"], entry["owner"]) for entry in cleared}
    airflow.rest("POST", f"{path}/cleared/cancel")
