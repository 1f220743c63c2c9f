"""The job of a run as its tasks know it: what ``plan`` has left for the others, and whether they are to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_batch_endpoints.triggers.stopping import stop_reason

if TYPE_CHECKING:
    from airflow.sdk import Context

SUMMARY, PROGRESS, JOB, ERROR, COMPUTE, DETAILS = "summary", "progress", "job", "error", "compute", "details"
"""Keys of the XComs that tasks leave: how it went, how far it is, the job (of ``plan``), what went wrong, where it runs, and
what else a job of a pipeline or of another DAG consists of (of ``plan``)."""


def submission_of(context: Context) -> str:
    """Return what tells this submission of a run from those before it was cleared."""
    return str(context["dag_run"].clear_number or 0)


def planned_job(context: Context, plan_task_id: str) -> dict[str, Any]:
    """Return what ``plan`` has told the other tasks of the job."""
    job = context["ti"].xcom_pull(task_ids=plan_task_id, key=JOB)
    if not job:
        raise AirflowFailException(f"the job was never planned: task {plan_task_id} left nothing; clear the whole run")
    return dict(job)


def details(context: Context, plan_task_id: str) -> dict[str, Any]:
    """Return what the job consists of, if it is not of a model."""
    return dict(context["ti"].xcom_pull(task_ids=plan_task_id, key=DETAILS) or {})


def require_own(job: dict[str, Any], deployment: str, step: str | None) -> None:
    """Skip the task unless the job has it: the job may be of another deployment, or of this one as it was before."""
    if job["deployment"] != deployment or (step is not None and step not in job["steps"]):
        what = f"deployment {deployment}" if step is None else f"step {step} of deployment {deployment}"
        raise AirflowSkipException(f"{what} is no part of this job, which is of deployment {job['deployment']}")


def stop_if_asked(context: Context, endpoint: str, *, heeds_failures: bool = True) -> None:
    """End the task when the job is to stop.

    :param heeds_failures: whether the failure of a step is a reason.
    """
    reason = stop_reason(
        endpoint, str(context["dag_run"].run_id), submission_of(context), heeds_failures=heeds_failures
    )
    if reason is not None:
        stopped(context, reason)


def stopped(context: Context, reason: str) -> None:
    """End the task, and say that it did not fail by itself."""
    context["ti"].xcom_push(SUMMARY, {"state": "Canceled"})
    raise AirflowFailException(reason)
