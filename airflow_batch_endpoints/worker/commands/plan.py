"""``plan``: from a resolved job to a plan that every instance follows; of a pipeline, to the steps that are pinned."""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow_batch_endpoints.documents import sizes
from airflow_batch_endpoints.exceptions import InputError, OutputExistsError, UserError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.pinned import PinnedJob, PinnedPipeline, read_pinned
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.jobs.spec import JobSpec, PlanSummary
from airflow_batch_endpoints.planning import dead_letters
from airflow_batch_endpoints.planning import plan as plans
from airflow_batch_endpoints.planning.listing import list_input
from airflow_batch_endpoints.planning.probe import creates_exclusively
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import without_query
from airflow_batch_endpoints.worker import models
from airflow_batch_endpoints.worker.environments import locking
from airflow_batch_endpoints.worker.steps import pipelines

log = logging.getLogger(__name__)


def run(spec: JobSpec | PipelineSpec, *, submission: str) -> dict[str, Any]:
    """Plan a job, or adopt the plan that is there.

    :param spec: the job as it was resolved.
    :param submission: which submission of the job this is.
    :return: the summary of the plan and the pinned ``model_uri``; of a pipeline ``instances`` (0, for its steps do the work) and
        the number of ``steps``.
    :raises OutputExistsError: something else is at the output.
    :raises InputError: nothing to score, or an input that is not there.
    """
    store = open_store(spec.output_uri)
    published = _published(store, spec)
    if published is not None:
        log.info("the outputs of %s are published already", spec.job)
        return published
    pinned = _adopt(store, spec)
    if pinned is None:
        _refuse_leftovers(store, spec)
        _require_exclusive_create(store, spec)
        pinned = _pin(store, spec)
    if isinstance(pinned, PinnedPipeline):
        log.info("the job has %d steps", len(pinned.spec.graph))
        return pipelines.summary(pinned.spec)
    summary = pinned.summary
    log.info(
        "%d items in %d mini-batches and %d shards; %d instances", summary.items, summary.mini_batches, summary.shards,
        summary.instances,
    )  # fmt: skip
    return {**summary.model_dump(), "model_uri": pinned.spec.model_uri}


def _published(store: Store, spec: JobSpec | PipelineSpec) -> dict[str, Any] | None:
    """Return the summary of this very job when it is published; refuse another job's output unless it is replaced."""
    content = store.read(layout.MANIFEST)
    if content is None:
        return None
    manifest = json.loads(content)
    if manifest.get("job") == spec.job and manifest.get("endpoint") == spec.endpoint:
        if isinstance(spec, PipelineSpec):
            return pipelines.summary(spec)
        return {**manifest["plan"], "model_uri": manifest["model_uri"]}
    if isinstance(spec, PipelineSpec):
        raise OutputExistsError(
            f"output {spec.output_uri} holds the outputs of job {manifest.get('job')!r}; give this job another output"
        )
    if spec.settings.output_exists == "fail":
        raise OutputExistsError(
            f"output {spec.output_uri} holds the predictions of job {manifest.get('job')!r}; give this job another output, "
            "or let the deployment replace them (settings.output_exists: replace)"
        )
    return None


def _adopt(store: Store, spec: JobSpec | PipelineSpec) -> PinnedJob | PinnedPipeline | None:
    content = store.read(layout.JOB)
    if content is None:
        return None
    pinned = read_pinned(content)
    if (pinned.spec.job, pinned.spec.endpoint) == (spec.job, spec.endpoint):
        log.info("the job is planned already; going on with that plan")
        return pinned
    if not isinstance(spec, PipelineSpec) and store.read(layout.MANIFEST) is not None:
        # What a published job left (keep_working_state); its output is being replaced.
        store.delete(layout.WORKING)
        return None
    raise OutputExistsError(
        f"output {spec.output_uri} belongs to job {pinned.spec.job!r}, which is not published yet; give this job another output"
    )


def _refuse_leftovers(store: Store, spec: JobSpec | PipelineSpec) -> None:
    """Refuse an output that holds anything we did not write."""
    if isinstance(spec, JobSpec) and spec.settings.output_exists == "replace":
        return
    foreign = [key for key in store.list("") if key != layout.WORKING]
    if foreign:
        raise OutputExistsError(
            f"output {spec.output_uri} is not empty: it holds {', '.join(foreign[:3])}; give the job a folder of its own"
        )


def _require_exclusive_create(store: Store, spec: JobSpec | PipelineSpec) -> None:
    if isinstance(spec, PipelineSpec):
        if not creates_exclusively(store):
            raise UserError(
                f"the store of {spec.output_uri} does not refuse to create an object twice, so steps cannot publish there; "
                "use another store"
            )
    elif spec.settings.distribution == "dynamic" and not creates_exclusively(store):
        raise UserError(
            f"the store of {spec.output_uri} does not refuse to create an object twice, so instances cannot claim work "
            "there; use another store, or settings.distribution: static"
        )


def _pin(store: Store, spec: JobSpec | PipelineSpec) -> PinnedJob | PinnedPipeline:
    """Create ``job.json``; whoever is second takes the first one's."""
    pinned = pipelines.pin(spec) if isinstance(spec, PipelineSpec) else _plan(store, spec)
    if store.create(layout.JOB, pinned.model_dump_json().encode()):
        return pinned
    first = _adopt(store, spec)
    if first is None:
        raise OutputExistsError(f"output {spec.output_uri} was published by another job meanwhile")
    return first


def _plan(store: Store, spec: JobSpec) -> PinnedJob:
    """Write the plan, under a name of its own."""
    spec = models.pin(spec)
    spec = spec.model_copy(update={"environment": locking.lock(spec)})
    log.info("listing %s", without_query(spec.input_uri))
    slots = spec.instance_count * spec.settings.max_concurrency_per_instance
    listing = list_input(spec.input_uri, spec.allowed_input_uris)
    if spec.replay is not None:
        listing = dead_letters.select(listing, spec.replay)
    is_file = listing.root != spec.input_uri and len(listing.sorted()[0]) == 1
    if spec.input_type is not None and is_file != (spec.input_type == "uri_file"):
        found = "a file" if is_file else "a folder or pattern"
        raise InputError(f"input {without_query(spec.input_uri)} is {found}, and the request says {spec.input_type}")
    size = sizes.parse(spec.settings.mini_batch_size)
    plan = plans.make(listing, size=size, slots=slots, cut_files=not spec.is_script)
    content, digest = plans.encode(plan)
    key = layout.plan(digest)
    store.write(key, content)
    return PinnedJob(
        spec=spec,
        plan=key.rsplit("/", 1)[-1],
        summary=PlanSummary(
            items=plan.items,
            mini_batches=plan.mini_batch_count,
            shards=plan.shard_count,
            bytes=plan.total_bytes,
            instances=min(spec.instance_count, plan.shard_count),
        ),
    )
