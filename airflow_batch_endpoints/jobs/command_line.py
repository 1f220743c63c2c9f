"""The command line of the worker. Stdlib only: tasks of local jobs import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Command = Literal["plan", "score", "publish", "step"]


def worker_arguments(
    command: Command,
    job: Mapping[str, Any],
    *,
    submission: str,
    instance: int | None = None,
    step: str | None = None,
) -> list[str]:
    """Return the arguments of ``python -m airflow_batch_endpoints.worker``.

    :param job: at least ``job`` and ``output_uri``.
    :param submission: which submission of the job.
    :param instance: number of the instance, for ``score``.
    :param step: name of a pipeline's step: for ``step``, and for the three others when the step is a parallel one.
    """
    arguments: list[str] = [command]
    if command != "plan" or step is not None:
        arguments += ["--output-uri", job["output_uri"], "--job", job["job"]]
    arguments += ["--submission", submission]
    if command == "score":
        arguments += ["--instance", str(instance or 0)]
    return arguments if step is None else [*arguments, "--step", step]
