"""Endpoints and jobs from a task: documents through Variables, jobs through the Execution API. No database, no connection."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_batch_endpoints.exceptions import ConflictError, InfrastructureError, NotFoundError
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.triggers.job import request_cancel, run_state

if TYPE_CHECKING:
    from airflow.sdk.execution_time.comms import ErrorResponse

    from airflow_batch_endpoints.documents.base import Document
    from airflow_batch_endpoints.registry.registry import Registry


class BatchEndpointHook(BaseHook):
    """Endpoints and jobs, for the code of a task.

    It works on the Airflow it runs in and needs no connection.
    """

    def __init__(self) -> None:
        super().__init__()

    def registry(self) -> Registry:
        """Return the registry of documents, as tasks see it: between two writers, the last one wins."""
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.registry.registry import Registry
        from airflow_batch_endpoints.registry.task import TaskStore

        return Registry(TaskStore(), user="a task", allow_unrestricted_pods=settings().allow_unrestricted_pods)

    # -- documents --------------------------------------------------------------------------------------------------

    def apply(self, *documents: str | Path | dict[str, Any], set_default: bool = False) -> list[dict[str, str]]:
        """Create or update documents, all or none checked beforehand.

        :param documents: paths of YAML files, or the content as a mapping (then paths in it must be URIs).
        :param set_default: make the (one) deployment among them the default of its endpoint.
        :return: for each its ``kind``, ``name``, ``endpoint`` and ``result``: ``created``, ``updated`` or ``unchanged``.
        :raises DocumentError: with every problem.
        """
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.registry.registry import described
        from airflow_batch_endpoints.registry.staging import stage

        artifact_uri = settings().artifact_uri
        staged = [stage(document, base, artifact_uri) for base, document in map(_load, documents)]
        return [described(what, document) for what, document in self.registry().apply(staged, set_default=set_default)]

    def set_default(self, endpoint: str, deployment: str) -> None:
        """Make a deployment the one that invocations get which name none."""
        self.registry().set_default(endpoint, deployment)

    def is_invokable(self, endpoint: str) -> bool:
        """Tell whether the endpoint's DAG is there, so that jobs can be started."""
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        try:
            RuntimeTaskInstance.get_dag(dag_id(endpoint))
        except AirflowRuntimeError:
            return False
        return True

    # -- jobs -------------------------------------------------------------------------------------------------------

    def start(self, endpoint: str, job: str, conf: dict[str, Any], *, resume: bool = False) -> bool:
        """Start a job.

        :param job: name of the job; a job of that name is not started twice.
        :param conf: parameters of the run: ``input``, ``deployment``, ``output`` and the overrides.
        :param resume: when there is such a job, clear its run, so that it goes on from its last finished shard.
        :return: whether it was started (or resumed) now.
        :raises NotFoundError: the endpoint has no DAG.
        """
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        message = TriggerDagRun(dag_id=dag_id(endpoint), run_id=job, conf=conf, reset_dag_run=resume)
        try:
            answer = SUPERVISOR_COMMS.send(message)
        except AirflowRuntimeError as error:
            answer = error.error
        if not isinstance(answer, ErrorResponse):
            return True
        if answer.error == ErrorType.DAGRUN_ALREADY_EXISTS:
            return False
        if status_of(answer) == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"endpoint {endpoint!r} has no DAG; apply its document, or wait until it is parsed")
        raise InfrastructureError(f"job {job!r} could not be started: {answer.error}: {answer.detail}")

    def state(self, endpoint: str, job: str) -> str | None:
        """Return the state of a job's run; ``None`` when there is none."""
        return run_state(endpoint, job)

    def summary(self, endpoint: str, job: str) -> dict[str, Any]:
        """Return what a finished job published: state, counts, files, ``output_uri``.

        :raises ConflictError: it has published nothing.
        """
        from airflow.sdk import get_current_context

        ti = get_current_context()["ti"]
        found = ti.xcom_pull(dag_id=dag_id(endpoint), run_id=job, task_ids="publish", key="summary")
        if not found:
            raise ConflictError(
                f"job {job!r} of endpoint {endpoint!r} has published nothing (its run: {self.state(endpoint, job)})"
            )
        return dict(found)

    def error(self, endpoint: str, job: str) -> str:
        """Return why a job failed."""
        from airflow.sdk import get_current_context

        ti = get_current_context()["ti"]
        for task in ("plan", "publish"):
            found = ti.xcom_pull(dag_id=dag_id(endpoint), run_id=job, task_ids=task, key="error")
            if found:
                return str(found)
        return "see the logs of its tasks"

    def cancel(self, endpoint: str, job: str, submission: str, reason: str) -> None:
        """Ask the workers of a job's submission to stop."""
        request_cancel(endpoint, job, submission, reason)


def status_of(error: ErrorResponse) -> int | None:
    """Return the HTTP status that the Execution API refused something with, if it was that which refused."""
    from airflow.sdk.exceptions import ErrorType

    if error.error != ErrorType.API_SERVER_ERROR or not isinstance(error.detail, dict):
        return None
    status = error.detail.get("status_code")
    return status if isinstance(status, int) else None


def _load(document: str | Path | dict[str, Any]) -> tuple[Path, Document]:
    from airflow_batch_endpoints.documents.loading import from_data, load

    if isinstance(document, dict):
        return Path.cwd(), from_data(dict(document), "document")
    return Path(document).absolute().parent, load(document)


def job_name(dag: str, run: str, task: str, map_index: int, number: int) -> str:
    """Return the name of the job that a task instance invokes: always the same, so that a retry finds it again.

    :param number: which of its jobs; a task that is cleared after success starts the next one.
    """
    identity = "\0".join((dag, run, task, str(map_index), str(number)))
    return f"{dag[:60]}.{task[:60]}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
