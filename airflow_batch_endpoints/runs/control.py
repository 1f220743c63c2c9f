"""Starting and ending jobs: creating runs once, and setting them to failed with a note that says who wanted it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from airflow_batch_endpoints.exceptions import ConflictError, NotFoundError, UserError
from airflow_batch_endpoints.jobs.naming import dag_id, other_run, request_digest
from airflow_batch_endpoints.runs.dags import has_dag
from airflow_batch_endpoints.runs.projection import CANCELED


def find_run(session: Session, endpoint: str, job: str) -> DagRun | None:
    """Return the run of a job."""
    return session.scalar(select(DagRun).where(DagRun.dag_id == dag_id(endpoint), DagRun.run_id == job))


def start(
    session: Session,
    endpoint: str,
    conf: dict[str, Any],
    *,
    job: str,
    user: str,
    triggered_by: DagRunTriggeredByType,
) -> bool:
    """Start a job, once: the same request under the same name is the same job.

    :param conf: parameters of the run.
    :param job: name of the job.
    :return: whether it was started now.
    :raises ConflictError: another request has that name.
    :raises NotFoundError: the endpoint has no DAG (yet).
    :raises UserError: Airflow does not take the name or a parameter.
    """
    run = find_run(session, endpoint, job)
    if run is None:
        try:
            with session.begin_nested():
                _create_run(session, endpoint, conf, job, user, triggered_by)
        except IntegrityError:
            # Two at once: the other one's insert went first. What it asked for is compared below.
            run = find_run(session, endpoint, job)
            if run is None:
                raise
        else:
            return True
    if request_digest(run.conf if isinstance(run.conf, dict) else {}) != request_digest(conf):
        raise ConflictError(f"job {job!r} exists and asks for something else; give this one another name")
    return False


def _create_run(
    session: Session, endpoint: str, conf: dict[str, Any], job: str, user: str, triggered_by: DagRunTriggeredByType
) -> None:
    from airflow.models.dagbag import DBDagBag
    from airflow.sdk.exceptions import AirflowException
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    dag = (
        DBDagBag().get_latest_version_of_dag(dag_id(endpoint), session=session) if has_dag(session, endpoint) else None
    )
    if dag is None:
        raise NotFoundError(
            f"endpoint {endpoint!r} has no DAG yet; the DAG processor must parse the file that calls "
            "airflow_batch_endpoints.dags.build, wait a moment and repeat"
        )
    try:
        dag.create_dagrun(
            run_id=job,
            run_after=datetime.now(UTC),
            conf=conf,
            run_type=DagRunType.MANUAL,
            triggered_by=triggered_by,
            triggering_user_name=user,
            state=DagRunState.QUEUED,
            session=session,
        )
        session.flush()
    except (AirflowException, ValueError) as error:
        raise UserError(f"the job cannot be started: {error}") from error


def cancel(session: Session, endpoint: str, job: str, *, user: str) -> None:
    """Cancel a job: its run is set to failed, which stops its workers, and a note says why."""
    run = find_run(session, endpoint, job)
    if run is None:
        raise NotFoundError(f"the run of job {job!r} of endpoint {endpoint!r} is gone")
    if not _end(session, run, f"{CANCELED}{user}"):
        raise NotFoundError(f"the DAG of endpoint {endpoint!r} is gone; its run cannot be ended this way")


def end_other_run(session: Session, endpoint: str, job: str, dag: str) -> None:
    """End the run of another DAG that a job consists of which has ended: a task of the job could not.

    :param dag: id of that DAG. Only the run that is named after the job is ended.
    """
    run = session.scalar(
        select(DagRun).where(
            DagRun.dag_id == dag,
            DagRun.run_id == other_run(endpoint, job),
            DagRun.state.in_(["queued", "running"]),
        )
    )
    if run is not None:
        _end(session, run, f"ended with job {job} of batch endpoint {endpoint}")


def _end(session: Session, run: DagRun, note: str) -> bool:
    """Set a run to failed, with a note that says why; return whether its DAG is still there to do so."""
    from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
    from airflow.models.dagbag import DBDagBag

    dag = DBDagBag().get_dag_for_run(run, session=session)
    if dag is None:
        return False
    run.note = note
    session.flush()
    set_dag_run_state_to_failed(dag=dag, run_id=run.run_id, commit=True, session=session)
    return True
