"""When a deferred task may go on: not before Airflow has noticed that the process which deferred it has ended.

Airflow notices that up to ``[workers] min_heartbeat_interval`` seconds late. If the task runs again by then, the end of the first
process is taken for that of the second, and the task is failed (apache/airflow issue 72716, open as of 3.3.2). So no trigger may
fire sooner.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from airflow.sdk import conf

MARGIN_SECONDS = 2.0
"""For the scheduler to look at what its executor has noticed."""


async def settled(started: float) -> None:
    """Wait until a task may go on.

    :param started: when its trigger was started, on the monotonic clock.
    """
    await asyncio.sleep(max(0.0, started + _settling_seconds() - time.monotonic()))


def time_left(started: datetime, *limits: timedelta | None) -> timedelta | None:
    """Return how long a task may be deferred; ``None`` without an end.

    :param started: when the try of the task has started.
    :param limits: how long it may take.
    """
    given = [limit for limit in limits if limit is not None]
    if not given:
        return None
    return max(started + min(given) - datetime.now(UTC), timedelta(seconds=_settling_seconds()))


def _settling_seconds() -> float:
    return conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0) + MARGIN_SECONDS
