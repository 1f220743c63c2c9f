from __future__ import annotations

import asyncio
import time

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
