"""Waiting for a job in the triggerer, and canceling it when a person ends the task that waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_batch_endpoints.jobs.naming import cancel_key, dag_id
from airflow_batch_endpoints.triggers.resuming import settled

FINAL_RUN_STATES = ("success", "failed")


class BatchJobTrigger(BaseTrigger):
    """Waits until a job has ended.

    :param endpoint: name of the endpoint.
    :param job: name of the job.
    :param submission: the submission to cancel when a person ends the waiting task; ``None`` to leave the job alone.
    :param poll_interval: seconds between looks.
    """

    def __init__(self, *, endpoint: str, job: str, submission: str | None = None, poll_interval: float = 5.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.endpoint = endpoint
        self.job = job
        self.submission = submission
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "endpoint": self.endpoint,
                "job": self.job,
                "submission": self.submission,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the run has ended."""
        started = time.monotonic()
        while True:
            state = await sync_to_async(run_state)(self.endpoint, self.job)
            if state in FINAL_RUN_STATES:
                await settled(started)
                yield TriggerEvent({"endpoint": self.endpoint, "job": self.job, "state": state})
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Cancel the job: called when a person ends the waiting task, not when the triggerer restarts."""
        if self.submission is not None:
            await sync_to_async(request_cancel)(
                self.endpoint, self.job, self.submission, "the task that invoked it was ended"
            )


def run_state(endpoint: str, job: str) -> str | None:
    """Return the state of a job's run, from a task or a trigger; ``None`` when there is no such run."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    if not RuntimeTaskInstance.get_dr_count(dag_id=dag_id(endpoint), run_ids=[job]):
        return None
    state = RuntimeTaskInstance.get_dagrun_state(dag_id=dag_id(endpoint), run_id=job)
    return str(getattr(state, "value", state))


def request_cancel(endpoint: str, job: str, submission: str, reason: str) -> None:
    """Ask the workers of a submission to stop: a task cannot end another run, but it can leave word."""
    from airflow.sdk import Variable

    Variable.set(cancel_key(endpoint, job), json.dumps({"submission": submission, "reason": reason}))


def cancellation(endpoint: str, job: str, submission: str) -> str | None:
    """Return why the task that invoked a job asked for the end of this submission, if it did; from a task or a trigger."""
    from airflow.sdk import Variable

    text = Variable.get(cancel_key(endpoint, job), default=None)
    if text is None:
        return None
    request = json.loads(text)
    return str(request.get("reason", "")) if str(request.get("submission")) == submission else None


def any_succeeded(dag_id: str, run_id: str, task_id: str) -> bool:
    """Tell whether an instance of a mapped task has succeeded; from a task or a trigger."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id])
    return "success" in states.get(run_id, {}).values()
