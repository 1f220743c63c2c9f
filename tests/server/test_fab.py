"""The other auth manager, with its roles, and with rights to single endpoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import ROLES, body
from tests.server.conftest import ApiServer, running
from tests.server.rights import check_rights

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(900)]
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
USERS = """
import sys
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
with get_application_builder() as builder:
    manager = builder.sm
    for name in sys.argv[1:]:
        manager.add_user(name, name, name, f"{name}@example.org", manager.find_role(name.capitalize()), password=name)
    team = manager.add_role("Team")
    for action, resource in (
        ("can_read", "Website"), ("can_read", "DAG:batch_endpoint.ours"), ("can_edit", "DAG:batch_endpoint.ours"),
        ("can_read", "DAG Run:batch_endpoint.ours"), ("can_create", "DAG Run:batch_endpoint.ours"),
    ):
        manager.add_permission_to_role(team, manager.create_permission(action, resource))
    manager.add_user("pipeline", "a", "pipeline", "pipeline@example.org", team, password="pipeline")
    onlooker = manager.add_role("Onlooker")
    for resource in ("Website", "DAG:batch_endpoint.ours"):
        manager.add_permission_to_role(onlooker, manager.create_permission("can_read", resource))
    manager.add_user("onlooker", "an", "onlooker", "onlooker@example.org", onlooker, password="onlooker")
"""


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    options = {
        "AIRFLOW__CORE__AUTH_MANAGER": FAB,
        "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": "airflow.providers.fab.auth_manager.models.db.FABDBManager",
    }
    with running(tmp_path_factory.mktemp("fab"), options=options) as server:
        server.python(USERS, *ROLES)
        yield server


def test_the_same_rights(fab: ApiServer) -> None:
    check_rights(fab, fab.endpoint("everybodys"))


def test_rights_to_one_endpoint(fab: ApiServer) -> None:
    ours, theirs = fab.endpoint("ours"), fab.endpoint("theirs")
    seen = fab.rest("GET", "/v1/endpoints", role="pipeline").json()
    assert [endpoint["name"] for endpoint in seen["items"]] == [ours]
    for endpoint, status in ((ours, 201), (theirs, 403)):
        answer = fab.rest("POST", f"/v1/endpoints/{endpoint}/jobs", json=body(fab.inputs), role="pipeline")
        assert answer.status_code == status, answer.text
    fab.rest("POST", f"/v1/endpoints/{theirs}/jobs", json=body(fab.inputs))
    jobs = fab.rest("GET", "/v1/jobs", role="pipeline").json()
    assert {(job["endpoint"], job["invoker"]) for job in jobs["items"]} == {(ours, "pipeline")}
    assert fab.rest("GET", f"/v1/endpoints/{ours}/jobs", role="pipeline").json()["total"] == 1
    told = fab.rest("GET", f"/v1/session?endpoint={ours}", role="pipeline").json()["endpoint"]
    assert {right for right, is_given in told.items() if is_given} == {"may_read", "may_read_jobs", "may_invoke"}
    assert fab.rest("GET", f"/v1/endpoints/{theirs}", role="pipeline").status_code == 403


def test_an_endpoint_without_its_runs(fab: ApiServer) -> None:
    """After the test above, which has made the endpoint and a job of it."""
    (seen,) = fab.rest("GET", "/v1/endpoints", role="onlooker").json()["items"]
    assert (seen["name"], seen["recent_jobs"]) == ("ours", [])
    assert fab.rest("GET", "/v1/endpoints/ours", role="onlooker").json()["recent_jobs"] == []
    assert fab.rest("GET", "/v1/endpoints/ours", role="pipeline").json()["recent_jobs"]
    assert fab.rest("GET", "/v1/jobs", role="onlooker").json()["total"] == 0
    assert fab.rest("GET", "/v1/statistics?endpoint=ours", role="onlooker").json() == {}
    for path in ("jobs", "statistics"):
        assert fab.rest("GET", f"/v1/endpoints/ours/{path}", role="onlooker").status_code == 403
