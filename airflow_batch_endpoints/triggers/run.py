"""Waiting for a run of a DAG in the triggerer, and what tasks and triggers may ask about runs."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_batch_endpoints.triggers.resuming import settled

FINAL_RUN_STATES = ("success", "failed")
DELETED = "deleted"
"""How a run has ended that was there, and is no more."""


class RunTrigger(BaseTrigger):
    """Looks at a run until there is something to tell. Base of triggers.

    :param poll_interval: seconds between looks.
    """

    def __init__(self, *, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_interval = poll_interval

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return what the triggerer needs to make this again."""

    @abstractmethod
    def look(self) -> dict[str, Any] | None:
        """Return the event to go on with; ``None`` to look again."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        started = time.monotonic()
        while True:
            # A look that is cut off would swallow who wants the end, and on_kill is called for a person only.
            event = await asyncio.shield(sync_to_async(self.look)())
            if event is not None:
                await settled(started)
                yield TriggerEvent(event)
                return
            await asyncio.sleep(self.poll_interval)


def run_state(dag_id: str, run_id: str) -> str | None:
    """Return the state of a run, from a task or a trigger; ``None`` when there is no such run."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    if not RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run_id]):
        return None
    state = RuntimeTaskInstance.get_dagrun_state(dag_id=dag_id, run_id=run_id)
    return str(getattr(state, "value", state))


def final_state(state: str | None) -> str | None:
    """Return how a run has ended that was there; ``None`` while it has not.

    Airflow answers who starts a run only when others can see it, so that one which is not there then has been deleted, alone or
    with its DAG.

    :param state: what :func:`run_state` says.
    """
    return DELETED if state is None else state if state in FINAL_RUN_STATES else None


def any_succeeded(dag_id: str, run_id: str, task_id: str) -> bool:
    """Tell whether an instance of a mapped task has succeeded; from a task or a trigger."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id])
    return "success" in states.get(run_id, {}).values()
