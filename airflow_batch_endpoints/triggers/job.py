"""Waiting for a job in the triggerer, and canceling it when a person ends the task that waits."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.triggers.run import RunTrigger, final_state, run_state
from airflow_batch_endpoints.triggers.stopping import request_cancel, stop_reason


class BatchJobTrigger(RunTrigger):
    """Waits until a job has ended.

    :param endpoint: name of the endpoint.
    :param job: name of the job.
    :param submission: the submission to cancel when a person ends the waiting task; ``None`` to leave the job alone.
    :param was_seen: whether the job has been there, so that it is deleted when it is not; otherwise it may be yet to come.
    :param poll_interval: seconds between looks.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        job: str,
        submission: str | None = None,
        was_seen: bool = True,
        poll_interval: float = 5.0,
    ) -> None:
        super().__init__(poll_interval=poll_interval)
        self.endpoint = endpoint
        self.job = job
        self.submission = submission
        self.was_seen = was_seen

    def arguments(self) -> dict[str, Any]:
        """Return what the triggerer needs to make this again."""
        return {
            "endpoint": self.endpoint,
            "job": self.job,
            "submission": self.submission,
            "was_seen": self.was_seen,
            "poll_interval": self.poll_interval,
        }

    def look(self) -> dict[str, Any] | None:
        """Tell that the run has ended."""
        state = run_state(dag_id(self.endpoint), self.job)
        self.was_seen = self.was_seen or state is not None
        ended = final_state(state) if self.was_seen else None
        return None if ended is None else {"endpoint": self.endpoint, "job": self.job, "state": ended}

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
        state = final_state(run_state(self.other_dag, self.other_run))
        return None if state is None else {"state": state}
