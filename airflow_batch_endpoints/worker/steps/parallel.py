"""A step that scores in mini-batches: a job of its own in the step's folder, planned, scored and published as any other."""

from __future__ import annotations

import json
import logging
import secrets
from functools import partial
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
    work = _step(output_uri, job, submission, step)
    done = work.confirm()
    return {"instances": 0, **done} if done else dict(work.settle(lambda: _plan(work, output_uri)))


def _step(output_uri: str, job: str, submission: str, name: str) -> Step:
    work = Step(output_uri, job, submission, name)
    _mini_batches(work)
    return work


def _plan(work: Step, output_uri: str) -> dict[str, Any]:
    given = work.given()
    key = _key(work, given)
    reused = work.reuse(key)
    if reused is not None:
        return {"instances": 0, **reused}
    # Noted now, for what is scored is what is there now; the first note stands, as the first plan does.
    work.store.create(layout.step_key(work.spec.name), json.dumps({"key": key, "by": secrets.token_hex(4)}).encode())
    return plans.run(_job(work, given, output_uri), submission=work.submission)


def score(output_uri: str, job: str, submission: str, *, step: str, instance: int) -> dict[str, Any]:
    """Score mini-batches of a step until none is left."""
    work = _step(output_uri, job, submission, step)
    if work.record.done() is not None:
        log.info("step %s is done already; nothing is left to do", step)
        return {"outcome": "nothing_left"}
    folder = join(output_uri, layout.step_job(step))
    return scoring.run(folder, job, submission, instance=instance, script=lambda scratch: _call(work, scratch))


def publish(output_uri: str, job: str, submission: str, *, step: str) -> dict[str, Any]:
    """Publish what a step has scored as its outputs, once."""
    work = _step(output_uri, job, submission, step)
    return work.confirm() or dict(work.settle(lambda: _publish(work, output_uri)))


def _publish(work: Step, output_uri: str) -> dict[str, Any]:
    step, incarnation = work.spec, secrets.token_hex(4)
    publication.run(join(output_uri, layout.step_job(step.name)), work.pipeline.job, work.submission)
    manifest = json.loads(work.store.read(f"{layout.step_job(step.name)}/{layout.MANIFEST}") or b"{}")
    if not manifest:
        raise InfrastructureError(
            f"step {step.name}: its manifest is gone; something deletes files in the job's folder"
        )
    made = {
        name: _publish_output(work, name, output_uri, incarnation, _files_of(work, name, manifest["files"]))
        for name in step.outputs
    }
    note = json.loads(work.store.read(layout.step_key(step.name)) or b"{}")
    key = note.get("key")
    if key is not None and key != _key(work, work.given()):
        log.warning("what step %s works on changed since it was planned; its outputs will not be used again", step.name)
        key = None
    return work.publish(StepDone(job=work.pipeline.job, step=step.name, incarnation=incarnation, outputs=made, key=key))


def _publish_output(
    work: Step, output: str, output_uri: str, incarnation: str, files: dict[str, dict[str, Any]]
) -> PublishedOutput:
    """Copy the files of an output to where they belong.

    :param files: what the manifest says of them, by the names that they get; the empty name is that of the output itself.
    """
    key = layout.step_output(work.spec.name, incarnation, output)
    source = layout.step_job(work.spec.name)
    transfer.in_threads(
        [
            partial(work.store.copy, f"{source}/{file['name']}", f"{key}/{name}" if name else key)
            for name, file in files.items()
        ]
    )
    published = [PublishedFile(name=name, bytes=file["bytes"], sha256=file["sha256"]) for name, file in files.items()]
    kind = work.spec.outputs[output].type
    return outputs.identified(PublishedOutput(type=kind, uri=join(output_uri, key), files=tuple(published)))


def _files_of(work: Step, output: str, files: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the files that make an output, by the names that they get.

    They are the returned rows, or what the script wrote to the output's folder; to a step's only such output belongs, too, what it
    wrote beside the folders of outputs, as scripts of model deployments do.
    """
    mini_batches, declared = _mini_batches(work), work.spec.outputs
    rows = mini_batches.settings.output_file_name
    if output == mini_batches.append_row_to:
        found = [
            file for file in files if file["name"] == rows or (rows.endswith("/") and file["name"].startswith(rows))
        ]
        return {"" if declared[output].type == "uri_file" else file["name"]: file for file in found}
    written = [file for file in files if file["rows"] is None]
    mine = {file["name"].removeprefix(f"{output}/"): file for file in written if file["name"].startswith(f"{output}/")}
    if [name for name in declared if name != mini_batches.append_row_to] == [output]:
        mine |= {file["name"]: file for file in written if file["name"].partition("/")[0] not in declared}
    return mine


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
