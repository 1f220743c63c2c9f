from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ECHO = "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) for p in b]\n"
PICKY = (
    "import os\ndef init(): pass\ndef run(b):\n    if any('003' in p for p in b): raise ValueError('no threes')\n"
    "    return [os.path.basename(p) for p in b]\n"
)
SLOW = "import time\ndef init(): pass\ndef run(b):\n    time.sleep(1)\n    return list(b)\n"


def body(uri: str, **more: Any) -> dict[str, Any]:
    return {"properties": {"InputData": {"data": {"JobInputType": "UriFolder", "Uri": uri}}, **more}}


def upload(airflow: RealAirflow, name: str, source: str, **settings: Any) -> list[tuple[str, tuple[str, bytes]]]:
    endpoint = {"name": name, "description": f"the endpoint {name}"}
    deployment = {
        "name": "main", "endpoint_name": name, "type": "model", "model": {"path": "model"},
        "code_configuration": {"code": "code", "scoring_script": "score.py"}, "settings": settings,
    }  # fmt: skip
    return [
        ("document", ("endpoint.yml", json.dumps(endpoint).encode())),
        ("document", ("deployment.yml", json.dumps(deployment).encode())),
        ("file", ("code/score.py", source.encode())),
        ("file", ("model/weights.txt", b"1\n")),
    ]


def apply(airflow: RealAirflow, name: str, source: str, **settings: Any) -> None:
    answer = airflow.rest(
        "POST", "/v1/apply", files=upload(airflow, name, source, **settings), data={"set_default": "true"}
    )
    assert answer.status_code == 200, answer.text
    airflow.eventually(lambda: airflow.rest("GET", f"/v1/endpoints/{name}").json()["is_invokable"])


def finished(airflow: RealAirflow, endpoint: str, job: str) -> dict[str, Any]:
    path = f"/v1/endpoints/{endpoint}/jobs/{job}"

    def ended() -> Any:
        found = airflow.rest("GET", path).json()
        return found if found["state"] in ("Completed", "Failed", "Canceled") else None

    return dict(airflow.eventually(ended))


@pytest.fixture(scope="module")
def echo(airflow: RealAirflow) -> str:
    apply(airflow, "restecho", ECHO, mini_batch_size=2)
    airflow.inputs("small", 7)
    return "restecho"


@pytest.fixture(scope="module")
def picky(airflow: RealAirflow) -> str:
    apply(airflow, "picky", PICKY, mini_batch_size=1, retry_settings={"max_retries": 0})
    airflow.inputs("small", 7)
    return "picky"


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
    logs = airflow.rest("GET", f"{path}/logs", role="viewer")
    assert "--- plan, try 1" in logs.text
    assert "dead letter" in logs.text
    assert "--- score instance 0" in airflow.rest("GET", f"{path}/logs?task=score&instance=0").text


def test_an_invocation_is_started_once(airflow: RealAirflow, echo: str) -> None:
    uri, path = (airflow.data / "small").as_uri(), f"/v1/endpoints/{echo}/jobs"
    headers = {"repeatability_request-id": "4f0c"}
    first = airflow.rest("POST", path, json=body(uri), headers=headers)
    again = airflow.rest("POST", path, json=body(uri), headers=headers)
    assert (first.status_code, again.status_code) == (201, 200), again.text
    assert first.json()["name"] == again.json()["name"]
    other = airflow.rest("POST", path, json=body(uri, miniBatchSize=3), headers=headers)
    assert (other.status_code, other.headers["content-type"]) == (409, "application/problem+json")
    legacy = {"properties": {"dataset": {"dataInputType": "DataUrl", "path": uri}}}
    chosen = airflow.rest("POST", path, json=legacy, headers={"azureml-model-deployment": "main"})
    assert (chosen.status_code, chosen.json()["deployment"]) == (201, "main")
    ghost = airflow.rest("POST", path, json=body(uri), headers={"azureml-model-deployment": "ghost"})
    assert (ghost.status_code, "there is: main" in ghost.json()["detail"]) == (404, True)
    for job in (first, chosen):
        assert finished(airflow, echo, job.json()["name"])["state"] == "Completed"


def test_lists(airflow: RealAirflow, echo: str, picky: str) -> None:
    found = airflow.rest("GET", f"/v1/endpoints/{echo}/jobs?limit=1&state=Completed").json()
    assert (len(found["items"]), found["total"] >= 2) == (1, True)
    assert airflow.rest("GET", "/v1/jobs?invoker=nobody").json()["total"] == 0
    everything = airflow.rest("GET", "/v1/jobs", role="viewer").json()
    assert {job["endpoint"] for job in everything["items"]} >= {echo, picky}
    endpoints = {entry["name"]: entry for entry in airflow.rest("GET", "/v1/endpoints", role="viewer").json()["items"]}
    assert [deployment["name"] for deployment in endpoints[echo]["deployments"]] == ["main"]
    assert {job["state"] for job in endpoints[echo]["recent_jobs"]} == {"Completed"}
    assert endpoints[echo]["scoring_uri"] == f"{airflow.url}/batch-endpoints/v1/endpoints/{echo}/jobs"
    (day,) = airflow.rest("GET", f"/v1/endpoints/{picky}/statistics").json()["days"][-1:]
    assert (day["completed"], day["items"], day["items_failed"]) == (1, 7, 1)


def test_canceled_is_not_failed_also_after_a_rebuild(airflow: RealAirflow) -> None:
    apply(airflow, "restslow", SLOW, mini_batch_size=1)
    airflow.inputs("some", 60)
    path = "/v1/endpoints/restslow/jobs"
    job = airflow.rest("POST", path, json=body((airflow.data / "some").as_uri()), role="user").json()["name"]
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


def test_documents_with_conditions_and_revisions(airflow: RealAirflow) -> None:
    path, document = "/v1/endpoints/paper", {"description": "first"}
    created = airflow.rest("PUT", path, json=document, headers={"If-None-Match": "*"}, role="op")
    assert created.status_code == 201, created.text
    assert airflow.rest("PUT", path, json=document, headers={"If-None-Match": "*"}).status_code == 412
    first = created.headers["etag"]
    assert airflow.rest("GET", path).headers["etag"] == first
    updated = airflow.rest("PUT", path, json={"description": "second"}, headers={"If-Match": first})
    assert updated.status_code == 200
    stale = airflow.rest("PUT", path, json={"description": "third"}, headers={"If-Match": first})
    assert (stale.status_code, "somebody has changed it" in stale.json()["detail"]) == (412, True)
    yaml = airflow.rest("PUT", path, content="description: third\n", headers={"Content-Type": "application/yaml"})
    assert yaml.status_code == 200
    # Written past us, as a task or a person in Airflow's own pages would.
    text = json.dumps({"document": {"name": "paper", "description": "by hand"}})
    airflow.api(
        "PATCH", "variables/batch_endpoints.endpoint.paper", {"key": "batch_endpoints.endpoint.paper", "value": text}
    )
    revisions = airflow.rest("GET", f"{path}/revisions", role="op").json()["items"]
    assert [revision["change"] for revision in revisions] == ["found", "updated", "updated", "created"]
    assert [revision["changed_by"] for revision in revisions[1:]] == ["admin", "admin", "op"]
    assert "-description: first\n+description: second" in revisions[2]["diff"]
    restored = airflow.rest("POST", f"{path}/revisions/{revisions[3]['revision']}/restore", role="op")
    assert restored.json()["result"] == "updated", restored.text
    assert airflow.rest("GET", path).json()["description"] == "first"
    assert airflow.rest("DELETE", path, headers={"If-Match": '"0"'}).status_code == 412
    assert airflow.rest("DELETE", path, headers={"If-Match": first}).status_code == 204
    assert airflow.rest("GET", path).status_code == 404


def test_what_is_wrong_is_told_by_its_field(airflow: RealAirflow, echo: str) -> None:
    answer = airflow.rest("PUT", f"/v1/endpoints/{echo}/deployments/other", json={"model": "models:/m/1", "settings": {
        "mini_batch_size": 0, "surprise": 1,
    }})  # fmt: skip
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"settings.mini_batch_size", "settings.surprise"}
    beside = {"model": "model", "code_configuration": {"code": "code", "scoring_script": "score.py"}}
    answer = airflow.rest("PUT", f"/v1/endpoints/{echo}/deployments/other", json={"type": "model", **beside})
    assert {error["field"] for error in answer.json()["errors"]} == {"model.path", "code_configuration.code"}
    names = ("../../evil", "/etc/evil", "a/../../evil", "a\\evil", "", "a//b")
    for name in names:
        files = (
            [*upload(airflow, "evil", ECHO), ("file", (name or " ", b"x"))]
            if name
            else upload(airflow, "evil", ECHO)[2:]
        )
        assert airflow.rest("POST", "/v1/apply", files=files).status_code == 400, name
    escaping = [
        ("document", ("d.yml", b"name: main\nendpoint_name: x\ntype: model\nmodel: ../../../../etc/hostname\n"))
    ]
    answer = airflow.rest("POST", "/v1/apply", files=escaping)
    assert (answer.status_code, "leads out of what was uploaded" in answer.json()["detail"]) == (400, True)
    assert airflow.rest("GET", "/v1/endpoints/evil").status_code == 404


def test_bad_invocations_of_the_cases(airflow: RealAirflow, echo: str, cases: Path) -> None:
    index = json.loads((cases / "bad" / "index.json").read_text())
    bad = [item for item in index["items"] if item["kind"] == "invoke"]
    before = airflow.runs("batch_endpoint.restecho")
    for item in bad:
        content = (cases / "bad" / item["file"]).read_bytes()
        answer = airflow.rest(
            "POST", f"/v1/endpoints/{echo}/jobs", content=content, headers={"Content-Type": "application/json"}
        )
        assert 400 <= answer.status_code < 500, (item, answer.text)
        told = json.dumps(answer.json())
        assert item["message_should_mention"] in told, (item, answer.text)
        assert "Traceback" not in told
    assert airflow.runs("batch_endpoint.restecho") == before
    assert bad


def test_rights(airflow: RealAirflow, echo: str) -> None:
    endpoint, uri = f"/v1/endpoints/{echo}", (airflow.data / "small").as_uri()
    # What each role gets: (viewer, user, op, admin); nobody gets anything without a login.
    expected = {
        ("GET", "/v1/endpoints"): (200, 200, 200, 200),
        ("GET", endpoint): (200, 200, 200, 200),
        ("GET", f"{endpoint}/jobs"): (200, 200, 200, 200),
        ("GET", f"{endpoint}/deployments/main"): (403, 403, 200, 200),
        ("GET", f"{endpoint}/revisions"): (403, 403, 200, 200),
        ("PUT", endpoint): (403, 403, 200, 200),
        ("DELETE", f"{endpoint}/deployments/ghost"): (403, 403, 404, 404),
        ("GET", "/v1/computes"): (403, 403, 200, 200),
        ("PUT", "/v1/computes/small"): (403, 403, 201, 200),
        ("POST", f"{endpoint}/dry-run"): (403, 200, 200, 200),
        ("GET", "/openapi.json"): (200, 200, 200, 200),
    }
    documents = {
        endpoint: {"description": "x"},
        "/v1/computes/small": {"type": "local"},
        f"{endpoint}/dry-run": body(uri),
    }
    for (method, path), statuses in expected.items():
        options = {"json": documents[path]} if method in ("PUT", "POST") else {}
        found = [
            airflow.rest(method, path, role=role, **options).status_code for role in ("viewer", "user", "op", "admin")
        ]
        assert tuple(found) == statuses, (method, path)
        anonymous = airflow.rest(method, path, role=None, **options)
        assert (anonymous.status_code, anonymous.json()["status"]) == (401, 401)
    assert airflow.rest("POST", f"{endpoint}/jobs", json=body(uri), role="viewer").status_code == 403
    applied = airflow.rest("POST", "/v1/apply", files=upload(airflow, "sneaky", ECHO), role="user")
    assert applied.status_code == 403
    assert airflow.rest("GET", "/v1/endpoints/sneaky").status_code == 404

    entries = airflow.api("GET", "eventLogs?limit=200&order_by=-id")["event_logs"]
    told = {(entry["event"], entry["owner"]) for entry in entries}
    assert {
        ("batch_endpoints.refused", "viewer"),
        ("batch_endpoints.refused", "user"),
        ("batch_endpoints.document.put", "op"),
        ("batch_endpoints.job.invoke", "user"),
        ("batch_endpoints.job.cancel", "user"),
    } <= told
    (refusal,) = [
        json.loads(entry["extra"]) for entry in entries
        if entry["event"] == "batch_endpoints.refused" and "invoke" in entry["extra"] and entry["owner"] == "viewer"
        and entry["extra"].count("/jobs")
    ][:1]  # fmt: skip
    assert refusal["reason"] == "no right to invoke this endpoint"


def test_a_broken_entry_is_one_row_with_an_error(airflow: RealAirflow, echo: str) -> None:
    airflow.api("POST", "variables", {"key": "batch_endpoints.endpoint.broken", "value": "not json"})
    try:
        rows = {entry["name"]: entry for entry in airflow.rest("GET", "/v1/endpoints").json()["items"]}
        assert "is not what the registry writes" in rows["broken"]["error"]
        assert rows[echo]["error"] is None
    finally:
        airflow.api("DELETE", "variables/batch_endpoints.endpoint.broken")


def test_a_hidden_storage_says_so(airflow: RealAirflow, echo: str) -> None:
    uri = (airflow.data / "small").as_uri()
    job = airflow.rest("POST", f"/v1/endpoints/{echo}/jobs", json=body(uri, name="vanishing")).json()["name"]
    found = finished(airflow, echo, job)
    folder = Path(found["output"].removeprefix("file://"))
    secret = airflow.home / "jwt.secret"
    (folder / "predictions.csv").unlink()
    (folder / "predictions.csv").symlink_to(secret)
    path = f"/v1/endpoints/{echo}/jobs/{job}"
    for what in ("outputs/predictions.csv", "preview"):
        answer = airflow.rest("GET", f"{path}/{what}")
        assert (answer.status_code, "allowed_output_uris" in answer.text) == (400, True)
        assert secret.read_text() not in answer.text
    (folder / "manifest.json").unlink()
    assert airflow.rest("GET", f"{path}/outputs").status_code == 409
