"""What the outputs of a step follow from, as one digest: equal digests stand for equal outputs."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.jobs.pipeline import StepSpec
from airflow_batch_endpoints.worker.environments import locking

VERSION = 1
"""Of this rule; another rule finds nothing of before."""


def key(step: StepSpec, inputs: dict[str, Any] | None, code: Path | None) -> str | None:
    """Return the key of a step; ``None`` when its outputs are not to be used again.

    It follows from the command, the code, the environment, the inputs and the names and types of the outputs; not from the
    step's name, its compute or how many instances work.

    :param inputs: what the inputs are known by; ``None`` when that is not known.
    :param code: local folder of the code.
    """
    if inputs is None or not step.is_deterministic:
        return None
    mini_batches = step.mini_batches and step.mini_batches.model_dump(mode="json", exclude={"instance_count"})
    told = {
        "version": VERSION,
        "command": step.command,
        "mini_batches": mini_batches,
        "code": None if code is None else _digest(code),
        "environment": _environment(step),
        "environment_variables": step.environment_variables,
        "inputs": {name: [step.inputs[name].type, step.inputs[name].mode, known] for name, known in inputs.items()},
        "outputs": {name: output.model_dump(mode="json") for name, output in step.outputs.items()},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _digest(code: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(code.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(json.dumps([path.relative_to(code).as_posix(), content]).encode())
    return digest.hexdigest()


def _environment(step: StepSpec) -> dict[str, Any]:
    """Return what the command runs in: what is asked for, and the worker's own, which it runs in or is resolved with."""
    asked = step.conda_file and locking.conda_content(step.conda_file)
    return {
        "asked": hashlib.sha256(asked).hexdigest() if isinstance(asked, bytes) else asked,
        "is_built": step.launch.compute.build_environments,
        "image": step.launch.image,
        "python": platform.python_version(),
        "installed": locking.installed(),
    }
