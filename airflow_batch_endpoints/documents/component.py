"""Components: what a pipeline is made of. Field names, ranges and defaults are Azure ML's.

A step of a pipeline holds its component: read from a file or written out in the pipeline, it is in the document; named
(``azureml:name:version``) it is put there when the document is applied.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from airflow_batch_endpoints.documents import sizes
from airflow_batch_endpoints.documents.assets import VersionedAsset
from airflow_batch_endpoints.documents.base import Part, Tags
from airflow_batch_endpoints.documents.deployment import (
    CodeFolder,
    DataPath,
    Environment,
    EnvironmentOrName,
    EnvironmentVariables,
    ErrorThreshold,
    FieldError,
    MaxRetries,
    MiniBatchSize,
    Resources,
    Timeout,
)
from airflow_batch_endpoints.documents.expressions import IDENTIFIER
from airflow_batch_endpoints.documents.names import ComputeName
from airflow_batch_endpoints.documents.ports import (
    ComponentInput,
    ComponentOutput,
    InputMode,
    LiteralValue,
    OutputMode,
    PortName,
    PortType,
    type_of,
)
from airflow_batch_endpoints.documents.references import AssetName, Version

KINDS = ("command", "parallel", "pipeline")
_OTHER_KINDS = {
    "sweep": "searching for hyperparameters is not what batch endpoints do; run the search inside a command",
    "automl": "there is no AutoML here; train in a command",
    "spark": "there is no Spark here; use a command, or a DAG of your own behind the endpoint (dag_id)",
    "import": "give the data as an input of the job",
    "data_transfer": "give the data as an input of the job",
}
MAX_COMMAND = 50_000
_STEP_NAME = re.compile(rf"{IDENTIFIER}\Z")


def _step_name(value: str) -> str:
    if not _STEP_NAME.match(value) or len(value) > 64:
        raise ValueError("the name of a step: up to 64 letters, digits and '_', not starting with a digit")
    return value


class _Component(VersionedAsset):
    """What all components have."""

    name: AssetName | None = None  # type: ignore[assignment]
    """``None`` for one that is written out in a pipeline."""
    display_name: str | None = None
    is_deterministic: bool = True
    """Whether equal inputs give equal outputs, so that outputs may be used again."""
    inputs: dict[PortName, ComponentInput] = {}
    outputs: dict[PortName, ComponentOutput] = {}

    @field_validator("outputs", mode="before")
    @classmethod
    def _none_for_no_output(cls, value: Any) -> Any:
        return {name: entry or {} for name, entry in value.items()} if isinstance(value, dict) else value


class Limits(Part):
    """How long a command may run."""

    timeout: Timeout | None = None
    """Seconds."""


class StepResources(Resources):
    """What a step runs on."""

    shm_size: str | None = None
    """Azure ML's; ignored: a compute's pod_template says it."""


class CommandComponent(_Component):
    """A command line that runs once (Azure ML: ``commandComponent.schema.json``)."""

    type: Literal["command"] = "command"
    command: Annotated[str, Field(min_length=1, max_length=MAX_COMMAND)]
    code: CodeFolder | None = None
    """Folder that the command runs in a copy of, relative to the document."""
    environment: EnvironmentOrName | None = None
    environment_variables: EnvironmentVariables = {}
    resources: StepResources = StepResources()
    limits: Limits = Limits()

    @model_validator(mode="before")
    @classmethod
    def _one_process(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("distribution") is not None:
            raise FieldError(
                "distribution",
                "distributed commands (MPI, PyTorch, TensorFlow, Ray) are not run here: a command is one process on one "
                "machine; leave it out, or use a step of type: parallel",
            )
        resources = data.get("resources") if isinstance(data, dict) else None
        if isinstance(resources, dict) and resources.get("instance_count", 1) != 1:
            raise FieldError(
                "resources.instance_count",
                f"found {resources['instance_count']!r}; a command runs on one instance, only type: parallel on several",
            )
        return data

    @field_validator("command")
    @classmethod
    def _is_text(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a command line without NUL")
        return value


class ParallelRetries(Part):
    """How often and how long a mini-batch of a parallel step is tried."""

    max_retries: MaxRetries = 2
    timeout: Timeout = 60
    """Seconds for one ``run()`` call."""


def _number(value: Any) -> Any:
    """Return a number that is written as text, as Azure ML has it here."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value.strip()) else value


class ParallelTask(Part):
    """What a parallel step does with each mini-batch."""

    type: Literal["run_function"]
    code: CodeFolder
    """Folder of the script, relative to the document."""
    entry_script: str
    """File in that folder with ``init()`` and ``run(mini_batch)``."""
    program_arguments: str = ""
    append_row_to: str | None = None
    """``${{outputs.x}}``: where returned rows go; none when the script writes its own files."""
    environment: EnvironmentOrName | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_functions(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("model") is not None:
            raise FieldError("model", "is not read here; give the model as an input, and load it in the entry script")
        if isinstance(data, dict) and data.get("type") == "function":
            return {**data, "type": "run_function"}
        return data

    @field_validator("entry_script")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\0" in value or path.suffix != ".py":
            raise ValueError("a Python file inside the code folder, by its relative path")
        return value


class ParallelComponent(_Component):
    """A script that scores mini-batches (Azure ML: ``parallelComponent.schema.json``)."""

    type: Literal["parallel"]
    task: ParallelTask
    input_data: str
    """``${{inputs.x}}``: the data that are cut into mini-batches."""
    mini_batch_size: Annotated[MiniBatchSize, BeforeValidator(_number)] = 10
    error_threshold: Annotated[ErrorThreshold, BeforeValidator(_number)] = -1
    mini_batch_error_threshold: Annotated[ErrorThreshold, BeforeValidator(_number)] = -1
    """Counts items like ``error_threshold``: a failing mini-batch is taken apart until the guilty items are found."""
    retry_settings: ParallelRetries = ParallelRetries()
    max_concurrency_per_instance: Annotated[int, Field(ge=1, le=256, strict=True)] = 1
    logging_level: Literal["warning", "info", "debug"] = "info"
    environment_variables: EnvironmentVariables = {}
    resources: StepResources = StepResources()
    output_format: Literal["standard", "azureml"] = "standard"
    """Ours. As of model deployments."""

    @model_validator(mode="before")
    @classmethod
    def _by_files(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("partition_keys"):
            raise FieldError(
                "partition_keys", "tables are not partitioned here; write one file per partition in a step before"
            )
        if isinstance(data, dict) and isinstance(data.get("logging_level"), str):
            return {**data, "logging_level": data["logging_level"].lower()}
        return data

    # What a step needs of its component, whatever its kind:

    @property
    def command(self) -> None:
        """No command line: there is a script."""
        return

    @property
    def code(self) -> str:
        """Folder of the script."""
        return self.task.code

    @property
    def environment(self) -> Environment | None:
        """What the script runs in."""
        return self.task.environment

    @property
    def limits(self) -> Limits:
        """No limit of the whole."""
        return Limits()

    @property
    def threshold(self) -> int | str:
        """How many items may fail: what both thresholds allow."""
        found = [given for given in (self.error_threshold, self.mini_batch_error_threshold) if given != -1]
        return min(found, key=lambda given: int(given)) if len(found) == 2 else found[0] if found else -1

    @model_validator(mode="after")
    def _one_threshold(self) -> ParallelComponent:
        given = (self.error_threshold, self.mini_batch_error_threshold)
        if -1 not in given and any(isinstance(threshold, str) for threshold in given):
            raise FieldError(
                "mini_batch_error_threshold", "stands beside error_threshold; keep one, when one is a share"
            )
        return self

    @field_validator("mini_batch_size")
    @classmethod
    def _whole_files(cls, value: int | str) -> int | str:
        if sizes.parse(value).unit == "rows":
            raise ValueError('a number of files or a size such as "64MB": a script gets whole files')
        return value


class StepInput(Part):
    """Data for a step, written with its type or mode."""

    type: PortType | None = None
    path: DataPath
    mode: InputMode | None = None


class StepOutput(Part):
    """What becomes of an output of a step."""

    type: PortType | None = None
    path: str | None = None
    """``${{parent.outputs.x}}``: it is an output of the pipeline."""
    mode: OutputMode | None = None
    name: AssetName | None = None
    """Data asset that the pipeline's output becomes a version of."""
    version: Version | None = None
    """Of that asset; ``None`` for the next number."""


def _given(value: Any) -> str:
    return "<data>" if isinstance(value, dict | StepInput) else "<literal>"


GivenInput = Annotated[
    Annotated[StepInput, Tag("<data>")] | Annotated[LiteralValue, Tag("<literal>")], Discriminator(_given)
]
"""What a step is given: a literal, an expression, or data with a type."""


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "<name>"
    kind = value.get("type", "command") if isinstance(value, dict) else value.type
    return f"<{kind}>"


def _known(value: Any) -> Any:
    if not isinstance(value, str | dict | _Component):
        raise ValueError("a component: written out, the path of its file, or azureml:<name>:<version>")
    if isinstance(value, dict) and "type" in value and value["type"] not in KINDS:
        kind = value["type"]
        reason = f"; {_OTHER_KINDS[kind]}" if isinstance(kind, str) and kind in _OTHER_KINDS else ""
        raise FieldError("type", f"found {kind!r}, expected {', '.join(KINDS)}{reason}")
    return value


class Step(Part):
    """A step of a pipeline: a component, and what is given to it."""

    type: Literal["command", "parallel", "pipeline"]
    component: ComponentOrName
    inputs: dict[PortName, GivenInput] = {}
    outputs: dict[PortName, StepOutput] = {}
    compute: ComputeName | None = None
    """Name of a compute; ``None`` for the pipeline's ``default_compute``."""
    environment: EnvironmentOrName | None = None
    """Goes before the component's."""
    environment_variables: EnvironmentVariables = {}
    """Added to the component's."""
    resources: StepResources | None = None
    """Goes before the component's."""
    limits: Limits | None = None
    """Goes before the component's."""
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    comment: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}
    identity: dict[str, Any] | None = None
    """Azure ML's; ignored: a job runs as its invoker, by the compute's service accounts."""

    @model_validator(mode="before")
    @classmethod
    def _with_component(cls, data: Any) -> Any:
        """Bring a step that is written out (``command:``, ``task:``) into the form of one that has a component."""
        if not isinstance(data, dict):
            return data
        component = data.get("component")
        kind = data.get("type") or (component.get("type") if isinstance(component, dict) else None) or "command"
        if kind not in KINDS:
            reason = f"; {_OTHER_KINDS[kind]}" if isinstance(kind, str) and kind in _OTHER_KINDS else ""
            raise FieldError("type", f"found {kind!r}, expected {', '.join(KINDS)}{reason}")
        data = {**data, "type": kind}
        if component is None:
            data = _written_out(data, kind)
        elif isinstance(component, dict):
            data["component"] = {"type": kind, **component}
        if isinstance(data.get("inputs"), dict):
            data["inputs"] = {name: given for name, given in data["inputs"].items() if given is not None}
        if isinstance(data.get("outputs"), dict):
            data["outputs"] = {
                name: {"path": given} if isinstance(given, str) else given or {}
                for name, given in data["outputs"].items()
            }
        return data

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        found = None if isinstance(self.component, str) else self.component.type
        if found is not None and found != self.type:
            raise FieldError("component.type", f"found {found!r}, expected {self.type!r} as the type of the step says")
        return self


_STEP_FIELDS = (
    "type", "inputs", "outputs", "compute", "name", "display_name", "description", "comment", "tags", "properties", "identity",
)  # fmt: skip


def _written_out(data: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a step with the component that its own fields describe."""
    if kind == "pipeline":
        raise FieldError("component", "missing; a step of type: pipeline names a pipeline component")
    own = {name: value for name, value in data.items() if name not in _STEP_FIELDS}
    given, made = data.get("inputs") or {}, data.get("outputs") or {}
    component: dict[str, Any] = {"type": kind, **own}
    if isinstance(given, dict):
        component["inputs"] = {name: {"type": _type_of(value)} for name, value in given.items()}
    if isinstance(made, dict):
        component["outputs"] = {
            name: {"type": entry.get("type"), "mode": entry.get("mode")} if isinstance(entry, dict) else {}
            for name, entry in made.items()
        }
    return {**{name: data[name] for name in _STEP_FIELDS if name in data}, "component": component}


def _type_of(value: Any) -> str | None:
    if isinstance(value, dict):
        return value.get("type")
    if isinstance(value, str) and "${{" in value:
        return None
    return type_of(value) if isinstance(value, bool | int | float | str) else None


class PipelineSettings(Part):
    """How a pipeline runs its steps; what is ``None`` is decided further out, in the end by Azure ML's defaults."""

    default_compute: ComputeName | None = None
    """Compute of the steps that name none."""
    default_datastore: str | None = None
    """Azure ML's; outputs go where the invocation says, or below ``[batch_endpoints] default_output_uri``."""
    continue_on_step_failure: bool | None = None
    """Whether steps that do not depend on a failed one go on; they do by default."""
    force_rerun: bool | None = None
    """Whether steps run though equal ones have run before; they do not by default."""


class PipelineComponent(_Component):
    """Steps, and how they hang together (Azure ML: ``pipelineComponent.schema.json``)."""

    type: Literal["pipeline"] = "pipeline"
    jobs: Annotated[dict[Annotated[str, AfterValidator(_step_name)], Step], Field(min_length=1)]
    settings: PipelineSettings = PipelineSettings()


Component = CommandComponent | ParallelComponent | PipelineComponent
"""A component of any kind."""
ComponentOrName = Annotated[
    Annotated[str, Tag("<name>")]
    | Annotated[CommandComponent, Tag("<command>")]
    | Annotated[ParallelComponent, Tag("<parallel>")]
    | Annotated[PipelineComponent, Tag("<pipeline>")],
    Discriminator(_kind),
    BeforeValidator(_known),
]
"""A component written out, or what names one: the path of a file, or ``azureml:name:version``."""

Step.model_rebuild()
PipelineComponent.model_rebuild()
