from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from airflow_batch_endpoints.triggers.run import RunTrigger


class Looking(RunTrigger):
    """Looks until it is let go."""

    def __init__(self) -> None:
        super().__init__(poll_interval=0.0)
        self.looks, self.let_go = threading.Event(), threading.Event()

    def arguments(self) -> dict[str, Any]:
        return {}

    def look(self) -> None:
        self.looks.set()
        self.let_go.wait(10)


async def canceled_while_it_looks() -> None:
    trigger = Looking()
    running = asyncio.ensure_future(anext(trigger.run()))
    await asyncio.to_thread(trigger.looks.wait, 10)
    running.cancel("a person")
    await asyncio.sleep(0)
    trigger.let_go.set()
    await running


def test_who_ends_a_trigger_is_known_also_in_the_middle_of_a_look() -> None:
    with pytest.raises(asyncio.CancelledError, match="a person"):
        asyncio.run(canceled_while_it_looks())
