"""Starting runs of DAGs from a task, through the Execution API."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_batch_endpoints.exceptions import InfrastructureError, NotFoundError, UserError

if TYPE_CHECKING:
    from airflow.sdk.execution_time.comms import DagRunResult, ErrorResponse


def start_run(dag_id: str, run_id: str, conf: dict[str, Any], *, resume: bool = False) -> bool:
    """Start a run.

    :param run_id: a run of that id is not started twice.
    :param conf: its parameters.
    :param resume: when there is such a run, clear it.
    :return: whether it was started (or resumed) now.
    :raises NotFoundError: there is no such DAG.
    :raises UserError: the DAG does not take these parameters.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    message = TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf, reset_dag_run=resume)
    try:
        answer = SUPERVISOR_COMMS.send(message)
    except AirflowRuntimeError as error:
        answer = error.error
    if not isinstance(answer, ErrorResponse):
        return True
    if answer.error == ErrorType.DAGRUN_ALREADY_EXISTS:
        return False
    status = status_of(answer)
    if status == HTTPStatus.NOT_FOUND:
        raise NotFoundError(f"there is no DAG {dag_id!r}")
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        raise UserError(f"DAG {dag_id!r} cannot be started so: {answer.detail}")
    raise InfrastructureError(f"run {run_id!r} of DAG {dag_id!r} could not be started: {answer.error}: {answer.detail}")


def status_of(error: ErrorResponse) -> int | None:
    """Return the HTTP status that the Execution API refused something with, if it was that which refused."""
    from airflow.sdk.exceptions import ErrorType

    if error.error != ErrorType.API_SERVER_ERROR or not isinstance(error.detail, dict):
        return None
    status = error.detail.get("status_code")
    return status if isinstance(status, int) else None


def is_paused(dag_id: str) -> bool | None:
    """Tell whether a DAG is paused, so that a run of it would wait; ``None`` when there is no such DAG."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    try:
        return bool(RuntimeTaskInstance.get_dag(dag_id).is_paused)
    except AirflowRuntimeError:
        return None


def conf_of(dag_id: str, run_id: str) -> dict[str, Any] | None:
    """Return the parameters of a run; ``None`` when there is no such run."""
    found = _find(dag_id, run_id)
    return None if found is None else dict(found.conf or {})


def submission_of_run(dag_id: str, run_id: str) -> str | None:
    """Return what tells this submission of a run from those before it was cleared; ``None`` when there is no such run."""
    found = _find(dag_id, run_id)
    return None if found is None else str(found.clear_number or 0)


def _find(dag_id: str, run_id: str) -> DagRunResult | None:
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import DagRunResult, GetDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        found = SUPERVISOR_COMMS.send(GetDagRun(dag_id=dag_id, run_id=run_id))
    except AirflowRuntimeError as error:
        if status_of(error.error) != HTTPStatus.NOT_FOUND:
            raise
        return None
    return found if isinstance(found, DagRunResult) else None
