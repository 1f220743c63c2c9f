"""A pipeline job as a whole: pinned once at its beginning, published once at its end."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.documents.ports import LITERAL_TYPES
from airflow_batch_endpoints.exceptions import (
    ConflictError,
    IncompleteError,
    InfrastructureError,
    InputError,
    ModelError,
    OutputExistsError,
    UserError,
)
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.pinned import PinnedPipeline
from airflow_batch_endpoints.jobs.pipeline import JobOutput, PipelineSpec, StepInput
from airflow_batch_endpoints.jobs.steps import PublishedOutput, StepDone
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.contents import exists
from airflow_batch_endpoints.storage.reach import check_reach, is_within
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import is_local, join, local_path, shown, without_query
from airflow_batch_endpoints.worker import models
from airflow_batch_endpoints.worker.ledger import Stop
from airflow_batch_endpoints.worker.steps import outputs, transfer
from airflow_batch_endpoints.worker.steps.record import StepRecord

log = logging.getLogger(__name__)

MANIFEST_VERSION = 1
MAX_SENTENCE = 1_500
"""Characters of what is said of failed steps."""


# -- the beginning ------------------------------------------------------------------------------------------------------


def summary(spec: PipelineSpec) -> dict[str, Any]:
    """Return the result of ``plan``."""
    return {"instances": 0, "steps": len(spec.graph)}


def pin(spec: PipelineSpec) -> PinnedPipeline:
    """Return the job as its folder pins it: with concrete versions of models, and nothing that could not be read or written.

    :raises InputError: an input is not there.
    :raises OutputExistsError: something is where an output is to be.
    """
    _require_outputs(spec)
    graph = []
    for step in spec.graph:
        given = {name: _pinned(spec, name, value) for name, value in step.inputs.items()}
        graph.append(step.model_copy(update={"inputs": given}))
    return PinnedPipeline(spec=spec.model_copy(update={"graph": tuple(graph)}))


def _pinned(spec: PipelineSpec, name: str, given: StepInput) -> StepInput:
    if given.type in LITERAL_TYPES or given.value is None:
        return given
    uri = str(given.value)
    if models.is_registered(uri):
        return given.model_copy(update={"value": models.locate(uri)[0]})
    if spec.allowed_input_uris:
        check_reach(uri, spec.allowed_input_uris, what=f"input {name}", option="allowed_input_uris")
    is_file = exists(uri, spec.allowed_input_uris)
    if is_file is None:
        hint = "; a step takes a file or a folder, no pattern" if any(sign in uri for sign in "*?[") else ""
        raise (ModelError if given.type.endswith("_model") else InputError)(
            f"input {name}: {shown(uri)} does not exist{hint}"
        )
    if given.type in ("uri_file", "uri_folder") and is_file != (given.type == "uri_file"):
        raise InputError(
            f"input {name}: {shown(uri)} is a {'file' if is_file else 'folder'}, and the step takes a {given.type}"
        )
    return given


def _require_outputs(spec: PipelineSpec) -> None:
    taken = {"_batch": join(spec.output_uri, layout.WORKING), "manifest": join(spec.output_uri, layout.MANIFEST)}
    for name, output in spec.outputs.items():
        for other, uri in taken.items():
            if is_within(output.uri, uri) or is_within(uri, output.uri):
                what = "the job's own folder holds" if other in ("_batch", "manifest") else f"output {other} is"
                raise OutputExistsError(
                    f"output {name} cannot be {shown(output.uri)}: {what} {shown(uri)}; give each output a place of its own"
                )
        taken[name] = output.uri
        if not is_within(output.uri, spec.output_uri) and _is_taken(output):
            raise OutputExistsError(
                f"output {name}: there is something at {shown(output.uri)} already; name a place where there is nothing"
            )


def _is_taken(output: JobOutput) -> bool:
    is_file = exists(output.uri)
    return is_file is not None and (is_file or bool(open_store(output.uri).list("")))


# -- the end ------------------------------------------------------------------------------------------------------------


def publish(store: Store, spec: PipelineSpec, submission: str) -> dict[str, Any]:
    """Put the outputs where they belong; the exclusive create of the manifest is the publication.

    :return: the manifest.
    :raises UserError: a step failed.
    :raises IncompleteError: a step is not done, and nobody knows better than to run it again.
    """
    done = _require_done(store, spec, submission)
    copied = {
        name: _copy(output, done[output.made_by.step].outputs[output.made_by.output])
        for name, output in spec.outputs.items()
    }
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "type": "pipeline",
        "package_version": __version__,
        "job": spec.job,
        "endpoint": spec.endpoint,
        "deployment": spec.deployment,
        "deployment_revision": spec.deployment_revision,
        "invoker": spec.invoker,
        "input_uri": without_query(spec.input_uri),
        "assets": list(spec.assets),
        "inputs": {
            name: without_query(value) if isinstance(value, str) else value for name, value in spec.inputs.items()
        },
        "outputs": {name: _output(spec.outputs[name], output) for name, output in copied.items()},
        "steps": {name: _step(step) for name, step in done.items()},
        "files": [
            file
            for name, output in copied.items()
            if (below := _below(spec.outputs[name].uri, spec.output_uri)) is not None
            for file in _described(output, below)
        ],
        "dead_letters": None,
        "keep_working_state": True,
    }
    if not store.create(layout.MANIFEST, json.dumps(manifest, indent=2, allow_nan=False).encode()):
        content = json.loads(store.read(layout.MANIFEST) or b"{}")
        if content.get("job") != spec.job:
            raise ConflictError(
                f"job {content.get('job')!r} published to the same output meanwhile; give each job its own"
            )
        manifest = content
    return manifest


def result(manifest: dict[str, Any], output_uri: str) -> dict[str, Any]:
    """Return the result of ``publish``."""
    files = [file for output in manifest["outputs"].values() for file in output["files"]]
    log.info("published %s: %d outputs, %d files", output_uri, len(manifest["outputs"]), len(files))
    return {
        "state": "Completed",
        "output_uri": output_uri,
        "outputs": {name: output["uri"] for name, output in manifest["outputs"].items()},
        "steps": len(manifest["steps"]),
        "reused": [name for name, step in manifest["steps"].items() if step["reused_from"]],
        "files": [{"name": file["name"], "rows": None, "bytes": file["bytes"]} for file in manifest["files"][:10]],
    }


def _require_done(store: Store, spec: PipelineSpec, submission: str) -> dict[str, StepDone]:
    """Return what every step has published."""
    records = {step.name: StepRecord(store, step.name) for step in spec.graph}
    found = {name: record.done() for name, record in records.items()}
    missing = [name for name, done in found.items() if done is None]
    if not missing:
        return {name: done for name, done in found.items() if done is not None}
    failures = {name: failure for name in missing if (failure := records[name].failure(submission)) is not None}
    raise _failure(len(spec.graph), missing, failures)


def _failure(steps: int, missing: list[str], failures: dict[str, Stop]) -> UserError | IncompleteError:
    told = "; ".join(f"step {name} failed: {failure.message.rstrip('.')}" for name, failure in failures.items())
    told = told if len(told) <= MAX_SENTENCE else f"{told[:MAX_SENTENCE]}..."
    others = [name for name in missing if name not in failures]
    idle = f"not done: {', '.join(others)}" if others else ""
    sentence = ". ".join(part for part in (told, idle) if part)
    sentence = (
        f"{len(missing)} of {steps} steps did not end well. {sentence}. Clearing the run goes on from what is done"
    )
    # What its user can mend is said as such, though another step may have been lost beside it.
    is_users = any(failure.exit_code in (2, 3) for failure in failures.values())
    return UserError(sentence) if is_users else IncompleteError(sentence)


def _copy(wanted: JobOutput, made: PublishedOutput) -> PublishedOutput:
    """Copy an output to where the job publishes it."""
    outputs.verify(made)
    log.info("copying %d files to %s", len(made.files), shown(wanted.uri))

    def place(name: str) -> None:
        transfer.copy(join(made.uri, name) if name else made.uri, join(wanted.uri, name) if name else wanted.uri)

    try:
        transfer.in_threads([lambda file=file: place(file.name) for file in made.files])  # type: ignore[misc]
    except FileNotFoundError:
        raise InfrastructureError(
            f"{shown(made.uri)} vanished while it was copied; something deletes files there"
        ) from None
    return made


def _output(wanted: JobOutput, made: PublishedOutput) -> dict[str, Any]:
    """Return what the manifest says of an output; what is a file itself has the file's own name."""
    is_file = any(not file.name for file in made.files)
    name = wanted.uri.rpartition("/")[2] if is_file else ""
    return {"type": wanted.type, "uri": wanted.uri, "is_file": is_file, "files": list(_described(made, name))}


def _described(output: PublishedOutput, below: str) -> Iterator[dict[str, Any]]:
    """Yield what the manifest says of files: their names relative to the output, or to the job's folder."""
    for file in output.files:
        name = "/".join(part for part in (below, file.name) if part)
        yield {"name": name, "rows": None, "bytes": file.bytes, "sha256": file.sha256}


def _below(uri: str, folder: str) -> str | None:
    """Return the path of something in a folder, relative to it; ``None`` when it is elsewhere."""
    path, top = (local_path(uri), local_path(folder)) if is_local(uri) and is_local(folder) else (uri, folder)
    return path.removeprefix(f"{top}/") if path.startswith(f"{top}/") else None


def _step(done: StepDone) -> dict[str, Any]:
    origin = done.reused_from
    return {
        "state": "Completed",
        "seconds": done.seconds,
        "reused_from": None if origin is None else origin.model_dump(),
    }
