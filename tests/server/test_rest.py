from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients import body, upload
from tests.server.conftest import ECHO, ApiServer
from tests.server.rights import check_rights

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def echo(server: ApiServer) -> str:
    return server.endpoint("echo")


def test_an_invocation_is_started_once(server: ApiServer, echo: str) -> None:
    uri, path = server.inputs, f"/v1/endpoints/{echo}/jobs"
    headers = {"repeatability_request-id": "4f0c"}
    first = server.rest("POST", path, json=body(uri), headers=headers)
    again = server.rest("POST", path, json=body(uri), headers=headers)
    assert (first.status_code, again.status_code) == (201, 200), again.text
    assert first.json()["name"] == again.json()["name"]
    other = server.rest("POST", path, json=body(uri, miniBatchSize=3), headers=headers)
    assert (other.status_code, other.headers["content-type"]) == (409, "application/problem+json")
    legacy = {"properties": {"dataset": {"dataInputType": "DataUrl", "path": uri}}}
    chosen = server.rest("POST", path, json=legacy, headers={"azureml-model-deployment": "main"})
    assert (chosen.status_code, chosen.json()["deployment"]) == (201, "main")
    ghost = server.rest("POST", path, json=body(uri), headers={"azureml-model-deployment": "ghost"})
    assert (ghost.status_code, "there is: main" in ghost.json()["detail"]) == (404, True)
    assert {job.json()["state"] for job in (first, chosen)} == {"NotStarted"}


def test_lists(server: ApiServer, echo: str) -> None:
    path = f"/v1/endpoints/{echo}/jobs"
    names = [server.rest("POST", path, json=body(server.inputs), role=role).json()["name"] for role in ("user", "op")]
    canceled = server.rest("POST", f"{path}/{names[0]}/cancel", role="user").json()
    assert (canceled["state"], canceled["error"]) == ("Canceled", "canceled by user")
    assert server.rest("POST", f"{path}/{names[0]}/cancel", role="user").status_code == 409
    found = server.rest("GET", f"{path}?limit=1", role="viewer").json()
    assert ([job["name"] for job in found["items"]], found["total"] >= 2) == ([names[1]], True)
    assert [job["name"] for job in server.rest("GET", f"{path}?state=Canceled").json()["items"]] == [names[0]]
    assert {job["invoker"] for job in server.rest("GET", "/v1/jobs?invoker=op").json()["items"]} == {"op"}
    assert server.rest("GET", "/v1/jobs?invoker=nobody").json()["total"] == 0
    assert server.rest("GET", "/v1/jobs?limit=200&offset=100000").json()["items"] == []
    endpoints = {entry["name"]: entry for entry in server.rest("GET", "/v1/endpoints", role="viewer").json()["items"]}
    assert [deployment["name"] for deployment in endpoints[echo]["deployments"]] == ["main"]
    assert {"Canceled", "NotStarted"} <= {job["state"] for job in endpoints[echo]["recent_jobs"]}
    assert endpoints[echo]["scoring_uri"] == f"{server.url}/batch-endpoints{path}"
    (day,) = server.rest("GET", f"/v1/endpoints/{echo}/statistics").json()["days"]
    assert (day["canceled"], day["failed"]) == (1, 0)
    server.run("batch-endpoints", "jobs", "sync")
    assert server.rest("GET", f"{path}/{names[0]}").json()["state"] == "Canceled"


def test_documents_with_conditions_and_revisions(server: ApiServer) -> None:
    path, document = "/v1/endpoints/paper", {"description": "first"}
    created = server.rest("PUT", path, json=document, headers={"If-None-Match": "*"}, role="op")
    assert created.status_code == 201, created.text
    assert server.rest("PUT", path, json=document, headers={"If-None-Match": "*"}).status_code == 412
    first = created.headers["etag"]
    assert server.rest("GET", path).headers["etag"] == first
    updated = server.rest("PUT", path, json={"description": "second"}, headers={"If-Match": first})
    assert updated.status_code == 200
    stale = server.rest("PUT", path, json={"description": "third"}, headers={"If-Match": first})
    assert (stale.status_code, "somebody has changed it" in stale.json()["detail"]) == (412, True)
    yaml = server.rest("PUT", path, content="description: third\n", headers={"Content-Type": "application/yaml"})
    assert yaml.status_code == 200
    # Written past us, as a task or a person in Airflow's own pages would.
    text = json.dumps({"document": {"name": "paper", "description": "by hand"}})
    server.api(
        "PATCH", "variables/batch_endpoints.endpoint.paper", {"key": "batch_endpoints.endpoint.paper", "value": text}
    )
    revisions = server.rest("GET", f"{path}/revisions", role="op").json()["items"]
    assert [revision["change"] for revision in revisions] == ["found", "updated", "updated", "created"]
    assert [revision["changed_by"] for revision in revisions[1:]] == ["admin", "admin", "op"]
    assert "-description: first\n+description: second" in revisions[2]["diff"]
    restored = server.rest("POST", f"{path}/revisions/{revisions[3]['revision']}/restore", role="op")
    assert restored.json()["result"] == "updated", restored.text
    assert server.rest("GET", path).json()["description"] == "first"
    assert server.rest("DELETE", path, headers={"If-Match": '"0"'}).status_code == 412
    assert server.rest("DELETE", path, headers={"If-Match": first}).status_code == 204
    assert server.rest("GET", path).status_code == 404


def test_a_document_that_cannot_be_read_is_rolled_back_or_deleted(server: ApiServer) -> None:
    path = "/v1/endpoints/torn"
    deployment = {"type": "model", "model": "models:/m/1"}
    server.rest("PUT", path, json={"description": "first"})
    for name in ("main", "other"):
        assert server.rest("PUT", f"{path}/deployments/{name}", json=deployment).status_code == 201
    assert server.rest("PUT", "/v1/computes/torn", json={"type": "local"}).status_code == 201
    places = {
        "batch_endpoints.endpoint.torn": path,
        "batch_endpoints.deployment.torn.main": f"{path}/deployments/main",
        "batch_endpoints.compute.torn": "/v1/computes/torn",
    }
    for key, place in places.items():
        kept = server.rest("GET", place).headers["etag"].strip('"')
        server.api("PATCH", f"variables/{key}", {"key": key, "value": "not json"})
        for _ in range(2):
            revisions = server.rest("GET", f"{place}/revisions").json()["items"]
            assert [(row["change"], row["revision"], row["diff"]) for row in revisions[:1]] == [
                ("unreadable", None, None)
            ]
            assert [row["change"] for row in revisions[1:]] == ["created"], "it is noticed once"
        restore = f"{place}/revisions/{kept}/restore"
        stale = server.rest("POST", restore, headers={"If-Match": f'"{kept}"'})
        assert (stale.status_code, "or cannot be read" in stale.json()["detail"]) == (412, True)
        # As the pages ask for it, whose newest revision is none.
        restored = server.rest("POST", restore, headers={"If-None-Match": "*"})
        assert (restored.status_code, restored.json()["result"]) == (200, "updated"), restored.text
        assert server.rest("GET", place).headers["etag"].strip('"') == kept
        assert server.rest("GET", f"{place}/revisions").json()["items"][0]["change"] == "updated"
    for key in list(places)[1:]:
        server.api("PATCH", f"variables/{key}", {"key": key, "value": "[]"})
    assert server.rest("PUT", f"{path}/deployments/other", json={**deployment, "description": "x"}).status_code == 200
    assert "is not what the registry writes" in server.client("computes", "show", "torn", code=2).stderr
    server.client("computes", "delete", "torn", "--yes")
    server.client("delete", "torn", "-d", "main", "--yes")
    assert server.rest("DELETE", path).status_code == 204


def test_what_is_wrong_is_told_by_its_field(server: ApiServer, echo: str) -> None:
    answer = server.rest("PUT", f"/v1/endpoints/{echo}/deployments/other", json={"model": "models:/m/1", "settings": {
        "mini_batch_size": 0, "surprise": 1,
    }})  # fmt: skip
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"settings.mini_batch_size", "settings.surprise"}
    beside = {"model": "model", "code_configuration": {"code": "code", "scoring_script": "score.py"}}
    answer = server.rest("PUT", f"/v1/endpoints/{echo}/deployments/other", json={"type": "model", **beside})
    assert {error["field"] for error in answer.json()["errors"]} == {"model.path", "code_configuration.code"}
    names = ("../../evil", "/etc/evil", "a/../../evil", "a\\evil", "", "a//b")
    for name in names:
        files = [*upload("evil", ECHO), ("file", (name or " ", b"x"))] if name else upload("evil", ECHO)[2:]
        assert server.rest("POST", "/v1/apply", files=files).status_code == 400, name
    escaping = [
        ("document", ("d.yml", b"name: main\nendpoint_name: x\ntype: model\nmodel: ../../../../etc/hostname\n"))
    ]
    answer = server.rest("POST", "/v1/apply", files=escaping)
    assert (answer.status_code, "leads out of what was uploaded" in answer.json()["detail"]) == (400, True)
    assert server.rest("GET", "/v1/endpoints/evil").status_code == 404
    for path in ("/v1/jobs?created_from=0.5", f"/v1/endpoints/{echo}/jobs?created_before=1700000000"):
        answer = server.rest("GET", path)
        assert (answer.status_code, "expected a date and a time" in answer.text) == (400, True)
    answer = server.rest("PUT", f"/v1/endpoints/{echo}/default", json={"deployment": "a\0b"})
    assert (answer.status_code, [entry["field"] for entry in answer.json()["errors"]]) == (400, ["body.deployment"])
    allowed = server.rest("OPTIONS", f"/v1/endpoints/{echo}")
    assert (allowed.status_code, allowed.headers["allow"]) == (405, "DELETE, GET, PUT")


def test_bodies_are_limited(server: ApiServer, echo: str) -> None:
    path, piece = f"/v1/endpoints/{echo}/jobs", b"x" * 1_000_000
    assert server.rest("POST", path, content=piece * 5).status_code == 413
    # Without a length, while it arrives.
    answer = server.rest("POST", path, content=(piece for _ in range(5)))
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


def test_bad_invocations_of_the_cases(server: ApiServer, echo: str, cases: Path) -> None:
    index = json.loads((cases / "bad" / "index.json").read_text())
    bad = [item for item in index["items"] if item["kind"] == "invoke"]
    before = server.api("GET", "dags/batch_endpoint.echo/dagRuns")["total_entries"]
    for item in bad:
        content = (cases / "bad" / item["file"]).read_bytes()
        answer = server.rest(
            "POST", f"/v1/endpoints/{echo}/jobs", content=content, headers={"Content-Type": "application/json"}
        )
        assert 400 <= answer.status_code < 500, (item, answer.text)
        told = json.dumps(answer.json())
        assert item["message_should_mention"] in told, (item, answer.text)
        assert "Traceback" not in told
    assert server.api("GET", "dags/batch_endpoint.echo/dagRuns")["total_entries"] == before
    assert bad


def test_rights(server: ApiServer, echo: str) -> None:
    check_rights(server, echo)
    applied = server.rest("POST", "/v1/apply", files=upload("sneaky", ECHO), role="user")
    assert applied.status_code == 403
    assert server.rest("GET", "/v1/endpoints/sneaky").status_code == 404

    entries = server.api("GET", "eventLogs?limit=200&order_by=-id")["event_logs"]
    told = {(entry["event"], entry["owner"]) for entry in entries}
    assert {
        ("batch_endpoints.refused", "viewer"),
        ("batch_endpoints.refused", "user"),
        ("batch_endpoints.document.put", "op"),
        ("batch_endpoints.job.invoke", "user"),
    } <= told
    (refusal,) = [
        json.loads(entry["extra"]) for entry in entries
        if entry["event"] == "batch_endpoints.refused" and "invoke" in entry["extra"] and entry["owner"] == "viewer"
        and entry["extra"].count("/jobs")
    ][:1]  # fmt: skip
    assert refusal["reason"] == "no right to invoke this endpoint"


def test_a_broken_entry_is_one_row_with_an_error(server: ApiServer, echo: str) -> None:
    server.api("POST", "variables", {"key": "batch_endpoints.endpoint.broken", "value": "not json"})
    try:
        rows = {entry["name"]: entry for entry in server.rest("GET", "/v1/endpoints").json()["items"]}
        assert "is not what the registry writes" in rows["broken"]["error"]
        assert rows[echo]["error"] is None
    finally:
        server.api("DELETE", "variables/batch_endpoints.endpoint.broken")


WALK = """
from fastapi.routing import APIRoute
from airflow_batch_endpoints.api.app import create_app
from airflow_batch_endpoints.api.auth import Requires
from airflow_batch_endpoints.ui.pages import PREFIX as PAGES

def needs(dependant):
    return isinstance(dependant.call, Requires) or any(needs(other) for other in dependant.dependencies)

def routes(found):
    for route in found:
        if getattr(route, "path", "") == PAGES:
            # Constant files, the same for everybody: they only read.
            assert all(page.methods <= {"GET", "HEAD"} for page in route.routes), route.routes
            continue
        yield from routes(route.routes) if hasattr(route, "routes") else [route]

app = create_app()
for route in routes(app.routes):
    assert isinstance(route, APIRoute), route
    assert needs(route.dependant), route.path
    print(route.path)
"""


def test_no_route_is_open(server: ApiServer) -> None:
    assert "/v1/endpoints/{endpoint}/jobs" in server.python(WALK).stdout.split()


def test_the_openapi_document_is_whole(server: ApiServer) -> None:
    document = server.rest("GET", "/openapi.json", role="viewer").json()
    text = json.dumps(document)
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= set(document["components"]["schemas"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"401", "403"} <= set(operation["responses"]), (method, path)
            assert operation["summary"], (method, path)
            assert operation.get("description"), (method, path)
            if (
                method in ("put", "post")
                and "requestBody" in operation
                and "json" in json.dumps(operation["requestBody"])
            ):
                assert "example" in json.dumps(operation["requestBody"]) or "$ref" in json.dumps(
                    operation["requestBody"]
                )


def test_the_command_line_over_http(server: ApiServer) -> None:
    folder = server.data / "documents"
    (folder / "conf").mkdir(parents=True)
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(ECHO)
    (folder / "conf" / "endpoint.yml").write_text("name: remote\ntags: {team: a}\n")
    (folder / "conf" / "deployment.yml").write_text(
        "name: main\nendpoint_name: remote\ntype: model\nmodel: ../code\n"
        "code_configuration: {code: ../code, scoring_script: score.py}\n"
    )
    files = ("-f", str(folder / "conf" / "endpoint.yml"), "-f", str(folder / "conf" / "deployment.yml"))
    refused = server.client("apply", *files, "--no-wait", role="user", code=2)
    assert "no right to change" in refused.stderr
    done = server.client("apply", *files, "--set-default", "--no-wait", "-o", "json")
    assert [applied["result"] for applied in json.loads(done.stdout)] == ["created", "created"]
    server.serialize("remote")
    assert "remote" in {entry["endpoint"] for entry in json.loads(server.client("list", "-o", "json").stdout)}
    shown = json.loads(server.client("show", "remote", "-d", "main", "-o", "json").stdout)
    copied = shown["code_configuration"]["code"].removeprefix("file://")
    assert (Path(copied) / "score.py").read_text() == ECHO
    started = server.client(
        "invoke",
        "remote",
        "--input",
        server.inputs,
        "--set",
        "mini_batch_size=3",
        "--job-name",
        "one",
        "--format",
        "json",
    )
    job = json.loads(started.stdout)
    assert (job["name"], job["state"], job["invoker"], job["request"]["mini_batch_size"]) == (
        "one",
        "NotStarted",
        "admin",
        3,
    )
    assert (
        "found job one"
        in server.client(
            "invoke", "remote", "--input", server.inputs, "--set", "mini_batch_size=3", "--job-name", "one"
        ).stderr
    )
    assert (
        "asks for something else"
        in server.client("invoke", "remote", "--input", server.inputs, "--job-name", "one", code=2).stderr
    )
    # The same command on a host of the Airflow sees the same.
    here = json.loads(server.run("batch-endpoints", "jobs", "show", "remote", "one", "-o", "json").stdout)
    there = json.loads(server.client("jobs", "show", "remote", "one", "-o", "json").stdout)
    assert here == there
    assert [entry["name"] for entry in json.loads(server.client("jobs", "list", "remote", "-o", "json").stdout)] == [
        "one"
    ]
    plan = server.client("invoke", "remote", "--input", server.inputs, "--dry-run")
    assert "deployment_revision" in plan.stdout
    assert json.loads(server.client("jobs", "cancel", "remote", "one", "-o", "json").stdout)["state"] == "Canceled"
    server.client("jobs", "stream", "remote", "one", code=4)
    assert "outside what jobs may reach" in server.client("invoke", "remote", "--input", "file:///etc", code=2).stderr
    assert "relative" in server.client("invoke", "remote", "--input", "here", code=2).stderr
    assert "there is no endpoint" in server.client("show", "ghost", code=2).stderr
    changes = json.loads(server.client("revisions", "remote", "-o", "json").stdout)
    assert {change["changed_by"] for change in changes} == {"admin"}
    server.client("delete", "remote", "--yes")
    assert json.loads(server.client("jobs", "list", "remote", "-o", "json").stdout)[0]["name"] == "one"
    # What is deleted is out of sight, its history is not.
    assert json.loads(server.client("revisions", "remote", "-o", "json").stdout)[0]["change"] == "deleted"


ADDRESSES = """
import os
os.environ.pop("AIRFLOW__API__BASE_URL")
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from airflow_batch_endpoints.api.app import PREFIX
from airflow_batch_endpoints.api.routes.endpoints import base_url
inner, outer = FastAPI(), FastAPI()

@inner.get("/where")
def where(request: Request) -> str:
    return base_url(request)

outer.mount(PREFIX, inner)
print(TestClient(outer).get(f"{PREFIX}/where").json())
"""


def test_addresses_of_a_server_that_is_not_told_its_own(server: ApiServer) -> None:
    assert server.python(ADDRESSES).stdout.splitlines()[-1] == "http://testserver/batch-endpoints"
