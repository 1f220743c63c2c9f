"""What jobs came to, day by day, for one endpoint or for a page of them: one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

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
    columns = (JobRow.endpoint, JobRow.state, JobRow.ended_at, JobRow.listed, JobRow.failed, JobRow.rows)
    sums: dict[str, dict[str, dict[str, int]]] = {
        endpoint: defaultdict(lambda: defaultdict(int)) for endpoint in endpoints
    }
    with open_session() as session:
        table.refresh(session)
        for row in session.execute(
            select(*columns).where(
                JobRow.endpoint.in_(endpoints), JobRow.created_at >= since, JobRow.ended_at.is_not(None)
            )
        ):
            day = sums[row.endpoint][row.ended_at.astimezone(UTC).date().isoformat()]
            day[row.state.lower()] += 1
            day["items"] += row.listed or 0
            day["items_failed"] += row.failed or 0
            day["rows"] += row.rows or 0
    return {
        endpoint: Statistics(days=[Day(day=day, **counts) for day, counts in sorted(found.items())])
        for endpoint, found in sums.items()
    }
