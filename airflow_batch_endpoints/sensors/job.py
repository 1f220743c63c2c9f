"""Waiting for a job that another task, a person or another system has started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook
from airflow_batch_endpoints.triggers.job import BatchJobTrigger
from airflow_batch_endpoints.triggers.resuming import time_left
from airflow_batch_endpoints.triggers.run import DELETED, final_state

if TYPE_CHECKING:
    from airflow.sdk import Context

_SEEN = "job_seen"
"""Key of the try of the task that has seen the job."""


class BatchJobSensor(BaseSensorOperator):
    """Waits until a job has completed; fails at once when it failed or was deleted. Ending the sensor leaves the job alone.

    :param endpoint: name of the endpoint (templated).
    :param job: name of the job (templated).
    :param deferrable: whether to wait in the triggerer, without a worker slot.
    """

    template_fields: Sequence[str] = ("endpoint", "job")

    def __init__(
        self,
        *,
        endpoint: str,
        job: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.job = job
        self.deferrable = deferrable

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Judge how the job ended."""
        self._judge(event["state"])

    def poke(self, context: Context) -> bool:
        """Look at the job, and go on looking in the triggerer if the sensor is to wait there."""
        state = BatchEndpointHook().state(self.endpoint, self.job)
        store, this_try = context["task_state_store"], context["ti"].try_number
        was_seen = store.get(_SEEN) == this_try
        if state is not None and not was_seen:
            # With mode="reschedule" the next look is another process's; that of another try may be for another job of that name.
            store.set(_SEEN, this_try)
            was_seen = True
        ended = final_state(state) if was_seen else None
        if ended is not None:
            self._judge(ended)
            return True
        if self.deferrable:
            self.defer(
                trigger=BatchJobTrigger(
                    endpoint=self.endpoint, job=self.job, was_seen=was_seen, poll_interval=self.poke_interval
                ),
                method_name="execute_complete",
                timeout=time_left(context["ti"].start_date, timedelta(seconds=self.timeout), self.execution_timeout),
            )
        return False

    def _judge(self, state: str) -> None:
        job = f"job {self.job!r} of endpoint {self.endpoint!r}"
        if state == DELETED:
            raise AirflowFailException(f"{job} was deleted while it was waited for; clear this task to wait again")
        if state != "success":
            raise AirflowFailException(f"{job} failed: {BatchEndpointHook().error(self.endpoint, self.job)}")
