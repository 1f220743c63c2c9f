"""Deployments that run more than a model: the steps of a pipeline, or a DAG that is there already."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, model_validator

from airflow_batch_endpoints.documents.base import Document, Tags
from airflow_batch_endpoints.documents.component import PipelineComponent, PipelineSettings
from airflow_batch_endpoints.documents.deployment import FieldError
from airflow_batch_endpoints.documents.names import Name

_DAG_ID = re.compile(r"[A-Za-z0-9_.~-]{1,250}\Z")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~:+-]{0,249}\Z")
OUR_DAGS = "batch_endpoint."
_OF_MODELS = ("model", "code_configuration", "compute", "resources", "environment")


def _pipeline(value: Any) -> Any:
    if not isinstance(value, str | dict | PipelineComponent):
        raise ValueError("a pipeline component: written out, the path of its file, or azureml:<name>:<version>")
    if isinstance(value, dict) and value.get("type", "pipeline") != "pipeline":
        raise FieldError(
            "type",
            f"found {value['type']!r}, expected pipeline: a deployment runs a pipeline; make one with this component as its step",
        )
    return value


def _job(value: str) -> str:
    if not _RUN_ID.match(value.removeprefix("azureml:")):
        raise ValueError("azureml:<name of a pipeline job>")
    return value


def _dag_id(value: str) -> str:
    if not _DAG_ID.match(value):
        raise ValueError("the id of a DAG: letters, digits and any of _ . ~ -")
    if value.startswith(OUR_DAGS):
        raise ValueError("a DAG of your own: the DAGs of endpoints are invoked by their endpoints")
    return value


def _run_id(value: str) -> str:
    if not _RUN_ID.match(value):
        raise ValueError("the id of a run of that DAG")
    return value


class PipelineDeployment(Document):
    """A deployment that runs the steps of a pipeline component (Azure ML: ``pipelineComponentBatchDeployment``)."""

    type: Literal["pipeline"] = "pipeline"
    name: Name
    endpoint_name: Name
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}
    component: (
        Annotated[
            Annotated[str, Tag("<name>")] | Annotated[PipelineComponent, Tag("<pipeline>")],
            Discriminator(lambda value: "<name>" if isinstance(value, str) else "<pipeline>"),
            BeforeValidator(_pipeline),
        ]
        | None
    ) = None
    """Written out, the path of its file, or its name; once applied, always written out."""
    job_definition: Annotated[str, AfterValidator(_job)] | None = None
    """``azureml:<job>``: the component is that of an earlier job, with what was given to it as defaults; it is written out beside
    this once the document is applied."""
    settings: PipelineSettings = PipelineSettings()

    @model_validator(mode="before")
    @classmethod
    def _has_a_pipeline(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("component") is None and data.get("job_definition") is None:
            theirs = sorted(set(_OF_MODELS) & data.keys())
            hint = f"; {', '.join(theirs)} belong to type: model" if theirs else ""
            raise FieldError("type", f"a pipeline needs component (or job_definition), which is missing{hint}")
        if isinstance(data.get("component"), str) and data.get("job_definition") is not None:
            raise FieldError("job_definition", "stands beside component; keep one of the two")
        return data


class DagDeployment(Document):
    """Ours. A deployment that runs a DAG which is there already."""

    type: Literal["dag"] = "dag"
    name: Name
    endpoint_name: Name
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}
    dag_id: Annotated[str, AfterValidator(_dag_id)]
    dag_run_id: Annotated[str, AfterValidator(_run_id)] | None = None
    """A run of that DAG whose parameters are the defaults of jobs."""
    inputs: dict[str, Any] = {}
    """Defaults of the DAG's parameters; those of :attr:`dag_run_id` are put here when the document is applied."""

    @model_validator(mode="before")
    @classmethod
    def _any_kind(cls, data: Any) -> Any:
        return {**data, "type": "dag"} if isinstance(data, dict) and data.get("type") == "pipeline" else data


Deployment = PipelineDeployment | DagDeployment
"""A deployment without a model."""
