"""The routes for Azure ML's SDK as it does not use them: without a token, without a right, with names that mean two jobs."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest

from airflow_batch_endpoints.azure.ids import Workspace
from tests.clients import body, upload
from tests.server.conftest import ECHO, ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WORKSPACE = Workspace("0", "group", "workspace")
W = WORKSPACE.id
SCORING = f"/mferp/managementfrontend{W}"
HISTORY = f"/history/v1.0{W}"
ROUTES = """
import json
from airflow_batch_endpoints.azure.app import create_app
print(json.dumps([(method, route.path) for route in create_app().routes for method in route.methods]))
"""
MANY = """
from datetime import UTC, datetime
from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.database.session import open_session
now = datetime.now(UTC)
with open_session() as session:
    for number in range(101):
        session.add(JobRow(endpoint="azure-many", name=str(number), dag_run_id=-number, submission=0, state="Completed",
                           is_settled=True, request={}, created_at=now, refreshed_at=now))
"""
LINK = """
from airflow_batch_endpoints.azure.links import Log, sign
print(sign(Log("azure", "same", "plan")))
"""
NAMES = {
    "subscription": "0", "group": "group", "workspace": "workspace", "endpoint": "azure", "deployment": "main",
    "job_name": "azure_some", "path": "anything", "link": "x",
}  # fmt: skip


def azure(server: ApiServer, method: str, path: str, **options: Any) -> httpx.Response:
    return server.rest(method, f"/azure{path}", **options)


@pytest.fixture(scope="module")
def endpoint(server: ApiServer) -> str:
    server.endpoint("azure")
    server.endpoint("azure-b")
    for name in ("azure", "azure-b"):
        for job in ("same", "azure_odd", f"only-{name}"):
            answer = server.rest("POST", f"/v1/endpoints/{name}/jobs", json=body(server.inputs, name=job))
            assert answer.status_code == 201, answer.text
    return "azure"


def test_nothing_but_constants_and_links_without_a_token(server: ApiServer, endpoint: str) -> None:
    found = {}
    for method, path in json.loads(server.python(ROUTES).stdout.splitlines()[-1]):
        address = re.sub(r"{(\w+)(:path)?}", lambda match: NAMES[match[1]], path)
        answer = azure(server, method, address, role=None)
        if answer.status_code != 401:
            found[path] = answer.status_code
            # The same whatever is kept here.
            assert "azure-b" not in answer.text
    assert found == {"/metadata/endpoints": 200, "/discovery": 200, "/logs/{link}": 404}


def test_rights_are_those_of_rest(server: ApiServer, endpoint: str) -> None:
    own = f"{W}/batchEndpoints/{endpoint}"
    started = {
        "properties": {"inputData": {"a": {"jobInputType": "UriFolder", "uri": "azureml://datastores/data/paths/in"}}}
    }
    asked: dict[tuple[str, str], dict[str, Any]] = {
        ("GET", f"{own}"): {},
        ("GET", f"{own}/deployments"): {},
        ("GET", f"{own}/deployments/main"): {},
        ("PUT", f"{own}"): {"json": {"properties": {"description": "changed"}}},
        ("DELETE", f"{own}/deployments/other"): {},
        ("POST", f"{own}/jobs"): {"json": started},
        ("GET", f"{SCORING}/batchEndpoints/{endpoint}/jobs"): {},
        ("GET", f"{W}/jobs/azure_same"): {},
        ("GET", f"{HISTORY}/runs/azure_same/details"): {},
        ("POST", f"{W}/jobs/azure_only-azure/cancel"): {},
    }
    found = {
        role: [
            azure(server, method, path, role=role, **options).status_code for (method, path), options in asked.items()
        ]
        for role in ("viewer", "user", "op")
    }
    assert found == {
        "viewer": [200, 200, 403, 403, 403, 403, 200, 200, 200, 403],
        "user": [200, 200, 403, 403, 403, 201, 200, 200, 200, 200],
        "op": [200, 200, 200, 200, 404, 201, 200, 200, 200, 409],
    }


def test_who_may_not_read_deployments_sees_their_names_alone(server: ApiServer, endpoint: str) -> None:
    def first(role: str) -> Any:
        (found,) = azure(server, "GET", f"{W}/batchEndpoints/{endpoint}/deployments", role=role).json()["value"]
        return found

    assert first("user")["name"] == first("op")["name"] == "main"
    assert first("user")["id"] == f"{W}/batchEndpoints/{endpoint}/deployments/main"
    assert "codeConfiguration" not in first("user")["properties"]
    assert first("op")["properties"]["codeConfiguration"]["scoringScript"] == "score.py"


def test_refusals_are_in_the_audit_log_with_the_job_they_are_of(server: ApiServer, endpoint: str) -> None:
    assert azure(server, "POST", f"{W}/jobs/azure-b_same/cancel", role="viewer").status_code == 403
    entries = server.api("GET", "eventLogs?event=batch_endpoints.refused&order_by=-id&limit=1")["event_logs"]
    assert [(entry["owner"], entry["dag_id"], entry["run_id"]) for entry in entries] == [
        ("viewer", "batch_endpoint.azure-b", "same")
    ]


def test_a_job_is_found_by_its_id_and_by_its_own_name_if_that_is_one_jobs(server: ApiServer, endpoint: str) -> None:
    def name(job: str) -> Any:
        answer = azure(server, "GET", f"{W}/jobs/{job}")
        return answer.json()["name"] if answer.status_code == 200 else answer.status_code

    assert [name("azure_same"), name("azure-b_same")] == ["azure_same", "azure-b_same"]
    assert [name("only-azure"), name("only-azure-b")] == ["azure_only-azure", "azure-b_only-azure-b"]
    ambiguous = azure(server, "GET", f"{W}/jobs/same")
    assert ambiguous.status_code == 409
    assert "azure-b_same" in ambiguous.json()["error"]["message"]
    # Looks like the id of a job "odd", which is not there.
    assert name("azure_odd") == 409
    assert name("azure-b_azure_odd") == "azure-b_azure_odd"
    assert [name("nothing"), name("ghost_same"), name("azure_")] == [404, 404, 404]


def test_a_repeated_request_is_the_same_job(server: ApiServer, endpoint: str) -> None:
    path = f"{W}/batchEndpoints/{endpoint}/jobs"
    headers = {"repeatability_request-id": "6f1c", "azureml-model-deployment": "main"}
    asked = body("azureml://datastores/data/paths/in")
    first, again = (azure(server, "POST", path, json=asked, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"] == f"{W}/jobs/{first.json()['name']}"
    other = body("azureml://datastores/data/paths/in/0.csv")
    assert azure(server, "POST", path, json=other, headers=headers).status_code == 409
    found = azure(server, "GET", f"{SCORING}/batchEndpoints/{endpoint}/deployments/main/jobs").json()["value"]
    assert [job["name"] for job in found] == [first.json()["name"]]


def test_lists_have_pages_whose_addresses_are_whole(server: ApiServer) -> None:
    server.python(MANY)
    path = f"{SCORING}/batchEndpoints/azure-many/jobs"
    page = azure(server, "GET", f"{path}?api-version=2020-09-01-dataplanepreview").json()
    assert len(page["value"]) == 100
    assert page["nextLink"] == (
        f"{server.url}/batch-endpoints/azure{path}?api-version=2020-09-01-dataplanepreview&$skip=100"
    )
    rest = httpx.get(page["nextLink"], headers={"Authorization": f"Bearer {server.token('viewer')}"}, timeout=60).json()
    names = [job["name"] for job in page["value"] + rest["value"]]
    assert sorted(names) == sorted(f"azure-many_{number}" for number in range(101))
    assert "nextLink" not in rest


def test_an_endpoint_is_being_created_until_it_has_a_dag(server: ApiServer) -> None:
    path = f"{W}/batchEndpoints/azure-new"
    answer = azure(server, "PUT", path, json={"location": "airflow", "properties": {"authMode": "aadToken"}})
    assert (answer.status_code, answer.headers["retry-after"]) == (201, "1")
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    operation = answer.headers["azure-asyncoperation"].removeprefix(f"{server.url}/batch-endpoints/azure")
    assert azure(server, "GET", operation).json() == {"status": "InProgress"}
    failed = azure(server, "GET", f"{path}/creation?since={int(time.time()) - 3600}").json()
    assert (failed["status"], failed["error"]["code"]) == ("Failed", "NotInvokable")
    server.serialize("azure-new")
    assert azure(server, "GET", operation).json() == {"status": "Succeeded"}
    again = azure(server, "PUT", path, json={"properties": {"description": "known by now"}})
    assert (again.status_code, again.json()["properties"]["provisioningState"]) == (200, "Succeeded")
    assert "azure-asyncoperation" not in again.headers
    assert azure(server, "DELETE", path).status_code == 204
    assert azure(server, "GET", path).status_code == 404


def test_a_deployment_comes_back_as_it_was_applied(server: ApiServer, endpoint: str) -> None:
    answer = server.rest(
        "POST", "/v1/apply", files=upload("azure-b", ECHO, error_threshold="5%", output_exists="replace")
    )
    assert answer.status_code == 200, answer.text
    before = server.rest("GET", "/v1/endpoints/azure-b/deployments/main").json()
    path = f"{W}/batchEndpoints/azure-b/deployments/main"
    put = azure(server, "PUT", path, json=azure(server, "GET", path).json())
    assert put.status_code == 200, put.text
    assert server.rest("GET", "/v1/endpoints/azure-b/deployments/main").json()["revision"] == before["revision"]


def test_logs_by_their_links_alone(server: ApiServer, endpoint: str) -> None:
    link = server.python(LINK).stdout.splitlines()[-1]
    # Its tasks have not begun: there is a log, and nothing in it.
    answer = azure(server, "GET", f"/logs/{link}", role=None)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "", "text/plain; charset=utf-8")
    assert azure(server, "GET", f"/logs/{link[:-2]}", role="admin").status_code == 404


@pytest.mark.parametrize("name", ["..", "a b", "a_b", "x" * 33, "%2F"])
def test_names_that_nothing_can_have(server: ApiServer, name: str) -> None:
    assert azure(server, "PUT", f"{W}/batchEndpoints/{name}", json={"properties": {}}).status_code in (400, 404)
    assert azure(server, "GET", f"{W.replace('group', name)}/jobs").status_code in (200, 400, 404)


def test_what_is_not_answered_says_so(server: ApiServer) -> None:
    answer = azure(server, "GET", f"{W}/datastores?isDefault=true")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")
    assert "azure-sdk" in answer.json()["error"]["message"]
