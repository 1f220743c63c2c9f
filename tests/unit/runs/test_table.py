from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models import import_all_models
from airflow.models.dagrun import DagRun
from sqlalchemy import create_engine, insert, select, update
from sqlalchemy.orm import Session

from airflow_batch_endpoints.database.models import JobRow, metadata
from airflow_batch_endpoints.runs import table

AT_ONCE = 3


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A database with the tables that are read, of which few runs are looked at together."""
    monkeypatch.setattr(table, "LOOKED_AT", AT_ONCE)
    engine = create_engine("sqlite://")
    import_all_models()
    DagRun.metadata.create_all(engine)
    metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def add_runs(session: Session, states: list[str]) -> None:
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "dag_id": "batch_endpoint.flights", "run_id": f"job-{number}", "state": state, "run_type": "manual",
            "run_after": now, "queued_at": now, "updated_at": now, "conf": {},
        }
        for number, state in enumerate(states)
    ]  # fmt: skip
    session.execute(insert(DagRun), rows)


def looks(session: Session) -> dict[str, datetime]:
    return {name: look for name, look in session.execute(select(JobRow.name, JobRow.refreshed_at))}


def let_time_pass(session: Session, **times: timedelta) -> None:
    """Have every row looked at an hour ago, or as long ago as is said."""
    for name in looks(session):
        age = times.get(name.replace("-", "_"), timedelta(hours=1))
        query = update(JobRow).where(JobRow.name == name).values(refreshed_at=datetime.now(UTC) - age)
        session.execute(query)


@pytest.mark.parametrize("states", [["queued"] * 8, ["running"] * 8, ["queued", "running"] * 4])
def test_no_run_starves_however_many_there_are(session: Session, states: list[str]) -> None:
    add_runs(session, states)
    found = []
    for _ in range(3):
        table.refresh(session)
        found.append(set(looks(session)))
    # By their numbers: who skips one of them may never find it.
    assert found == [{f"job-{number}" for number in range(count)} for count in (3, 6, 8)]
    let_time_pass(session)
    begun = datetime.now(UTC)
    for _ in range(3):
        table.refresh(session)
    assert all(look >= begun for look in looks(session).values())


def test_the_oldest_looks_come_first_after_what_is_new(session: Session) -> None:
    add_runs(session, ["queued"] * 5)
    for _ in range(2):
        table.refresh(session)
    let_time_pass(session, job_4=timedelta(days=2), job_1=timedelta(days=1))
    # Ended, but not looked at since: no state of a run leads there, only that its row is not settled.
    session.execute(update(DagRun).where(DagRun.run_id == "job-1").values(state="failed"))
    begun = datetime.now(UTC)
    session.execute(
        insert(DagRun).values(
            dag_id="batch_endpoint.flights", run_id="new", state="queued", run_type="manual", run_after=begun, conf={}
        )
    )
    table.refresh(session)
    assert {name for name, look in looks(session).items() if look >= begun} == {"new", "job-4", "job-1"}
    (state,) = session.scalars(select(JobRow.state).where(JobRow.name == "job-1"))
    assert state == "Failed"
