"""A step that scores in mini-batches: a job of its own in the step's folder, planned, scored and published as any other."""

from __future__ import annotations

import json
import logging
import secrets
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.exceptions import InfrastructureError, UserError
from airflow_batch_endpoints.jobs import layout, shell
from airflow_batch_endpoints.jobs.pipeline import MiniBatches
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.jobs.steps import PublishedFile, PublishedOutput, StepDone
from airflow_batch_endpoints.storage.uris import join
from airflow_batch_endpoints.worker.commands import plan as plans
from airflow_batch_endpoints.worker.commands import publish as publication
from airflow_batch_endpoints.worker.commands import score as scoring
from airflow_batch_endpoints.worker.scoring.base import ScriptCall
from airflow_batch_endpoints.worker.scratch import scratch
from airflow_batch_endpoints.worker.steps import inputs, outputs, transfer
from airflow_batch_endpoints.worker.steps.step import Step

log = logging.getLogger(__name__)


def plan(output_uri: str, job: str, submission: str, *, step: str) -> dict[str, Any]:
    """Plan the mini-batches of a step, or use what an equal step has made before.

    :return: as ``plan`` does; with ``instances`` 0 there is nothing to score.
    """
    work = Step(output_uri, job, submission, step)
    done = work.confirm()
    return {"instances": 0, **done} if done else dict(work.settle(lambda: _plan(work, output_uri)))


def _plan(work: Step, output_uri: str) -> dict[str, Any]:
    given = work.given()
    key = _key(work, given)
    reused = work.reuse(key)
    if reused is not None:
        return {"instances": 0, **work.publish(reused)}
    # Noted now, for what is scored is what is there now; the first note stands, as the first plan does.
    work.store.create(layout.step_key(work.spec.name), json.dumps({"key": key, "by": secrets.token_hex(4)}).encode())
    return plans.run(_job(work, given, output_uri), submission=work.submission)


def score(output_uri: str, job: str, submission: str, *, step: str, instance: int) -> dict[str, Any]:
    """Score mini-batches of a step until none is left."""
    work = Step(output_uri, job, submission, step)
    if work.record.done() is not None:
        log.info("step %s is done already; nothing is left to do", step)
        return {"outcome": "nothing_left"}
    folder = join(output_uri, layout.step_job(step))
    return scoring.run(folder, job, submission, instance=instance, script=lambda scratch: _call(work, scratch))


def publish(output_uri: str, job: str, submission: str, *, step: str) -> dict[str, Any]:
    """Publish what a step has scored as its outputs, once."""
    work = Step(output_uri, job, submission, step)
    return work.confirm() or dict(work.settle(lambda: _publish(work, output_uri)))


def _publish(work: Step, output_uri: str) -> dict[str, Any]:
    step, incarnation = work.spec, secrets.token_hex(4)
    publication.run(join(output_uri, layout.step_job(step.name)), work.pipeline.job, work.submission)
    manifest = json.loads(work.store.read(f"{layout.step_job(step.name)}/{layout.MANIFEST}") or b"{}")
    if not manifest:
        raise InfrastructureError(
            f"step {step.name}: its manifest is gone; something deletes files in the job's folder"
        )
    made = {}
    for name, output in step.outputs.items():
        files = _store(work, name, incarnation, [file["name"] for file in manifest["files"]])
        known = {file["name"]: file for file in manifest["files"]}
        published = [
            PublishedFile(name=file, bytes=known[source]["bytes"], sha256=known[source]["sha256"])
            for source, file in files.items()
        ]
        uri = join(output_uri, layout.step_output(step.name, incarnation, name))
        made[name] = outputs.identified(PublishedOutput(type=output.type, uri=uri, files=tuple(published)))
    note = json.loads(work.store.read(layout.step_key(step.name)) or b"{}")
    key = note.get("key")
    if key is not None and key != _key(work, work.given()):
        log.warning("what step %s works on changed since it was planned; its outputs will not be used again", step.name)
        key = None
    return work.publish(StepDone(job=work.pipeline.job, step=step.name, incarnation=incarnation, outputs=made, key=key))


def _store(work: Step, output: str, incarnation: str, names: list[str]) -> dict[str, str]:
    """Copy the files of an output to where they belong, and return their names there, by the names they had."""
    files = _files(work, output, names)
    key = layout.step_output(work.spec.name, incarnation, output)
    source = layout.step_job(work.spec.name)
    transfer.in_threads(
        [
            lambda old=old, new=new: work.store.copy(f"{source}/{old}", f"{key}/{new}" if new else key)  # type: ignore[misc]
            for old, new in files.items()
        ]
    )
    return files


def _files(work: Step, output: str, names: list[str]) -> dict[str, str]:
    """Return what belongs to an output: the file (or folder) of the returned rows, or what the script wrote for it."""
    rows = _mini_batches(work).settings.output_file_name
    if output == _mini_batches(work).append_row_to:
        found = [name for name in names if name == rows or (rows.endswith("/") and name.startswith(rows))]
        if work.spec.outputs[output].type == "uri_file":
            return {name: "" for name in found}
        return {name: name for name in found}
    return {name: name.removeprefix(f"{output}/") for name in names if name.startswith(f"{output}/")}


def _job(work: Step, given: inputs.Given, output_uri: str) -> JobSpec:
    """Return the job that the step's mini-batches make."""
    pipeline, step, mini_batches = work.pipeline, work.spec, _mini_batches(work)
    data = given[mini_batches.input]
    if not isinstance(data, inputs.Data):
        raise UserError(
            f"step {step.name}: its input {mini_batches.input!r} is cut into mini-batches, and no data are given for it"
        )
    data.look()
    variables = {**mini_batches.settings.environment_variables, **step.environment_variables}
    return JobSpec(
        endpoint=pipeline.endpoint,
        deployment=pipeline.deployment,
        deployment_revision=pipeline.deployment_revision,
        job=pipeline.job,
        invoker=pipeline.invoker,
        input_uri=data.uri,
        output_uri=join(output_uri, layout.step_job(step.name)),
        launch=step.launch,
        allowed_input_uris=(*pipeline.allowed_input_uris, *data.allowed),
        code_uri=step.code_uri,
        scoring_script=mini_batches.scoring_script,
        conda_file=step.conda_file,
        settings=mini_batches.settings.model_copy(update={"environment_variables": variables}),
        instance_count=mini_batches.instance_count,
        memory_bytes=step.memory_bytes,
    )


def _key(work: Step, given: inputs.Given) -> str | None:
    with scratch() as folder:
        return work.key(given, inputs.look(given), work.code(folder / "fetched"))


def _call(work: Step, folder: Path) -> ScriptCall:
    """Have what the script's arguments name, on this machine."""
    given, mini_batches = work.given(), _mini_batches(work)
    arguments = shell.arguments(mini_batches.arguments, inputs.kinds(work.spec, given), set(work.spec.outputs))
    needed = {name: value for name, value in given.items() if name in shell.named("inputs", arguments)}
    return ScriptCall(
        arguments=arguments,
        inputs=inputs.have(needed, inputs.look(needed), folder / "inputs"),
        outputs=tuple(work.spec.outputs),
    )


def _mini_batches(work: Step) -> MiniBatches:
    if work.spec.mini_batches is None:
        raise UserError(f"step {work.spec.name} is a command; it is done by step --step {work.spec.name}")
    return work.spec.mini_batches
