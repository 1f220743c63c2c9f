"""Deployments: how an endpoint does its work. Field names, ranges and defaults are Azure ML's."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from airflow_batch_endpoints.documents import sizes
from airflow_batch_endpoints.documents.base import Document, Part, Tags, Whole
from airflow_batch_endpoints.documents.compute import Quantities
from airflow_batch_endpoints.documents.names import ComputeName, Name
from airflow_batch_endpoints.documents.references import AssetName, Reference, is_reference, parse, parse_place

MAX_INSTANCES = 1000
"""Most instances of a job; each is a mapped task (Airflow's ``max_map_length`` is 1,024)."""
MAX_TIMEOUT = 259_200

_PERCENT = re.compile(r"\d{1,3}(\.\d+)?\s*%\Z")
_SECRET = re.compile(
    r"(^|_)(password|passwd|secret|token|credentials?|api_?key|access_?key|private_?key|key|sas|connection_string)(_|$)",
    re.I,
)
_RESERVED = ("AZUREML_", "BATCH_ENDPOINTS_", "AIRFLOW_", "LD_", "PYTHON")
OUTPUT_SUFFIXES = (".csv", ".parquet", ".jsonl")


def _mini_batch_size(value: Any) -> int | str:
    sizes.parse(value)
    return value.strip() if isinstance(value, str) else int(value)


def _error_threshold(value: Any) -> int | str:
    if isinstance(value, str) and _PERCENT.match(value.strip()):
        text = value.strip().replace(" ", "")
        if float(text[:-1]) <= 100:
            return text
    if isinstance(value, bool) or not isinstance(value, int) or value < -1:
        raise ValueError('-1 (ignore failures), a number of items from 0, or a share of them such as "5%"')
    return value


def _timeout(value: Any) -> Any:
    if isinstance(value, str) and value.upper().startswith("PT"):
        raise ValueError("seconds as a whole number; durations such as PT30S belong to the REST interface")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_TIMEOUT:
        raise ValueError(f"seconds as a whole number, from 1 to {MAX_TIMEOUT}")
    return value


def _output_file_name(value: str) -> str:
    if re.match(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}/\Z", value):
        return value
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,199}\Z", value) or not value.endswith(OUTPUT_SUFFIXES):
        raise ValueError(
            "a plain file name (letters, digits, '.', '_', '-', not starting with '.' or '_') ending in "
            + ", ".join(OUTPUT_SUFFIXES)
            + ", or a folder's name ending in '/' for Parquet parts"
        )
    if value in ("manifest.json", "dead_letters.jsonl"):
        raise ValueError("a name the job does not use for itself")
    return value


class FieldError(ValueError):
    """A problem with one entry of a mapping; the loader adds the entry's name to the path."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def _harmless(variables: dict[str, str]) -> dict[str, str]:
    for name in variables:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", name):
            raise FieldError(name, "expected a name of letters, digits and '_'")
        if name.upper() in ("PATH", "HOME") or name.upper().startswith(_RESERVED):
            raise FieldError(name, "reserved: the system sets it; use another name")
        if _SECRET.search(name):
            raise FieldError(
                name,
                "looks like a secret, and documents are read by many; use the compute's env_from",
            )
    return variables


MiniBatchSize = Annotated[int | str, BeforeValidator(_mini_batch_size)]
ErrorThreshold = Annotated[int | str, BeforeValidator(_error_threshold)]
Timeout = Annotated[int, BeforeValidator(_timeout)]
OutputFileName = Annotated[str, AfterValidator(_output_file_name)]
InstanceCount = Annotated[Whole, Field(ge=1, le=MAX_INSTANCES)]
MaxRetries = Annotated[Whole, Field(ge=0, le=100)]
EnvironmentVariables = Annotated[dict[str, str], AfterValidator(_harmless)]


class RetrySettings(Part):
    """How often and how long a mini-batch is tried."""

    max_retries: MaxRetries = 3
    timeout: Timeout = 30
    """Seconds for one ``run()`` or ``predict()`` call."""


class DeploymentSettings(Part):
    """How a deployment cuts, scores and writes."""

    max_concurrency_per_instance: Annotated[Whole, Field(ge=1, le=256)] = 1
    mini_batch_size: MiniBatchSize = 10
    error_threshold: ErrorThreshold = -1
    retry_settings: RetrySettings = RetrySettings()
    output_action: Literal["append_row", "summary_only"] = "append_row"
    output_file_name: OutputFileName = "predictions.csv"
    logging_level: Literal["warning", "info", "debug"] = "info"
    environment_variables: EnvironmentVariables = {}
    output_format: Literal["standard", "azureml"] = "standard"
    """Ours. ``azureml`` writes exactly what Azure ML writes: no header, spaces between a script's values."""
    output_exists: Literal["fail", "replace"] = "fail"
    """Ours. What to do when another job's output is already there."""
    keep_working_state: bool = False
    """Ours. Keep plan, commits and parts after publication."""
    distribution: Literal["dynamic", "static"] = "dynamic"
    """Ours. ``static`` assigns shards by instance number, for stores without exclusive create."""
    slot_start_method: Literal["fork", "spawn"] = "fork"
    """Ours. ``fork`` loads the model once per instance; ``spawn`` is for what cannot be forked."""
    join_input: bool = False
    """Ours. Put the input's columns beside the predictions (MLflow models without code)."""
    input_columns: list[str] | None = None
    """Ours. Which columns ``join_input`` puts there; all by default."""
    output_asset: AssetName | None = None
    """Ours. Name of a data asset that each job's predictions become a new version of."""
    provenance: bool = False
    """Ours. Say of every row which model version, deployment revision and attempt it comes from."""

    @property
    def is_dataset(self) -> bool:
        """Whether the output is a folder of Parquet parts."""
        return self.output_file_name.endswith("/")

    def require_consistent(self, *, is_script: bool) -> None:
        """Refuse settings that cannot go together.

        :param is_script: whether a scoring script does the work.
        :raises FieldError: naming the setting and what to do.
        """
        if is_script and sizes.parse(self.mini_batch_size).unit == "rows":
            raise FieldError(
                "mini_batch_size",
                f"found {self.mini_batch_size!r}; a scoring script gets whole files, give it a number of files or a size "
                'such as "64MB"',
            )
        if is_script and self.join_input:
            raise FieldError(
                "join_input", "a scoring script returns what it wants in the output; let run() return those columns"
            )
        if self.input_columns is not None and not self.join_input:
            raise FieldError("input_columns", "picks from what join_input puts into the output; set join_input: true")
        if self.output_format == "azureml":
            for name in ("join_input", "provenance", "is_dataset"):
                if getattr(self, name):
                    field = "output_file_name" if name == "is_dataset" else name
                    raise FieldError(
                        field, "output_format: azureml writes exactly what Azure ML writes; leave one of them out"
                    )

    @field_validator("logging_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


def _folder(value: str) -> str:
    if "\0" in value or not value.strip():
        raise ValueError("a path or a URI")
    if is_reference(value):
        parse_place(value)
    elif (scheme := _scheme(value)) and scheme not in _SUPPORTED:
        raise ValueError(f"a path, or a URI with one of the schemes {', '.join(_SUPPORTED)}")
    return value


def _data(value: str) -> str:
    if value.startswith(("models:", "runs:")):
        return model_uri(value)
    if is_reference(value) and "@" in value:
        # An alias of a model is known to MLflow alone.
        model_uri(value)
        return value
    return value if _scheme(value) in ("http", "https") else _folder(value)


def _scheme(value: str) -> str | None:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", value)
    return match[1].lower() if match else None


CodeFolder = Annotated[str, AfterValidator(_folder)]
"""A folder with code: a path, a URI, a data asset or a place in a data store."""
DataPath = Annotated[str, AfterValidator(_data)]
"""Data or a model: a path, a URI, a reference, or a model of MLflow."""


class CodeConfiguration(Part):
    """Where the scoring script is."""

    code: CodeFolder
    """Folder, relative to the document; a URI, a data asset or a place in a data store."""
    scoring_script: str
    """File in that folder with ``init()`` and ``run(mini_batch)``."""

    @field_validator("scoring_script")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\0" in value or path.suffix != ".py":
            raise ValueError("a Python file inside the code folder, by its relative path")
        return value


class Environment(Part):
    """What the workers run in: inline, or the name and version of an environment that is applied."""

    name: str | None = None
    version: str | int | None = None
    image: str | None = None
    conda_file: str | dict[str, Any] | None = None
    description: str | None = None
    tags: Tags = {}

    @property
    def reference(self) -> Reference | None:
        """The environment that is meant, when it is named instead of described."""
        if self.name is None or not is_reference(self.name) or self.image is not None or self.conda_file is not None:
            return None
        return parse(self.name)

    @field_validator("name")
    @classmethod
    def _of_an_asset(cls, value: str | None) -> str | None:
        if value is not None and is_reference(value):
            parse(value)
        return value


def _environment(value: Any) -> Any:
    if isinstance(value, str) and not is_reference(value):
        raise ValueError("a reference such as azureml:flights-env@latest, or an image and a conda_file")
    return {"name": value} if isinstance(value, str) else value


EnvironmentOrName = Annotated[Environment, BeforeValidator(_environment)]
"""An environment, written out or by its name."""


class Resources(Part):
    """How many instances work on a job."""

    instance_count: InstanceCount = 1
    instance_type: str | None = None
    properties: dict[str, Any] = {}
    requests: Quantities = {}
    """Ours. Of one instance's pod; each entry goes before the compute's."""
    limits: Quantities = {}
    """Ours. Likewise."""


_MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._ -]*"
_ASSET = re.compile(
    rf"azureml:(?P<name>{_MODEL_NAME})(?::(?P<version>[A-Za-z0-9][A-Za-z0-9._-]*)|@(?P<label>[A-Za-z0-9][A-Za-z0-9._-]*))\Z"
)
_REGISTERED = re.compile(r"models:/[^/@\s]+(/[^/@\s]+|@[^/@\s]+)\Z")
_RUN = re.compile(r"runs:/[0-9A-Za-z]+/.+\Z")
_SUPPORTED = ("file", "s3", "gs", "gcs", "abfs", "abfss", "az", "adl")


def model_uri(value: str) -> str:
    """Return a reference to a model as a URI: an MLflow URI, a URI of files, or a path as it is.

    :param value: ``azureml:name:version``, ``azureml:name@latest``, ``models:/...``, ``runs:/...``, a path or a URI.
    :raises ValueError: when it is none of these.
    """
    if "\0" in value or not value.strip():
        raise ValueError("a reference to a model or a path")
    if value.startswith("azureml://"):
        parse_place(value)
        return value
    if value.startswith("azureml:"):
        match = _ASSET.match(value)
        if match is None:
            raise ValueError("azureml:<name>:<version> or azureml:<name>@<label>, such as azureml:flights@latest")
        version = match["version"]
        return f"models:/{match['name']}/{version}" if version else f"models:/{match['name']}@{match['label']}"
    if value.startswith("models:"):
        if not _REGISTERED.match(value):
            raise ValueError("models:/<name>/<version> or models:/<name>@<alias>")
        return value
    if value.startswith("runs:"):
        if not _RUN.match(value):
            raise ValueError("runs:/<run id>/<path of the model>")
        return value
    if (scheme := _scheme(value)) and scheme not in _SUPPORTED:
        raise ValueError(
            f"a path, models:/..., runs:/..., azureml:... or a URI with one of the schemes {', '.join(_SUPPORTED)}"
        )
    return value


def is_relative_path(uri: str) -> bool:
    """Tell whether a reference is a path on the machine of who applies, to be staged."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) is None


class Model(Part):
    """A model: written as one reference, or inline as name and path."""

    name: str | None = None
    version: str | int | None = None
    path: Annotated[str, AfterValidator(model_uri)]
    type: Literal["custom_model", "mlflow_model", "triton_model"] | None = None
    description: str | None = None
    tags: Tags = {}


class ModelDeployment(Document):
    """A deployment that scores with a model. Both dialects of Azure ML load into this one form."""

    type: Literal["model"] = "model"
    name: Name
    endpoint_name: Name
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}
    model: Model
    code_configuration: CodeConfiguration | None = None
    environment: EnvironmentOrName | None = None
    compute: ComputeName | None = None
    """Name of a compute; ``None`` for ``[batch_endpoints] default_compute``."""
    resources: Resources = Resources()
    settings: DeploymentSettings = DeploymentSettings()

    @model_validator(mode="before")
    @classmethod
    def _one_dialect(cls, data: Any) -> Any:
        """Bring the settings of the older dialect (``type`` absent: at the root) where the newer has them."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if "type" not in data and "settings" not in data:
            at_root = {name: data.pop(name) for name in DeploymentSettings.model_fields if name in data}
            if at_root:
                data["settings"] = at_root
        settings = data.get("settings")
        if isinstance(settings, dict) and "instance_count" in settings:
            settings = dict(settings)
            data["resources"] = {"instance_count": settings.pop("instance_count"), **(data.get("resources") or {})}
            data["settings"] = settings
        if isinstance(data.get("model"), str):
            data["model"] = _named(data["model"])
        return data

    @model_validator(mode="after")
    def _consistent(self) -> ModelDeployment:
        try:
            self.settings.require_consistent(is_script=self.code_configuration is not None)
        except FieldError as error:
            raise FieldError(f"settings.{error.field}", str(error)) from None
        return self


def _named(reference: str) -> dict[str, Any]:
    """Return the inline form of a reference, with the model's own name where it has one."""
    match = _ASSET.match(reference)
    if match:
        return {"name": match["name"], "path": reference}
    registered = re.match(r"models:/([^/@]+)", reference)
    return {"name": registered[1] if registered else None, "path": reference}
