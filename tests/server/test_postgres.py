"""What only a real Postgres can show: many writers at once, and migrations."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients import body
from tests.server.conftest import ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

COUNT = """
from airflow.utils.session import create_session
from sqlalchemy import text
with create_session() as session:
    for table in ("dag_run", "batch_endpoints_job", "batch_endpoints_revision"):
        print(session.execute(text(f"select count(*) from {table}")).scalar())
"""
MIGRATE = """
import json, sys
from airflow.utils.session import create_session
from sqlalchemy import inspect, text
from airflow_batch_endpoints.database.manager import HEAD, BatchEndpointsDBManager

def tables(session):
    return {name for name in inspect(session.get_bind()).get_table_names() if name.startswith("batch_endpoints_")}

def columns(session):
    found = inspect(session.get_bind())
    return {
        table: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(table)},
            sorted(index["name"] for index in found.get_indexes(table)),
            sorted(unique["name"] for unique in found.get_unique_constraints(table)),
        )
        for table in sorted(tables(session))
    }

with create_session(scoped=False) as session:
    manager = BatchEndpointsDBManager(session)
    assert manager.check_migration()
    from_models = columns(session)
    assert len(from_models) == 3, from_models
    session.commit()
    manager.downgrade("base")
with create_session(scoped=False) as session:
    assert not tables(session)
    manager = BatchEndpointsDBManager(session)
    session.commit()
    manager.upgradedb(use_migration_files=True)
with create_session(scoped=False) as session:
    # The migrations make what the models say.
    assert columns(session) == from_models, (columns(session), from_models)
    assert BatchEndpointsDBManager(session).get_current_revision() == HEAD
"""


def statuses(answers: list[int]) -> dict[int, int]:
    return {status: answers.count(status) for status in set(answers)}


@pytest.mark.extended
def test_many_invocations_with_few_keys(on_postgres: ApiServer) -> None:
    server = on_postgres
    endpoint = server.endpoint("crowded")
    server.token("user")

    def invoke(number: int) -> tuple[int, str]:
        headers = {"repeatability_request-id": f"key-{number % 50}"}
        for _ in range(10):
            answer = server.rest(
                "POST", f"/v1/endpoints/{endpoint}/jobs", json=body(server.inputs), headers=headers, role="user"
            )
            if answer.status_code != 503:
                break
        return answer.status_code, answer.json().get("name", answer.text)

    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(invoke, range(200)))
    assert statuses([status for status, _ in found]) == {201: 50, 200: 150}, found
    assert len({name for _, name in found}) == 50
    runs, jobs, _ = server.python(COUNT).stdout.split()[-3:]
    assert (runs, jobs) == ("50", "50")
    other = server.rest(
        "POST",
        f"/v1/endpoints/{endpoint}/jobs",
        json=body(server.inputs, miniBatchSize=9),
        headers={"repeatability_request-id": "key-7"},
    )
    assert other.status_code == 409


@pytest.mark.extended
def test_two_writers_with_one_etag(on_postgres: ApiServer) -> None:
    server = on_postgres
    server.rest("PUT", "/v1/endpoints/contested", json={"description": "0"})
    for turn in range(1, 6):
        tag = server.rest("GET", "/v1/endpoints/contested").headers["etag"]

        def write(number: int, tag: str = tag, turn: int = turn) -> int:
            document = {"description": f"{turn}-{number}"}
            answer = server.rest("PUT", "/v1/endpoints/contested", json=document, headers={"If-Match": tag})
            return answer.status_code

        with ThreadPoolExecutor(4) as pool:
            assert statuses(list(pool.map(write, range(4)))) == {200: 1, 412: 3}
    revisions = server.rest("GET", "/v1/endpoints/contested/revisions").json()
    assert revisions["total"] == 6
    creations = [("PUT", f"/v1/endpoints/new{turn}") for turn in range(3)]
    for method, path in creations:
        with ThreadPoolExecutor(4) as pool:
            found = list(
                pool.map(
                    lambda number, method=method, path=path: (
                        server.rest(  # type: ignore[misc]
                            method, path, json={"description": str(number)}, headers={"If-None-Match": "*"}
                        ).status_code
                    ),
                    range(4),
                )
            )
        assert statuses(found) == {201: 1, 412: 3}


@pytest.mark.extended
def test_migrations_down_and_up_with_data(on_postgres: ApiServer) -> None:
    server = on_postgres
    before = server.rest("GET", "/v1/endpoints/crowded/jobs?limit=200").json()
    assert before["total"] == 50
    server.python(MIGRATE)
    # The projection is made again from the runs; the documents' history begins anew with what is found.
    server.run("batch-endpoints", "jobs", "sync")
    after = server.rest("GET", "/v1/endpoints/crowded/jobs?limit=200").json()
    assert [job["name"] for job in after["items"]] == [job["name"] for job in before["items"]]
    revisions = server.rest("GET", "/v1/endpoints/contested/revisions").json()["items"]
    assert [revision["change"] for revision in revisions] == ["found"]
    assert json.dumps(revisions[0]["document"]).count("5-") == 1


def test_migrations_on_sqlite(server: ApiServer) -> None:
    server.rest("PUT", "/v1/endpoints/kept", json={"description": "kept"})
    server.python(MIGRATE)
    assert server.rest("GET", "/v1/endpoints/kept/revisions").json()["items"][0]["change"] == "found"


@pytest.mark.parametrize("dialect", ["mysql", "postgresql", "sqlite"])
def test_statements_compile(server: ApiServer, dialect: str) -> None:
    """MySQL is compiled for and not run: the documentation says so."""
    code = """
import importlib, sys
from sqlalchemy.schema import CreateIndex, CreateTable
from airflow_batch_endpoints.database.models import JobRow, metadata
from airflow_batch_endpoints.database.session import upsert_statement
dialect = importlib.import_module(f"sqlalchemy.dialects.{sys.argv[1]}").dialect()
for table in metadata.sorted_tables:
    print(CreateTable(table).compile(dialect=dialect))
    for index in table.indexes:
        print(CreateIndex(index).compile(dialect=dialect))
columns = tuple(column.name for column in JobRow.__table__.columns if column.name != "id")
print(upsert_statement(sys.argv[1], JobRow, ("endpoint", "name"), columns).compile(dialect=dialect))
"""
    printed = server.python(code, dialect).stdout
    assert printed.count("CREATE TABLE") == 3
    assert (
        printed.count("ON DUPLICATE KEY UPDATE" if dialect == "mysql" else "ON CONFLICT (endpoint, name) DO UPDATE")
        == 1
    )
