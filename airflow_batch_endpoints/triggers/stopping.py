"""Word that the workers of a job are to stop: a task cannot end another run or task, but it can leave a Variable.

There are two reasons: the task that invoked the job was ended, and then the job is canceled; or a step of a pipeline has failed
that does not go on without it, and then the job is failed.
"""

from __future__ import annotations

import json

from airflow_batch_endpoints.jobs.naming import cancel_key
from airflow_batch_endpoints.jobs.stopping import read_stop, stop_request


def request_cancel(endpoint: str, job: str, submission: str, reason: str) -> None:
    """Ask the workers of a submission to stop, because nobody wants the job any longer."""
    from airflow.sdk import Variable

    Variable.set(cancel_key(endpoint, job), json.dumps(stop_request(submission, reason)))


def request_stop(endpoint: str, job: str, submission: str, failed_step: str) -> None:
    """Ask the other steps of a submission to stop, because one has failed; a cancellation stays one."""
    from airflow.sdk import Variable

    key = cancel_key(endpoint, job)
    if read_stop(Variable.get(key, default=None), submission) is None:
        reason = f"step {failed_step!r} failed, and continue_on_step_failure is false"
        Variable.set(key, json.dumps(stop_request(submission, reason, failed_step)))


def stop_reason(endpoint: str, job: str, submission: str, *, heeds_failures: bool = True) -> str | None:
    """Return why a submission of a job is to stop, if it is; from a task or a trigger.

    :param heeds_failures: whether the failure of a step is a reason, as it is for other steps.
    """
    from airflow.sdk import Variable

    found = read_stop(Variable.get(cancel_key(endpoint, job), default=None), submission)
    if found is None or (found.failed_step is not None and not heeds_failures):
        return None
    return found.reason if found.failed_step is not None else f"the job was canceled: {found.reason}"
