"""What is asked of the auth manager, by one that gives rights no role has: to some runs, to some Variables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI

from airflow_batch_endpoints.api import auth
from airflow_batch_endpoints.api.app import create_app
from airflow_batch_endpoints.api.routes import apply, endpoints, jobs, session
from airflow_batch_endpoints.services.resources import Endpoint, Page, RecentJob, Statistics

KEY = "batch_endpoints."
DOCUMENTS = [
    {"name": "ours", "description": "x"},
    {"name": "main", "endpoint_name": "ours", "type": "model", "model": "models:/m/1"},
]


class AuthManager:
    """Gives the right to read two DAGs, to the runs of one of them, and to change certain Variables."""

    variables: frozenset[str] = frozenset()

    def filter_authorized_dag_ids(self, *, dag_ids: set[str], user: Any, method: str) -> set[str]:
        return {each for each in dag_ids if self.is_authorized_dag(method=method, details=SimpleNamespace(id=each))}

    def is_authorized_dag(self, *, method: str, details: Any, access_entity: Any = None, user: Any = None) -> bool:
        readable = ("ours",) if access_entity == auth.DagAccessEntity.RUN else ("ours", "seen")
        return method == "GET" and details.id.removeprefix("batch_endpoint.") in readable

    def is_authorized_variable(self, *, method: str, details: Any, user: Any) -> bool:
        return method == "PUT" and details.key in self.variables


class Client:
    """Asks the app as one user does."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str) -> httpx.Response:
        return self._ask("GET", path)

    def post(self, path: str, **form: Any) -> httpx.Response:
        return self._ask("POST", path, **form)

    def _ask(self, method: str, path: str, **form: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
                return await client.request(method, path, **form)

        return asyncio.run(ask())


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> AuthManager:
    manager = AuthManager()
    monkeypatch.setattr(auth, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(auth, "record_refusal", lambda *_, **__: None)
    return manager


@pytest.fixture
def client(manager: AuthManager) -> Client:
    app = create_app()
    app.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: "ann")
    return Client(app)


def service(**methods: Callable[..., Any]) -> Callable[[Any], SimpleNamespace]:
    return lambda _: SimpleNamespace(**methods)


@pytest.mark.parametrize(
    ("variables", "documents", "set_default", "status"),
    [
        ({"deployment.ours.main"}, DOCUMENTS[1:], False, 200),
        ({"deployment.ours.main"}, DOCUMENTS[1:], True, 403),
        ({"deployment.ours.main", "endpoint.theirs"}, DOCUMENTS[1:], True, 403),
        ({"deployment.ours.main", "endpoint.ours"}, DOCUMENTS[1:], True, 200),
        ({"deployment.ours.main"}, DOCUMENTS, False, 403),
        ({"endpoint.ours"}, DOCUMENTS[1:], True, 403),
    ],
)
def test_a_new_default_asks_for_the_right_to_the_endpoint(
    client: Client,
    manager: AuthManager,
    monkeypatch: pytest.MonkeyPatch,
    variables: set[str],
    documents: list[Any],
    set_default: bool,
    status: int,
) -> None:
    applied: list[bool] = []
    manager.variables = frozenset(KEY + name for name in variables)
    monkeypatch.setattr(apply, "Documents", service(apply=lambda _, *, set_default: applied.append(set_default) or []))
    files = [("document", (f"{number}.yml", json.dumps(each))) for number, each in enumerate(documents)]
    answer = client.post("/v1/apply", files=files, data={"set_default": "true"} if set_default else {})
    assert answer.status_code == status, answer.text
    assert applied == ([set_default] if status == 200 else [])
    if status == 403 and set_default and "deployment.ours.main" in variables:
        assert "change batch_endpoints.endpoint.ours" in answer.json()["detail"]


def test_jobs_are_for_those_who_may_read_runs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def listed(_: Any, *, allowed: Callable[[set[str]], set[str]], limit: int, offset: int) -> Page[Any]:
        asked.append(allowed({"ours", "seen", "hidden"}))
        return Page(items=[], total=0, limit=limit, offset=offset)

    def counted(names: Any, *, days: int) -> dict[str, Statistics]:
        asked.append(set(names))
        return {name: Statistics(days=[]) for name in names}

    monkeypatch.setattr(jobs, "Jobs", service(list=listed))
    monkeypatch.setattr(session, "statistics_of", counted)
    monkeypatch.setattr(endpoints, "statistics_of", counted)
    assert client.get("/v1/jobs").status_code == 200
    assert set(client.get("/v1/statistics?endpoint=ours&endpoint=seen&endpoint=hidden").json()) == {"ours"}
    assert client.get("/v1/endpoints/ours/statistics").status_code == 200
    assert asked == [{"ours"}] * 3
    assert client.get("/v1/endpoints/seen/statistics").status_code == 403
    assert client.get("/v1/endpoints/seen/jobs").status_code == 403


def test_an_endpoint_is_shown_without_jobs_that_may_not_be_read(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = RecentJob(name="one", state="Completed", created=datetime(2024, 1, 1, tzinfo=UTC), rows=None, seconds=None)

    def found(name: str) -> Endpoint:
        return Endpoint(name=name, default=None, deployments=[], is_invokable=True, recent_jobs=[job])

    def listed(*, allowed: Callable[[set[str]], set[str]], contains: str, limit: int, offset: int) -> Page[Endpoint]:
        items = [found(name) for name in sorted(allowed({"ours", "seen", "hidden"}))]
        return Page(items=items, total=len(items), limit=limit, offset=offset)

    monkeypatch.setattr(endpoints, "Documents", service(endpoint=found, endpoints=listed))
    rows = client.get("/v1/endpoints").json()["items"]
    assert {row["name"]: [each["name"] for each in row["recent_jobs"]] for row in rows} == {"ours": ["one"], "seen": []}
    shown = {name: client.get(f"/v1/endpoints/{name}").json()["recent_jobs"] for name in ("ours", "seen")}
    assert [len(each) for each in shown.values()] == [1, 0]
