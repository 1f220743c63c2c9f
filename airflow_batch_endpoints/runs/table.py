"""The table of jobs: kept up to date when it is read, and answering lists with one page at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow.models.dagrun import DagRun
from sqlalchemy import func, or_, select, union
from sqlalchemy.orm import Session, load_only
from sqlalchemy.sql import ColumnElement

from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.database.session import upsert
from airflow_batch_endpoints.jobs.naming import DAG_PREFIX, dag_id
from airflow_batch_endpoints.jobs.states import TERMINAL, JobState
from airflow_batch_endpoints.runs.control import end_other_run
from airflow_batch_endpoints.runs.facts import gather
from airflow_batch_endpoints.runs.projection import other_dag, project

CHUNK = 200
"""Runs that are looked at together."""
LOOKED_AT = 400
"""Most runs that one read brings up to date: those that have no row yet, then the oldest looks, so that none starves."""
FRESH = timedelta(seconds=1)
"""A row that young is not looked at again."""
OVERLAP = 1000
"""How many numbers of runs before the newest known one are looked at for new ones: transactions commit out of order."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list is of. ``None`` everywhere: all."""

    endpoints: Collection[str] | None = None
    name: str | None = None
    deployment: str | None = None
    invoker: str | None = None
    states: Collection[JobState] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions on the table."""
        if self.endpoints is not None:
            yield JobRow.endpoint.in_(self.endpoints)
        if self.name is not None:
            yield JobRow.name == self.name
        if self.deployment is not None:
            yield JobRow.deployment == self.deployment
        if self.invoker is not None:
            yield JobRow.invoker == self.invoker
        if self.states is not None:
            yield JobRow.state.in_(self.states)
        if self.created_from is not None:
            yield JobRow.created_at >= self.created_from
        if self.created_before is not None:
            yield JobRow.created_at < self.created_before


def page(session: Session, wanted: JobFilter, *, limit: int, offset: int) -> tuple[list[JobRow], int]:
    """Return a page of jobs of a table that is fresh, newest first, and how many there are in all."""
    conditions = list(wanted.conditions())
    query = select(JobRow).where(*conditions).order_by(JobRow.created_at.desc(), JobRow.dag_run_id.desc())
    rows = list(session.scalars(query.limit(limit).offset(offset)))
    stale = _changed_since(session, rows)
    if stale:
        look_at(session, stale)
        for row in rows:
            session.refresh(row)
    total = session.scalar(select(func.count()).select_from(JobRow).where(*conditions)) or 0
    return rows, total


def find(session: Session, endpoint: str, job: str) -> JobRow | None:
    """Return a job as it is now."""
    run = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id(endpoint), DagRun.run_id == job))
    query = select(JobRow).where(JobRow.endpoint == endpoint, JobRow.name == job)
    row = session.scalar(query)
    if run is not None and (row is None or not row.is_settled or _changed_since(session, [row])):
        look_at(session, [run])
        return session.scalar(query.execution_options(populate_existing=True))
    if run is None and row is not None and not row.is_settled:
        _settle_deleted(row)
    return row


def newest(session: Session, endpoints: Collection[str], *, each: int) -> dict[str, list[JobRow]]:
    """Return the newest jobs of each endpoint, newest first, with no more read of them than a strip of states needs."""
    if not endpoints:
        return {}
    refresh(session)
    number = func.row_number().over(partition_by=JobRow.endpoint, order_by=JobRow.created_at.desc()).label("number")
    ranked = select(JobRow.id, number).where(JobRow.endpoint.in_(endpoints)).subquery()
    needed = (
        JobRow.endpoint, JobRow.name, JobRow.state, JobRow.created_at, JobRow.started_at, JobRow.ended_at, JobRow.rows,
    )  # fmt: skip
    query = select(JobRow).join(ranked, JobRow.id == ranked.c.id).where(ranked.c.number <= each)
    found: dict[str, list[JobRow]] = {endpoint: [] for endpoint in endpoints}
    for row in session.scalars(
        query.options(load_only(*needed)).order_by(JobRow.created_at.desc(), JobRow.dag_run_id.desc())
    ):
        found[row.endpoint].append(row)
    return found


def endpoints(session: Session) -> set[str]:
    """Return the endpoints that have jobs in a table that is fresh, also those that are deleted."""
    return set(session.scalars(select(JobRow.endpoint).distinct()))


def has_running(session: Session, endpoint: str) -> bool:
    """Tell whether jobs of an endpoint are queued or running. Asks the runs themselves."""
    query = select(func.count()).where(DagRun.dag_id == dag_id(endpoint), DagRun.state.in_(["queued", "running"]))
    return bool(session.scalar(query))


# -- keeping it up to date -------------------------------------------------------------------------------------------


def refresh(session: Session) -> None:
    """Look at what may have changed: runs that are new or under way, and rows that are not settled."""
    now = datetime.now(UTC)
    newest_run = session.scalar(select(func.max(JobRow.dag_run_id))) or 0
    ours = (
        select(DagRun.id.label("run"), JobRow.refreshed_at)
        .outerjoin(JobRow, JobRow.dag_run_id == DagRun.id)
        .where(DagRun.dag_id.startswith(DAG_PREFIX, autoescape=True))
    )
    is_due = or_(JobRow.id.is_(None), JobRow.refreshed_at < now - FRESH)
    # One query each, for each has an index of its own.
    due = union(
        ours.where(DagRun.id > newest_run - OVERLAP, JobRow.id.is_(None)),
        *(ours.where(DagRun.state == state, is_due) for state in ("queued", "running")),
        select(JobRow.dag_run_id, JobRow.refreshed_at).where(
            JobRow.is_settled.is_(False), JobRow.refreshed_at < now - FRESH
        ),
    ).subquery()
    # Runs without a row first, by their numbers: those before the newest known one by more than OVERLAP are never found.
    order = (due.c.refreshed_at.is_not(None), due.c.refreshed_at, due.c.run)
    look_at(session, list(session.scalars(select(due.c.run).order_by(*order).limit(LOOKED_AT))))


def sync(session: Session, *, after: int = 0) -> tuple[int, int]:
    """Look at the next runs in order of their numbers, whether or not they seem to have changed. Deletes nothing.

    :param after: number of the run before the first.
    :return: number of the last run that was looked at, and how many were; ``(after, 0)`` when none is left.
    """
    query = select(DagRun.id).where(DagRun.id > after, DagRun.dag_id.startswith(DAG_PREFIX, autoescape=True))
    runs = list(session.scalars(query.order_by(DagRun.id).limit(CHUNK)))
    look_at(session, runs)
    return (runs[-1], len(runs)) if runs else (after, 0)


def look_at(session: Session, runs: Sequence[int]) -> None:
    """Write the rows of runs as they are now."""
    now = datetime.now(UTC)
    for start in range(0, len(runs), CHUNK):
        chunk = runs[start : start + CHUNK]
        facts = gather(session, chunk)
        upsert(session, JobRow, ["endpoint", "name"], [project(run, now) for run in facts])
        for run in facts:
            if run.state == "failed" and (dag := other_dag(run)) is not None:
                end_other_run(session, run.endpoint, run.job, dag)
        gone = set(chunk) - {run.dag_run_id for run in facts}
        if gone:
            query = select(JobRow).where(JobRow.dag_run_id.in_(gone), JobRow.is_settled.is_(False))
            for row in session.scalars(query):
                _settle_deleted(row)


def _changed_since(session: Session, rows: Sequence[JobRow]) -> list[int]:
    """Return the runs of rows that say something else than they did."""
    if not rows:
        return []
    known = {row.dag_run_id: row.run_updated_at for row in rows}
    found = session.execute(select(DagRun.id, DagRun.updated_at).where(DagRun.id.in_(known)))
    return [run for run, updated in found if updated != known[run]]


def _settle_deleted(row: JobRow) -> None:
    """End a job whose run somebody has deleted: nothing will ever be heard of it again."""
    row.is_settled = True
    if row.state not in TERMINAL:
        row.state, row.error = "Canceled", "its DAG run was deleted while it was under way"
        row.ended_at = datetime.now(UTC)
