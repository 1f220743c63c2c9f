"""What ``_batch/job.json`` holds: one job, pinned. A job of a model deployment has a plan beside it, a pipeline its graph in it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter

from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.jobs.spec import JobSpec, PlanSummary


class _Pinned(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PinnedJob(_Pinned):
    """A job of a model deployment: created exclusively, then never changed."""

    spec: JobSpec
    plan: str
    """File name of the plan, beside ``job.json``."""
    summary: PlanSummary


class PinnedPipeline(_Pinned):
    """A pipeline job: created exclusively, then never changed."""

    spec: PipelineSpec


def _type(spec: Any) -> str:
    found = spec.get("type", "model") if isinstance(spec, dict) else spec.type
    return str(found)


def _type_of_pinned(pinned: Any) -> str:
    return _type(pinned["spec"] if isinstance(pinned, dict) else pinned.spec)


Spec = Annotated[Annotated[JobSpec, Tag("model")] | Annotated[PipelineSpec, Tag("pipeline")], Discriminator(_type)]
Pinned = Annotated[
    Annotated[PinnedJob, Tag("model")] | Annotated[PinnedPipeline, Tag("pipeline")], Discriminator(_type_of_pinned)
]
_SPEC: TypeAdapter[JobSpec | PipelineSpec] = TypeAdapter(Spec)
_PINNED: TypeAdapter[PinnedJob | PinnedPipeline] = TypeAdapter(Pinned)


def read_spec(content: str | bytes) -> JobSpec | PipelineSpec:
    """Read a resolved job, whichever kind it is. :raises pydantic.ValidationError: it is none."""
    return _SPEC.validate_json(content)


def read_pinned(content: str | bytes) -> PinnedJob | PinnedPipeline:
    """Read the content of ``job.json``. :raises pydantic.ValidationError: it is none."""
    return _PINNED.validate_json(content)
