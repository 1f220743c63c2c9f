"""``publish``: from committed shards to the predictions, once. The exclusive create of the manifest is the publication."""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.exceptions import (
    ConflictError,
    IncompleteError,
    InfrastructureError,
    OutputExistsError,
    ThresholdExceededError,
    UserError,
)
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.pinned import PinnedJob, PinnedPipeline
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.jobs.threshold import Counts, is_threshold_exceeded
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import without_query
from airflow_batch_endpoints.worker.directory import pinned
from airflow_batch_endpoints.worker.ledger import Commit, Ledger
from airflow_batch_endpoints.worker.steps import pipelines

log = logging.getLogger(__name__)

MANIFEST_VERSION = 1


def run(output_uri: str, job: str, submission: str) -> dict[str, Any]:
    """Publish a job whose shards are all committed, or confirm that it is published.

    :param output_uri: folder of the job.
    :param job: name of the job.
    :param submission: which submission of the job this is.
    :return: ``state``, the counts, the first files and ``output_uri``.
    :raises IncompleteError: shards are missing.
    :raises ThresholdExceededError: too many items failed.
    :raises UserError: no item succeeded, or files collide.
    """
    store = open_store(output_uri)
    manifest = _manifest(store)
    if manifest is None or manifest["job"] != job:
        found = pinned(store, job)
        if isinstance(found, PinnedPipeline):
            manifest = pipelines.publish(store, found.spec, submission)
        else:
            manifest = _publish(store, found, submission, manifest)
    else:
        log.info("job %s is published already", job)
    if manifest.get("type") == "pipeline":
        return pipelines.result(manifest, output_uri)
    if not manifest["keep_working_state"]:
        store.delete(layout.WORKING)
    counts = manifest["counts"]
    log.info(
        "published %s: %d items = %d succeeded + %d failed, %d rows",
        output_uri, counts["listed"], counts["succeeded"], counts["failed"], counts["rows"],
    )  # fmt: skip
    files = [{name: file[name] for name in ("name", "rows", "bytes")} for file in manifest["files"][:10]]
    return {"state": "Completed", **counts, "files": files, "output_uri": output_uri}


def _manifest(store: Store) -> dict[str, Any] | None:
    content = store.read(layout.MANIFEST)
    return None if content is None else dict(json.loads(content))


def _publish(store: Store, pinned: PinnedJob, submission: str, previous: dict[str, Any] | None) -> dict[str, Any]:
    # Imported here: a run that only confirms a publication needs no Arrow.
    from airflow_batch_endpoints.worker.publishing import output

    spec = pinned.spec
    job = spec.job
    if previous is not None and spec.settings.output_exists != "replace":
        raise OutputExistsError(f"the output holds the predictions of job {previous['job']!r}; they are not replaced")
    commits = _freeze(store, pinned, submission)
    counts = _judge(store, pinned, commits)
    reserved = {layout.MANIFEST, layout.DEAD_LETTERS, layout.TIMELINE}
    if spec.settings.output_action == "append_row":
        log.info("writing %d rows to %s", counts.rows, spec.settings.output_file_name)
        is_dataset = spec.settings.is_dataset
        files = output.write_dataset(store, spec, commits) if is_dataset else [output.write_rows(store, spec, commits)]
        reserved.add(spec.settings.output_file_name)
    else:
        files = []
    written = output.move_files(store, commits, reserved)
    if spec.settings.output_action == "summary_only" and "predictions.csv" not in {file["name"] for file in written}:
        files = [output.write_summary(store, spec, commits)]
    dead_letters = output.write_dead_letters(store, commits)
    _keep_timeline(store, spec, commits)
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "package_version": __version__,
        "job": spec.job,
        "endpoint": spec.endpoint,
        "deployment": spec.deployment,
        "deployment_revision": spec.deployment_revision,
        "model_uri": spec.model_uri,
        "environment": None if spec.environment is None else spec.environment.model_dump(mode="json"),
        "invoker": spec.invoker,
        "input_uri": without_query(spec.input_uri),
        "assets": list(spec.assets),
        "replay_of": None if spec.replay is None else spec.replay.model_dump(mode="json"),
        "counts": {
            "listed": counts.listed,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "rows": counts.rows,
        },
        "plan": pinned.summary.model_dump(),
        "files": [*files, *written],
        "dead_letters": dead_letters,
        "keep_working_state": spec.settings.keep_working_state,
    }
    content = json.dumps(manifest, indent=2, allow_nan=False).encode()
    if previous is not None:
        _replace(store, previous, manifest, content)
    elif not store.create(layout.MANIFEST, content):
        other = _manifest(store) or {}
        if other.get("job") != job:
            raise ConflictError(
                f"job {other.get('job')!r} published to the same output meanwhile; give each job its own"
            )
    return manifest


def _freeze(store: Store, pinned: PinnedJob, submission: str) -> list[Commit]:
    """Return the commit of every shard; from here on nothing else counts."""
    ledger = Ledger(store, job=pinned.spec.job, incarnation="publish", submission=submission)
    committed, shards = ledger.committed(), range(pinned.summary.shards)
    found = [ledger.committed_by(shard) if shard in committed else None for shard in shards]
    commits = [commit for commit in found if commit is not None]
    if len(commits) < len(shards):
        ledger.check_stop()
        raise IncompleteError(
            f"{len(shards) - len(commits)} of {len(shards)} shards are not done (the first is {found.index(None)}); see the "
            "score tasks. "
            "Clearing the run goes on from what is done."
        )
    return commits


def _judge(store: Store, pinned: PinnedJob, commits: list[Commit]) -> Counts:
    """Count for good, and refuse what must not be published."""
    from airflow_batch_endpoints.worker.publishing import output

    counts = Counts(
        listed=pinned.summary.items,
        succeeded=sum(commit.succeeded for commit in commits),
        failed=sum(commit.failed for commit in commits),
        rows=sum(commit.rows for commit in commits),
    )
    if counts.listed != counts.succeeded + counts.failed:
        raise InfrastructureError(f"the commits do not add up: {counts}; please report this")
    threshold = pinned.spec.settings.error_threshold
    if is_threshold_exceeded(threshold, failed=counts.failed, listed=counts.listed):
        raise ThresholdExceededError(
            f"{counts.failed} of {counts.listed} items failed, error_threshold allows {threshold}. "
            f"The first: {output.first_error(store, commits)}"
        )
    if counts.succeeded == 0:
        raise UserError(
            f"no item succeeded, all {counts.listed} failed. The first: {output.first_error(store, commits)}"
        )
    return counts


def _keep_timeline(store: Store, spec: JobSpec, commits: list[Commit]) -> None:
    """Keep who did what and when beside the output: the working state is removed once it is published."""
    from airflow_batch_endpoints.worker.publishing import timeline

    noted = timeline.note(store, spec, commits)
    published = _manifest(store)
    if published is not None and published["job"] == spec.job:
        return  # by a twin of ours, which may have begun to remove what we have just listed
    store.write(layout.TIMELINE, noted.model_dump_json(exclude_defaults=True).encode())


def _replace(store: Store, previous: dict[str, Any], manifest: dict[str, Any], content: bytes) -> None:
    """Remove the files that only an earlier job had, then put the new manifest over its manifest.

    Every step may be done again by a twin of ours, at any later time, and does no harm: nothing is deleted that the new
    manifest names, and what is written is the same.
    """
    for name in sorted(_names(previous) - _names(manifest)):
        store.delete(name)
    store.write(layout.MANIFEST, content)


def _names(manifest: dict[str, Any]) -> set[str]:
    dead_letters = manifest.get("dead_letters")
    return {file["name"] for file in [*manifest.get("files", []), *([dead_letters] if dead_letters else [])]}
