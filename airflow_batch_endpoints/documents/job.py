"""Job requests: what an invocation says, and the few settings it may override."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from airflow_batch_endpoints.documents.base import Part
from airflow_batch_endpoints.documents.deployment import (
    DeploymentSettings,
    ErrorThreshold,
    InstanceCount,
    MaxRetries,
    MiniBatchSize,
    OutputFileName,
    Timeout,
)
from airflow_batch_endpoints.exceptions import DocumentError, Problem


class RetryOverrides(Part):
    """What a job may change of the retry settings."""

    max_retries: MaxRetries | None = None
    timeout: Timeout | None = None


class JobOverrides(Part):
    """What a job may change of its deployment: what Azure ML lets it change, and nothing else."""

    instance_count: InstanceCount | None = None
    mini_batch_size: MiniBatchSize | None = None
    error_threshold: ErrorThreshold | None = None
    output_file_name: OutputFileName | None = None
    retry_settings: RetryOverrides = RetryOverrides()

    def apply(self, settings: DeploymentSettings) -> DeploymentSettings:
        """Return the settings with what this job changes."""
        changes: dict[str, Any] = {
            name: value
            for name in ("mini_batch_size", "error_threshold", "output_file_name")
            if (value := getattr(self, name)) is not None
        }
        retries = self.retry_settings.model_dump(exclude_none=True)
        if retries:
            changes["retry_settings"] = settings.retry_settings.model_copy(update=retries)
        return settings.model_copy(update=changes)


def _job_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.~:+-]{0,249}", value):
        raise ValueError("the name of a job: letters, digits and any of _ . ~ : + -")
    return value


class JobRequest(Part):
    """One invocation."""

    endpoint: str
    deployment: str | None = None
    """``None`` for the endpoint's default."""
    input_uri: str | None = None
    replay_of: Annotated[str, AfterValidator(_job_name)] | None = None
    """Name of a completed job of the endpoint, whose dead letters are the input."""
    input_type: Literal["uri_folder", "uri_file"] | None = None
    output_uri: str | None = None
    """``None`` for a folder of its own below ``[batch_endpoints] default_output_uri``."""
    overrides: JobOverrides = JobOverrides()


OVERRIDES = ("instance_count", "mini_batch_size", "error_threshold", "output_file_name", "max_retries", "timeout")
"""The names of the overrides as flat parameters of a run."""


def request_from_conf(endpoint: str, conf: dict[str, Any]) -> JobRequest:
    """Read the flat parameters of a DAG run: ``input`` or ``replay_of``, ``deployment``, ``output``, ``input_type``, overrides.

    :raises DocumentError: with every problem.
    """
    from airflow_batch_endpoints.documents.validation import validate

    given = {name: value for name, value in conf.items() if value not in (None, "")}
    known = {"input", "replay_of", "deployment", "output", "input_type", *OVERRIDES}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise DocumentError(
            [Problem("job request", name, f"no such field; a job has {', '.join(sorted(known))}") for name in unknown]
        )
    if ("input" in given) == ("replay_of" in given):
        found = "both" if "input" in given else "missing"
        message = "give either the URI of a file, a folder or a pattern, or replay_of, the name of a completed job"
        raise DocumentError([Problem("job request", "input", f"{found}; {message}")])
    overrides: dict[str, Any] = {name: _as_written(given[name]) for name in OVERRIDES[:4] if name in given}
    retries = {name: _as_written(given[name]) for name in OVERRIDES[4:] if name in given}
    if retries:
        overrides["retry_settings"] = retries
    data: dict[str, Any] = {
        "endpoint": endpoint,
        "overrides": overrides,
        **{name: given[name] for name in ("replay_of", "deployment", "input_type") if name in given},
        **{f"{name}_uri": given[name] for name in ("input", "output") if name in given},
    }
    return validate(JobRequest, data, "job request")


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs of a command line as flat overrides.

    ``retry_settings.timeout=60`` and ``timeout=60`` mean the same, so do Azure ML's ``settings.mini_batch_size`` and
    ``resources.instance_count``.

    :raises DocumentError: naming each assignment that is none.
    """
    found: dict[str, Any] = {}
    problems = []
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        short = name.strip().rpartition(".")[2]
        if not separator or short not in OVERRIDES:
            problems.append(Problem("--set", assignment, f"expected name=value with one of {', '.join(OVERRIDES)}"))
            continue
        found[short] = _as_written(value)
    if problems:
        raise DocumentError(problems)
    return found


def _as_written(value: Any) -> Any:
    """Return a number that a form or a command line could only give as text."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text
