"""Job requests: what an invocation says, and the few settings it may override."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

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


class JobRequest(Part):
    """One invocation."""

    endpoint: str
    deployment: str | None = None
    """``None`` for the endpoint's default."""
    input_uri: str = Field(min_length=1)
    input_type: Literal["uri_folder", "uri_file"] | None = None
    output_uri: str | None = None
    """``None`` for a folder of its own below ``[batch_endpoints] default_output_uri``."""
    overrides: JobOverrides = JobOverrides()


OVERRIDES = ("instance_count", "mini_batch_size", "error_threshold", "output_file_name", "max_retries", "timeout")
"""The names of the overrides as flat parameters of a run."""


def request_from_conf(endpoint: str, conf: dict[str, Any]) -> JobRequest:
    """Read the flat parameters of a DAG run: ``input``, ``deployment``, ``output``, ``input_type`` and the overrides.

    :raises DocumentError: with every problem.
    """
    from airflow_batch_endpoints.documents.validation import validate

    given = {name: value for name, value in conf.items() if value not in (None, "")}
    known = {"input", "deployment", "output", "input_type", *OVERRIDES}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise DocumentError(
            [Problem("job request", name, f"no such field; a job has {', '.join(sorted(known))}") for name in unknown]
        )
    if "input" not in given:
        raise DocumentError([Problem("job request", "input", "missing; give the URI of a file, a folder or a pattern")])
    overrides: dict[str, Any] = {name: _as_written(given[name]) for name in OVERRIDES[:4] if name in given}
    retries = {name: _as_written(given[name]) for name in OVERRIDES[4:] if name in given}
    if retries:
        overrides["retry_settings"] = retries
    data: dict[str, Any] = {
        "endpoint": endpoint,
        "input_uri": given["input"],
        "overrides": overrides,
        **{name: given[name] for name in ("deployment", "input_type") if name in given},
        **({"output_uri": given["output"]} if "output" in given else {}),
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
