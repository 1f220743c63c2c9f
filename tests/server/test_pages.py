from __future__ import annotations

import httpx
import pytest

from tests.clients import body
from tests.server.conftest import ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
RIGHTS = ("may_read", "may_read_jobs", "may_invoke", "may_cancel", "may_read_documents", "may_edit_documents")


@pytest.fixture(scope="module")
def paged(server: ApiServer) -> str:
    return server.endpoint("paged")


def test_what_one_may_do_is_told_before_it_is_refused(server: ApiServer, paged: str) -> None:
    told = {
        role: server.rest("GET", f"/v1/session?endpoint={paged}", role=role).json()
        for role in ("viewer", "user", "op", "admin")
    }
    assert {role: answer["user"] for role, answer in told.items()} == {role: role for role in told}
    assert {role: answer["may_read_computes"] for role, answer in told.items()} == {
        "viewer": False, "user": False, "op": True, "admin": True,
    }  # fmt: skip
    assert {role: [answer["endpoint"][right] for right in RIGHTS] for role, answer in told.items()} == {
        "viewer": [True, True, False, False, False, False],
        "user": [True, True, True, True, False, False],
        "op": [True, True, True, True, True, True],
        "admin": [True, True, True, True, True, True],
    }
    # The database that models are registered in here is nobody's business.
    assert {answer["mlflow_uri"] for answer in told.values()} == {None}


def test_statistics_of_a_page_of_endpoints(server: ApiServer, paged: str) -> None:
    path = f"/v1/endpoints/{paged}/jobs"
    job = server.rest("POST", path, json=body(server.inputs)).json()["name"]
    server.rest("POST", f"{path}/{job}/cancel")
    found = server.rest("GET", f"/v1/statistics?endpoint={paged}&endpoint=ghost", role="viewer").json()
    (day,) = found[paged]["days"]
    assert (day["canceled"], day["failed"], day["completed"]) == (1, 0, 0)
    assert found[paged] == server.rest("GET", f"/v1/endpoints/{paged}/statistics", role="viewer").json()
    assert found.get("ghost", {"days": []}) == {"days": []}
    assert server.rest("GET", "/v1/statistics?endpoint=no/name").status_code == 400


def test_the_shell_is_the_same_for_everybody_and_the_data_is_not(server: ApiServer, paged: str) -> None:
    shells = {server.rest("GET", f"/ui/endpoints/{paged}", role=role).text for role in (None, "viewer", "admin")}
    assert len(shells) == 1
    assert paged not in shells.pop()
    for path in (f"/v1/session?endpoint={paged}", f"/v1/statistics?endpoint={paged}"):
        assert server.rest("GET", path, role=None).status_code == 401


def test_airflow_knows_the_pages(server: ApiServer) -> None:
    views = [
        view
        for plugin in server.api("GET", "plugins")["plugins"]
        if plugin["name"] == "batch_endpoints"
        for view in plugin["external_views"]
    ]
    assert [(view["name"], view["destination"]) for view in views] == [
        ("Batch endpoints", "nav"),
        ("Batch job", "dag_run"),
    ]
    for view in views:
        for address in (view["href"].partition("?")[0], view["icon"], view["icon_dark_mode"]):
            # What nothing is mounted at is answered by Airflow's own page, with 200.
            answer = httpx.get(f"{server.url}/{address}", timeout=60)
            assert "data-root" in answer.text or answer.headers["content-type"] == "image/svg+xml", address
