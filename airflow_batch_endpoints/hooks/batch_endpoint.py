"""Endpoints and jobs from a task: documents through Variables, jobs through the Execution API. No database, no connection."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_batch_endpoints.exceptions import ConflictError, NotFoundError
from airflow_batch_endpoints.hooks.dag_run import conf_of, is_paused, start_run, submission_of_run
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.triggers.run import run_state
from airflow_batch_endpoints.triggers.stopping import request_cancel

if TYPE_CHECKING:
    from airflow_batch_endpoints.documents.assets import DataAsset
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
        :return: for each its ``kind``, ``name``, ``version`` (of an asset), ``endpoint`` and ``result``: ``created``, ``updated``
            or ``unchanged``.
        :raises DocumentError: with every problem.
        """
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.registry import applying
        from airflow_batch_endpoints.registry.keys import described

        loaded = [_load(document) for document in documents]
        done = applying.apply(self.registry(), loaded, settings(), set_default=set_default)
        return [described(what, document) for what, document in done]

    def new_data(self, done: list[dict[str, str]]) -> list[DataAsset]:
        """Return the versions of data assets that :meth:`apply` has made, to be told of by
        :func:`airflow_batch_endpoints.assets.announce_data`.

        :param done: what it returned.
        """
        from airflow_batch_endpoints.documents.assets import DataAsset

        registry = self.registry()
        made = [entry for entry in done if (entry["kind"], entry["result"]) == ("data", "created")]
        documents = [registry.asset("data", entry["name"], entry["version"]).document for entry in made]
        return [document for document in documents if isinstance(document, DataAsset)]

    def set_default(self, endpoint: str, deployment: str) -> None:
        """Make a deployment the one that invocations get which name none."""
        self.registry().set_default(endpoint, deployment)

    def is_invokable(self, endpoint: str) -> bool:
        """Tell whether the endpoint's DAG is there, so that jobs can be started."""
        return is_paused(dag_id(endpoint)) is not None

    # -- jobs -------------------------------------------------------------------------------------------------------

    def start(self, endpoint: str, job: str, conf: dict[str, Any], *, resume: bool = False) -> bool:
        """Start a job.

        :param job: name of the job; a job of that name is not started twice.
        :param conf: parameters of the run: ``input``, ``deployment``, ``output`` and the overrides.
        :param resume: when there is such a job, clear its run, so that it goes on from its last finished shard.
        :return: whether it was started (or resumed) now.
        :raises NotFoundError: the endpoint has no DAG.
        """
        try:
            return start_run(dag_id(endpoint), job, conf, resume=resume)
        except NotFoundError:
            raise NotFoundError(
                f"endpoint {endpoint!r} has no DAG; apply its document, or wait until it is parsed"
            ) from None

    def state(self, endpoint: str, job: str) -> str | None:
        """Return the state of a job's run; ``None`` when there is none."""
        return run_state(dag_id(endpoint), job)

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

    def submission(self, endpoint: str, job: str) -> str | None:
        """Return which submission of a job is the last, whoever cleared its run; ``None`` when there is no run."""
        return submission_of_run(dag_id(endpoint), job)

    def cancel(self, endpoint: str, job: str, reason: str) -> None:
        """Ask the workers of a job to stop, as it is now: cleared after this, it goes on."""
        submission = self.submission(endpoint, job)
        if submission is not None:
            request_cancel(endpoint, job, submission, reason)


def _load(document: str | Path | dict[str, Any]) -> tuple[Path, Document]:
    from airflow_batch_endpoints.documents.loading import from_data, load

    if isinstance(document, dict):
        return Path.cwd(), _with_defaults(from_data(dict(document), "document"))
    return Path(document).absolute().parent, _with_defaults(load(document))


def _with_defaults(document: Document) -> Document:
    """Return a document with what it takes from a run of a DAG; an earlier job it names is for others to look up."""
    from airflow_batch_endpoints.documents.pipeline import DagDeployment
    from airflow_batch_endpoints.registry.dag_jobs import with_defaults

    if isinstance(document, DagDeployment) and document.dag_run_id is not None:
        return with_defaults(document, conf_of(document.dag_id, document.dag_run_id))
    return document


def job_name(dag: str, run: str, task: str, map_index: int, number: int) -> str:
    """Return the name of the job that a task instance invokes: always the same, so that a retry finds it again.

    :param number: which of its jobs; a task that is cleared after success starts the next one.
    """
    identity = "\0".join((dag, run, task, str(map_index), str(number)))
    return f"{dag[:60]}.{task[:60]}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
