"""What documents name that has run before: a pipeline job to be done again, a run of a DAG with good parameters."""

from __future__ import annotations

import json
from typing import Any

from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.database.session import open_session
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.component import PipelineComponent
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.documents.pipeline import DagDeployment, PipelineDeployment
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.registry import revisions
from airflow_batch_endpoints.registry.dag_jobs import with_defaults
from airflow_batch_endpoints.registry.keys import DEPLOYMENT
from airflow_batch_endpoints.runs import table
from airflow_batch_endpoints.services.job_details import said_in


def looked_up(document: Document) -> Document:
    """Return a document with what it names by an earlier job or run written out; any other as it is.

    :raises DocumentError: there is no such job or run, or what it was is not kept.
    """
    if isinstance(document, PipelineDeployment) and document.job_definition is not None and document.component is None:
        with open_session() as session:
            return document.model_copy(update={"component": _component(session, document, document.job_definition)})
    if isinstance(document, DagDeployment) and document.dag_run_id is not None:
        with open_session() as session:
            return with_defaults(document, _parameters(session, document.dag_id, document.dag_run_id))
    return document


def _component(session: Session, document: PipelineDeployment, reference: str) -> PipelineComponent:
    """Return the component of an earlier pipeline job, with what was given to it as defaults."""
    name = reference.removeprefix("azureml:")

    def problem(message: str) -> DocumentError:
        return DocumentError([Problem(f"deployment {document.name}", "job_definition", message)])

    row = _job(session, document.endpoint_name, name)
    if row is None:
        raise problem(
            f"there is no job {name!r}, or several endpoints have one and {document.endpoint_name!r} has none"
        )
    kept = revisions.find(session, f"{DEPLOYMENT}{row.endpoint}.{row.deployment}", row.deployment_revision or "")
    found = (
        None if kept is None or kept.document is None else from_data(json.loads(kept.document), "the deployment it had")
    )
    if not isinstance(found, PipelineDeployment) or not isinstance(found.component, PipelineComponent):
        what = "is no job of a pipeline" if found is not None else "has a deployment whose revision was not kept"
        raise problem(f"job {name!r} of endpoint {row.endpoint!r} {what}; name a pipeline job")
    said = said_in(session, row, ["details"], tasks.PLAN).get((tasks.PLAN, "details"), {}).get(-1)
    given = said.get("inputs") if isinstance(said, dict) else None
    if not isinstance(given, dict):
        raise problem(f"what job {name!r} was given is not known any more: its DAG run is gone")
    inputs = {
        port: entry.model_copy(update={"default": given[port]}) if given.get(port) is not None else entry
        for port, entry in found.component.inputs.items()
    }
    return found.component.model_copy(update={"inputs": inputs})


def _job(session: Session, endpoint: str, name: str) -> JobRow | None:
    """Return a job by its name: of this endpoint, or else of the only one that has it."""
    own = table.find(session, endpoint, name)
    if own is not None:
        return own
    others = list(session.scalars(select(JobRow.endpoint).where(JobRow.name == name).limit(2)))
    return table.find(session, others[0], name) if len(others) == 1 else None


def _parameters(session: Session, dag: str, run: str) -> dict[str, Any] | None:
    """Return the parameters of a run; ``None`` when there is none."""
    found = session.scalar(select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run))
    return None if found is None else dict(found.conf) if isinstance(found.conf, dict) else {}
