"""The command line of the worker. Stdlib only: tasks of local jobs import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Command = Literal["plan", "score", "publish"]


def worker_arguments(
    command: Command, job: Mapping[str, Any], *, submission: str, instance: int | None = None
) -> list[str]:
    """Return the arguments of ``python -m airflow_batch_endpoints.worker``.

    :param job: at least ``job`` and ``output_uri``.
    :param submission: which submission of the job.
    :param instance: number of the instance, for ``score``.
    """
    if command == "plan":
        return ["plan", "--submission", submission]
    arguments = [command, "--output-uri", job["output_uri"], "--job", job["job"], "--submission", submission]
    return [*arguments, "--instance", str(instance or 0)] if command == "score" else arguments
