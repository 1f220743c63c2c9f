"""Reading what a job's folder has pinned."""

from __future__ import annotations

from airflow_batch_endpoints.exceptions import ConflictError, NotFoundError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.pinned import PinnedJob, PinnedPipeline, read_pinned
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.storage.store import Store


def pinned(store: Store, job: str) -> PinnedJob | PinnedPipeline:
    """Return the job that a folder belongs to.

    :param job: name that it must have.
    :raises NotFoundError: nothing was planned there.
    :raises ConflictError: it is another job's folder.
    """
    content = store.read(layout.JOB)
    if content is None:
        raise NotFoundError(
            f"job {job!r} is not planned: its folder has no {layout.JOB}; run plan first (clear the run)"
        )
    found = read_pinned(content)
    if found.spec.job != job:
        raise ConflictError(
            f"the folder belongs to job {found.spec.job!r}, not to {job!r}; give the job another output"
        )
    return found


def pinned_job(store: Store, job: str) -> PinnedJob:
    """Return a job of a model deployment. :raises ConflictError: it is a pipeline."""
    found = pinned(store, job)
    if not isinstance(found, PinnedJob):
        raise ConflictError(f"job {job!r} is a pipeline, which is scored step by step")
    return found


def pinned_pipeline(store: Store, job: str) -> PipelineSpec:
    """Return a pipeline job. :raises ConflictError: it is a job of a model deployment."""
    found = pinned(store, job)
    if not isinstance(found, PinnedPipeline):
        raise ConflictError(f"job {job!r} is one of a model deployment, which has no steps")
    return found.spec
