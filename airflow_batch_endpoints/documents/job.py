"""Job requests: what an invocation says, and the few settings it may override."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from airflow_batch_endpoints.documents.base import Part
from airflow_batch_endpoints.documents.deployment import (
    DeploymentSettings,
    ErrorThreshold,
    FieldError,
    InstanceCount,
    MaxRetries,
    MiniBatchSize,
    OutputFileName,
    Timeout,
)
from airflow_batch_endpoints.documents.ports import DATA_TYPES, LITERAL_TYPES, LiteralValue, PortType
from airflow_batch_endpoints.documents.references import AssetName, Version
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


class JobInput(Part):
    """One input of an invocation: data by path, URI or reference, or a literal."""

    type: PortType | None = None
    path: str | None = None
    value: LiteralValue | None = None
    mode: str | None = None
    """Azure ML's; ignored: how a step sees data is the deployment's."""
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _either(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            if not isinstance(data, bool | int | float | str):
                raise ValueError("a value, or data: {type: uri_folder, path: <URI>}")
            return {"value": data}
        if "default" in data:
            # Azure ML's form of a literal in a file: {type: string, default: append}.
            if "value" in data:
                raise FieldError("default", "stands beside value; keep one of the two")
            data = {**{name: entry for name, entry in data.items() if name != "default"}, "value": data["default"]}
        return data

    @model_validator(mode="after")
    def _one(self) -> JobInput:
        if (self.path is None) == (self.value is None):
            raise ValueError("either a value, or data: {type: uri_folder, path: <URI>}")
        if self.path is not None and not self.path.strip():
            raise FieldError("path", "empty; give a URI such as s3://bucket/folder")
        if self.path is not None and self.type in LITERAL_TYPES:
            raise FieldError("path", f"belongs to data; a {self.type} has a value")
        if self.value is not None and self.type in DATA_TYPES:
            raise FieldError("value", f"belongs to literals; a {self.type} has a path")
        return self


class JobOutput(Part):
    """Where one output of an invocation goes, and the data asset that it becomes a version of."""

    type: PortType | None = None
    path: str | None = None
    name: AssetName | None = None
    """Data asset that the output becomes a version of."""
    version: Version | None = None
    """Of that asset; ``None`` for the next number."""
    mode: str | None = None
    """Azure ML's; ignored."""
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _path(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data or {}

    @model_validator(mode="after")
    def _named(self) -> JobOutput:
        if self.version is not None and self.name is None:
            raise FieldError("version", "is of a data asset; give its name, too")
        return self


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
    inputs: dict[str, Any] = {}
    """By name; what they may be is the deployment's to say: see :meth:`named_inputs`."""
    outputs: dict[str, JobOutput] = {}
    """By name."""
    overrides: JobOverrides = JobOverrides()

    def named_inputs(self) -> dict[str, JobInput]:
        """Return the inputs by name. :raises DocumentError: with every one that is no input."""
        from airflow_batch_endpoints.documents.validation import validate

        given = {name: value for name, value in self.inputs.items() if value is not None}
        return validate(_Inputs, {"inputs": given}, SOURCE).inputs

    @property
    def unnamed_input(self) -> JobInput | None:
        """The input that nobody named."""
        return None if self.input_uri is None else JobInput(type=self.input_type, path=self.input_uri)


class _Inputs(Part):
    inputs: dict[str, JobInput] = {}


SOURCE = "job request"
OVERRIDES = ("instance_count", "mini_batch_size", "error_threshold", "output_file_name", "max_retries", "timeout")
"""The names of the overrides as flat parameters of a run."""


def request_from_conf(endpoint: str, conf: dict[str, Any]) -> JobRequest:
    """Read the parameters of a DAG run: ``input`` or ``replay_of``, ``deployment``, ``output``, ``input_type``, the overrides, all
    flat, and ``inputs`` and ``outputs`` as objects.

    :raises DocumentError: with every problem.
    """
    from airflow_batch_endpoints.documents.validation import validate

    given = {name: value for name, value in conf.items() if value not in (None, "", {})}
    known = {"input", "inputs", "replay_of", "deployment", "output", "outputs", "input_type", *OVERRIDES}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise DocumentError(
            [Problem(SOURCE, name, f"no such field; a job has {', '.join(sorted(known))}") for name in unknown]
        )
    if "replay_of" in given and ("input" in given or "inputs" in given):
        message = "stands beside replay_of; a replay has the input of its job, keep one of the two"
        raise DocumentError([Problem(SOURCE, "input", message)])
    overrides: dict[str, Any] = {name: _as_written(given[name]) for name in OVERRIDES[:4] if name in given}
    retries = {name: _as_written(given[name]) for name in OVERRIDES[4:] if name in given}
    if retries:
        overrides["retry_settings"] = retries
    data: dict[str, Any] = {
        "endpoint": endpoint,
        "overrides": overrides,
        **{
            name: given[name]
            for name in ("replay_of", "deployment", "input_type", "inputs", "outputs")
            if name in given
        },
        **{f"{name}_uri": given[name] for name in ("input", "output") if name in given},
    }
    return validate(JobRequest, data, SOURCE)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs of a command line as parameters of a run.

    ``retry_settings.timeout=60`` and ``timeout=60`` mean the same, so do Azure ML's ``settings.mini_batch_size`` and
    ``resources.instance_count``. ``inputs.x=5``, ``inputs.x.path=<URI>`` and ``outputs.y.path=<URI>`` say what is given by name.

    :raises DocumentError: naming each assignment that is none.
    """
    found: dict[str, Any] = {}
    problems = []
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        group, *path = name.strip().split(".")
        short = path[-1] if path else group
        if separator and group in _FIELDS and len(path) in (1, 2) and set(path[1:]) <= _FIELDS[group]:
            _put(found.setdefault(group, {}), path, value)
        elif separator and group not in _FIELDS and short in OVERRIDES:
            found[short] = _as_written(value)
        else:
            expected = f"{', '.join(OVERRIDES)}, inputs.<name>, inputs.<name>.path or outputs.<name>.path"
            problems.append(Problem("--set", assignment, f"expected name=value with one of {expected}"))
    if problems:
        raise DocumentError(problems)
    return found


_FIELDS = {
    "inputs": {"path", "type", "value", "default", "mode"},
    "outputs": {"path", "type", "mode", "name", "version"},
}
"""What may be said of an input and of an output."""


def _put(named: dict[str, Any], path: list[str], value: str) -> None:
    name, *fields = path
    if not fields:
        named[name] = value
    elif isinstance(named.get(name), dict):
        named[name][fields[0]] = value
    else:
        named[name] = {fields[0]: value}


def _as_written(value: Any) -> Any:
    """Return a number that a form or a command line could only give as text."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text
