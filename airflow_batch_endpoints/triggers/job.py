"""Waiting for a job in the triggerer, and canceling it when a person ends the task that waits."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.triggers.run import FINAL_RUN_STATES, RunTrigger, run_state
from airflow_batch_endpoints.triggers.stopping import request_cancel, stop_reason


class BatchJobTrigger(RunTrigger):
    """Waits until a job has ended.

    :param endpoint: name of the endpoint.
    :param job: name of the job.
    :param submission: the submission to cancel when a person ends the waiting task; ``None`` to leave the job alone.
    :param poll_interval: seconds between looks.
    """

    def __init__(self, *, endpoint: str, job: str, submission: str | None = None, poll_interval: float = 5.0) -> None:
        super().__init__(poll_interval=poll_interval)
        self.endpoint = endpoint
        self.job = job
        self.submission = submission

    def arguments(self) -> dict[str, Any]:
        """Return what the triggerer needs to make this again."""
        return {
            "endpoint": self.endpoint,
            "job": self.job,
            "submission": self.submission,
            "poll_interval": self.poll_interval,
        }

    def look(self) -> dict[str, Any] | None:
        """Tell that the run has ended."""
        state = run_state(dag_id(self.endpoint), self.job)
        return {"endpoint": self.endpoint, "job": self.job, "state": state} if state in FINAL_RUN_STATES else None

    async def on_kill(self) -> None:
        """Cancel the job: called when a person ends the waiting task, not when the triggerer restarts."""
        if self.submission is not None:
            await sync_to_async(request_cancel)(
                self.endpoint, self.job, self.submission, "the task that invoked it was ended"
            )


class OtherDagTrigger(RunTrigger):
    """Waits until the run has ended that a job consists of, or the job is canceled.

    :param other_dag: id of the DAG.
    :param other_run: id of the run.
    :param endpoint: name of the job's endpoint.
    :param job: name of the job.
    :param submission: which submission of the job.
    :param poll_interval: seconds between looks.
    """

    def __init__(
        self, *, other_dag: str, other_run: str, endpoint: str, job: str, submission: str, poll_interval: float = 5.0
    ) -> None:
        super().__init__(poll_interval=poll_interval)
        self.other_dag = other_dag
        self.other_run = other_run
        self.endpoint = endpoint
        self.job = job
        self.submission = submission

    def arguments(self) -> dict[str, Any]:
        """Return what the triggerer needs to make this again."""
        return {
            "other_dag": self.other_dag,
            "other_run": self.other_run,
            "endpoint": self.endpoint,
            "job": self.job,
            "submission": self.submission,
            "poll_interval": self.poll_interval,
        }

    def look(self) -> dict[str, Any] | None:
        """Tell that the run has ended or that the job is to."""
        reason = stop_reason(self.endpoint, self.job, self.submission)
        if reason is not None:
            return {"stopped": reason}
        state = run_state(self.other_dag, self.other_run)
        return {"state": state} if state in FINAL_RUN_STATES else None
