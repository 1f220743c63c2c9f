"""A pipeline job, resolved: its steps, what each of them gets, and what becomes of what they make."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_batch_endpoints.documents.deployment import DeploymentSettings
from airflow_batch_endpoints.documents.ports import DataType as DataType
from airflow_batch_endpoints.documents.ports import LiteralType as LiteralType
from airflow_batch_endpoints.documents.ports import LiteralValue as LiteralValue
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.jobs.spec import JobReference


class _Resolved(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OutputOf(_Resolved):
    """An output of another step."""

    step: str
    output: str


class StepInput(_Resolved):
    """What a step gets under one name: data or a literal, known beforehand or made by an earlier step."""

    type: DataType | LiteralType
    mode: Literal["ro_mount", "download", "direct"] = "ro_mount"
    """How the command sees data: as a local path, or (``direct``) as the URI. A mount may be a copy."""
    value: LiteralValue | None = None
    """The literal, or the normalised URI of data (of a model also ``models:/name/3`` or ``models:/name@alias``); ``None`` for an
    optional input that is not given, or with ``source``."""
    source: OutputOf | None = None
    """The output that is the input; its data are of type ``type``."""


class StepOutput(_Resolved):
    """What a step makes under one name."""

    type: DataType
    mode: Literal["rw_mount", "upload", "direct"] = "rw_mount"


class MiniBatches(_Resolved):
    """How a parallel step scores: its data input is cut, scored and published as a model deployment's input is."""

    input: str
    """Name of the data input that is cut into mini-batches."""
    scoring_script: str
    """File in the step's code with ``init()`` and ``run(mini_batch)``."""
    arguments: str = ""
    """What the script finds in ``sys.argv``, with expressions as in a command."""
    append_row_to: str | None = None
    """Name of the output that the returned rows go to; ``None`` when the script writes its own files."""
    settings: DeploymentSettings
    instance_count: Annotated[int, Field(ge=1)] = 1


class StepSpec(_Resolved):
    """One step, resolved. It holds no secret."""

    name: str
    """Path of the step: ``prepare``, or ``outer.prepare`` for a step of a pipeline that is itself a step."""
    inputs: dict[str, StepInput] = {}
    outputs: dict[str, StepOutput] = {}
    command: str | None = None
    """Command line for the shell, with ``${{inputs.x}}``, ``${{outputs.y}}`` and ``$[[ optional parts ]]``; ``None`` with
    ``mini_batches``."""
    mini_batches: MiniBatches | None = None
    code_uri: str | None = None
    """Folder that the command runs in a copy of."""
    conda_file: str | dict[str, Any] | None = None
    """What the step asks to run in: the URI of a conda file, or its content."""
    environment_variables: dict[str, str] = {}
    timeout: int | None = None
    """Seconds for the command; ``None`` for no limit."""
    is_deterministic: bool = True
    """Whether equal inputs give equal outputs, so that outputs may be used again."""
    launch: Launch = Launch()
    memory_bytes: int | None = None
    """Most memory the step may use on local compute; ``None`` for no limit of ours."""

    @property
    def after(self) -> frozenset[str]:
        """Names of the steps that must be done before this one."""
        return frozenset(given.source.step for given in self.inputs.values() if given.source is not None)


class JobOutput(_Resolved):
    """An output of the whole job: which step makes it, and where it is published."""

    made_by: OutputOf
    type: DataType
    uri: str
    """Where the invocation wants it; by default a folder of its name in the job's folder."""


class PipelineSpec(JobReference):
    """One pipeline job, resolved: what ``_batch/job.json`` pins. Its ``launch`` is that of ``plan`` and ``publish``."""

    type: Literal["pipeline"] = "pipeline"
    protocol_version: Literal[1] = 1
    inputs: dict[str, LiteralValue | None] = {}
    """The job's inputs, by name: literals and normalised URIs."""
    outputs: dict[str, JobOutput] = {}
    graph: tuple[StepSpec, ...]
    """The steps, in an order in which each comes after those it depends on."""
    allowed_input_uris: tuple[str, ...] = ()
    """Prefixes that inputs must stay within; checked again while they are fetched."""
    continue_on_step_failure: bool = True
    """Whether steps that do not depend on a failed one go on."""
    force_rerun: bool = False
    """Whether every step runs, though an equal one has run before."""
    reuse_uri: str | None = None
    """Folder where finished steps of the endpoint are found again; ``None`` for no reuse."""

    def step(self, name: str) -> StepSpec:
        """Return a step by its name. :raises KeyError: when there is none."""
        return {step.name: step for step in self.graph}[name]
