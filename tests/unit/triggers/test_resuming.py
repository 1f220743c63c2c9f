from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from airflow_batch_endpoints.triggers import resuming


@pytest.mark.parametrize(("elapsed", "rest"), [(0.0, 7.0), (3.0, 4.0), (60.0, 0.0)])
def test_no_task_goes_on_before_its_first_process_is_known_to_have_ended(
    monkeypatch: pytest.MonkeyPatch, elapsed: float, rest: float
) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0 + elapsed)
    coroutine = resuming.settled(100.0)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert slept == [rest]


def test_no_task_is_deferred_longer_than_it_may_take() -> None:
    hour, minute, now = timedelta(hours=1), timedelta(minutes=1), datetime.now(UTC)
    assert resuming.time_left(now, None) is None
    for limits in ([hour], [None, hour], [hour, timedelta(days=7)]):
        left = resuming.time_left(now - minute, *limits)
        assert left is not None
        assert hour - 2 * minute < left <= hour - minute, "what it has taken already counts"
    assert resuming.time_left(now - hour, minute) == timedelta(seconds=7), (
        "its first process must be known to have ended"
    )
