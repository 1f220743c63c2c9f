"""Waiting for a job that another task, a person or another system has started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook
from airflow_batch_endpoints.triggers.job import BatchJobTrigger
from airflow_batch_endpoints.triggers.run import FINAL_RUN_STATES

if TYPE_CHECKING:
    from airflow.sdk import Context


class BatchJobSensor(BaseSensorOperator):
    """Waits until a job has completed; fails at once when it failed. Ending the sensor leaves the job alone.

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

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer."""
        if self.deferrable and not self.poke(context):
            self.defer(
                trigger=BatchJobTrigger(endpoint=self.endpoint, job=self.job, poll_interval=self.poke_interval),
                method_name="execute_complete",
            )
        return None if self.deferrable else super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Judge how the job ended."""
        self._judge(event["state"])

    def poke(self, context: Context) -> bool:
        """Look at the job."""
        state = BatchEndpointHook().state(self.endpoint, self.job)
        if state in FINAL_RUN_STATES:
            self._judge(state)
            return True
        return False

    def _judge(self, state: str | None) -> None:
        if state != "success":
            reason = BatchEndpointHook().error(self.endpoint, self.job)
            raise AirflowFailException(f"job {self.job!r} of endpoint {self.endpoint!r} failed: {reason}")
