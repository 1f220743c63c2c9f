"""``step``: a command of a pipeline, from its inputs to its published outputs."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import environment, shell
from airflow_batch_endpoints.jobs.pipeline import StepSpec
from airflow_batch_endpoints.jobs.steps import StepDone
from airflow_batch_endpoints.storage.contents import Contents
from airflow_batch_endpoints.worker.environments import building, locking
from airflow_batch_endpoints.worker.environments.wanted import from_conda
from airflow_batch_endpoints.worker.scratch import scratch
from airflow_batch_endpoints.worker.steps import inputs
from airflow_batch_endpoints.worker.steps.outputs import Outputs
from airflow_batch_endpoints.worker.steps.running import Command
from airflow_batch_endpoints.worker.steps.step import Step, require_command

log = logging.getLogger(__name__)


def run(output_uri: str, job: str, submission: str, *, step: str) -> dict[str, Any]:
    """Do a step, use what an equal one has made before, or confirm that it is done.

    :param output_uri: folder of the job.
    :param job: name of the job.
    :param submission: which submission of the job this is.
    :param step: name of the step.
    :return: ``state``, ``seconds``, ``reused_from`` and the URI of each output.
    :raises IncompleteError: a step that it comes after is not done.
    :raises UserError: the command failed, or an input is not what it should be.
    """
    work = Step(output_uri, job, submission, step)
    return work.confirm() or dict(work.settle(lambda: _do(work, output_uri)))


def _do(work: Step, output_uri: str) -> dict[str, Any]:
    text = require_command(work.spec)
    with scratch() as folder:
        given = work.given()
        found = inputs.look(given)
        code = work.code(folder / "fetched")
        key = work.key(given, found, code)
        reused = work.reuse(key)
        if reused is not None:
            return reused
        incarnation = secrets.token_hex(4)
        outputs = Outputs(work.spec, output_uri, incarnation, folder / "outputs")
        told_inputs = inputs.have(given, found, _made(folder / "inputs"))
        told_outputs = outputs.prepare()
        log.info("step %s starts as %s", work.spec.name, incarnation)
        Command(
            shell.for_shell(text, inputs.kinds(work.spec, given), set(told_outputs)),
            folder=_copy(code, folder / "code"),
            environment={
                **_environment(work.spec),
                "TMPDIR": str(_made(folder / "tmp")),
                **_variables(told_inputs, told_outputs),
            },
            timeout=work.spec.timeout,
            memory_bytes=work.spec.memory_bytes,
        ).run()
        log.info("the command ended well; storing its outputs")
        published = outputs.keep()
        # Other data are looked at again only if that decides something.
        are_same = _are_same(given if key else inputs.made_by_steps(given), found)
        return work.publish(
            StepDone(
                job=work.pipeline.job,
                step=work.spec.name,
                incarnation=incarnation,
                outputs=published,
                key=key if are_same else None,
                seconds=work.seconds,
            )
        )


def _are_same(given: inputs.Given, found: Mapping[str, Contents | None]) -> bool:
    """Tell whether the inputs are what they were before the command ran.

    :raises UserError: the output of another step is not.
    """
    changed = [
        name for name, value in given.items() if isinstance(value, inputs.Data) and not value.is_still(found[name])
    ]
    for name in changed:
        if name in inputs.made_by_steps(given):
            raise UserError(
                f"input {name} is the output of another step, and was changed while the command ran; a command that writes to an "
                "input takes it by mode: download"
            )
        log.warning("input %s changed while the command ran; the outputs will not be used again", name)
    return not changed


def _variables(told_inputs: Mapping[str, str], told_outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the command line refers to."""
    values = {
        **{shell.variable("inputs", name): value for name, value in told_inputs.items()},
        **{shell.variable("outputs", name): value for name, value in told_outputs.items()},
    }
    for name, value in values.items():
        if "\0" in value:
            raise UserError(f"{name} holds a zero byte, which no program can be told")
    return values


def _environment(spec: StepSpec) -> dict[str, str]:
    """Return the variables of a command: what its worker lets it see, where MLflow is, and what the step sets.

    ``python`` is that of the environment which the step asks for; without one, or if the worker's own will do, the worker's.
    """
    chosen = environment.for_scripts(os.environ, is_pod=spec.launch.is_pod)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if "@" not in os.environ.get(name, "@"):  # an address that holds no credentials
            chosen.setdefault(name, os.environ[name])
    python = Path(sys.executable)
    if spec.conda_file is not None:
        wanted = from_conda(locking.conda_content(spec.conda_file), locking.CONDA_FILE)
        locked = locking.resolve(wanted, spec.launch, locking.taken_for_granted(wanted))
        if locked is not None:
            python = building.interpreter(locked)
            chosen = {name: value for name, value in chosen.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
            chosen["VIRTUAL_ENV"] = str(python.parents[1])
    chosen["PATH"] = os.pathsep.join([str(python.parent), chosen.get("PATH", os.defpath)])
    return {**chosen, **spec.environment_variables}


def _copy(code: Path | None, target: Path) -> Path:
    """Return a copy of the code that the command may write to."""
    if code is None:
        return _made(target)
    shutil.copytree(code, target)
    return target


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
