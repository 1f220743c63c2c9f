"""What jobs came to, day by day, for one endpoint or for a page of them: one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.utils.sqlalchemy import get_dialect_name
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.database.session import open_session
from airflow_batch_endpoints.runs import table
from airflow_batch_endpoints.services.resources import Day, Statistics

MAX_DAYS = 90


def statistics_of(endpoints: Collection[str], *, days: int = 30) -> dict[str, Statistics]:
    """Return what the jobs of endpoints came to, for each of the last days (UTC) on which some ended.

    :param days: how many days back, at most :data:`MAX_DAYS`.
    """
    since = datetime.now(UTC) - timedelta(days=min(days, MAX_DAYS))
    sums: dict[str, dict[str, dict[str, int]]] = {
        endpoint: defaultdict(lambda: defaultdict(int)) for endpoint in endpoints
    }
    with open_session() as session:
        table.refresh(session)
        day = _day(session)
        amounts = (func.count(), *(func.sum(column) for column in (JobRow.listed, JobRow.failed, JobRow.rows)))
        query = (
            select(JobRow.endpoint, day, JobRow.state, *amounts)
            .where(JobRow.endpoint.in_(endpoints), JobRow.created_at >= since, JobRow.ended_at.is_not(None))
            .group_by(JobRow.endpoint, day, JobRow.state)
        )
        for row in session.execute(query):
            endpoint, date, state = row[:3]
            entry = sums[endpoint][str(date)]
            found: Sequence[Any] = row[3:]
            for name, amount in zip((state.lower(), "items", "items_failed", "rows"), found, strict=True):
                entry[name] += int(amount or 0)
    return {
        endpoint: Statistics(days=[Day(day=day, **counts) for day, counts in sorted(days_of.items())])
        for endpoint, days_of in sums.items()
    }


def _day(session: Session) -> ColumnElement[str]:
    """Return the day (UTC) on which a job ended, such as ``2024-01-31``."""
    if get_dialect_name(session) == "postgresql":
        return func.to_char(func.timezone("UTC", JobRow.ended_at), "YYYY-MM-DD")
    # The others keep times in UTC, without a zone.
    return func.date(JobRow.ended_at)
