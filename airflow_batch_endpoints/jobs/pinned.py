"""What ``_batch/job.json`` holds: one job, pinned. A job of a model deployment has a plan beside it, a pipeline its graph in it."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.exceptions import UserError
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
    found = spec.get("type", "model") if isinstance(spec, dict) else getattr(spec, "type", None)
    return str(found)


def _type_of_pinned(pinned: Any) -> str:
    return _type(pinned.get("spec") if isinstance(pinned, dict) else getattr(pinned, "spec", None))


Spec = Annotated[Annotated[JobSpec, Tag("model")] | Annotated[PipelineSpec, Tag("pipeline")], Discriminator(_type)]
Pinned = Annotated[
    Annotated[PinnedJob, Tag("model")] | Annotated[PinnedPipeline, Tag("pipeline")], Discriminator(_type_of_pinned)
]
Job = TypeVar("Job")
_SPEC: TypeAdapter[JobSpec | PipelineSpec] = TypeAdapter(Spec)
_PINNED: TypeAdapter[PinnedJob | PinnedPipeline] = TypeAdapter(Pinned)


def read_spec(content: str | bytes) -> JobSpec | PipelineSpec:
    """Read a resolved job, whichever kind it is. :raises UserError: it is none that this version knows."""
    return _read(_SPEC, content)


def read_pinned(content: str | bytes) -> PinnedJob | PinnedPipeline:
    """Read the content of ``job.json``. :raises UserError: it is none that this version knows."""
    return _read(_PINNED, content)


def _read(kind: TypeAdapter[Job], content: str | bytes) -> Job:
    try:
        return kind.validate_json(content)
    except ValidationError as error:
        # The names of the fields alone: what is in them may be for nobody's log.
        fields = dict.fromkeys(
            ".".join(map(str, problem["loc"])) or "all of it" for problem in error.errors(include_input=False)
        )
        raise UserError(
            f"the job is none that airflow-batch-endpoints {__version__}, which runs here, can read: another version wrote it, or "
            f"it is damaged (what differs: {', '.join(list(fields)[:5])}); use an image of the version that Airflow has"
        ) from None
