"""The resolved job: everything a worker needs to know, decided once when the job is planned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_batch_endpoints.documents.deployment import DeploymentSettings
from airflow_batch_endpoints.jobs.launch import Launch


class Replay(BaseModel):
    """Whose dead letters a job scores again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str
    """The name of that job."""
    output_uri: str
    """Where its output is."""


class OutputAsset(BaseModel):
    """What an output becomes a version of, once it is published: a data asset, or a model in MLflow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str | None = None
    """``None`` for the next number."""
    type: Literal["uri_file", "uri_folder", "mlflow_model", "custom_model"]
    uri: str
    """Of the output."""


class JobReference(BaseModel):
    """What the tasks of a job know of it: whose it is, where it reads and writes, and how its workers are launched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["model", "pipeline", "dag"] = "model"
    """Of the deployment."""
    endpoint: str
    deployment: str
    deployment_revision: str = ""
    """Digest of the deployment's document."""
    job: str
    """The name of the job, which is the run id of its DAG run."""
    invoker: str | None = None
    input_uri: str
    """Normalised URI of a file, a folder or a glob; of a pipeline its first data input, empty when it has none."""
    output_uri: str
    """Normalised URI of the job's own folder."""
    replay: Replay | None = None
    """Whose dead letters are the items, if not all of the input is."""
    assets: tuple[str, ...] = ()
    """The versions of data assets that names stood for, such as ``azureml:heart-data:3``."""
    output_assets: tuple[OutputAsset, ...] = ()
    """What the outputs are registered as."""
    launch: Launch = Launch()
    steps: dict[str, Launch] = {}
    """How each step of a pipeline is launched, by its name."""


class LockedEnvironment(BaseModel):
    """What slots run in that is not the worker's own environment: a Python and every package with its version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str
    """Such as ``3.11``."""
    packages: tuple[str, ...]
    """Such as ``numpy==1.26.4``."""


class JobSpec(JobReference):
    """One job of a model deployment, resolved: what Airflow hands to ``worker plan`` and what ``_batch/job.json`` pins.

    It holds no secret: workers get access to storage from where they run.
    """

    type: Literal["model"] = "model"
    protocol_version: Literal[1] = 1
    input_type: Literal["uri_folder", "uri_file"] | None = None
    """What the input must be; ``None`` for either."""
    allowed_input_uris: tuple[str, ...] = ()
    """Prefixes that inputs, links and redirects must stay within; checked again while listing."""

    model_uri: str | None = None
    """As resolved: ``models:/name/3``, ``runs:/...`` or the URI of a folder or file; ``None`` for a script that has none (a step of
    a pipeline)."""
    model_name: str = "model"
    """Name of the folder (or file) below ``AZUREML_MODEL_DIR``."""
    model_artifact_uri: str | None = None
    """Where the files of an MLflow model lie, once ``plan`` has asked the registry."""
    code_uri: str | None = None
    """Folder of the scoring script; ``None`` for an MLflow model without code."""
    scoring_script: str | None = None

    conda_file: str | dict[str, Any] | None = None
    """What the deployment asks to run in: the URI of a conda file, or its content."""
    environment: LockedEnvironment | None = None
    """What the slots run in, once ``plan`` has resolved it; ``None`` for the worker's own environment."""

    settings: DeploymentSettings
    """The deployment's settings with the overrides of this job applied."""
    instance_count: Annotated[int, Field(ge=1)] = 1
    memory_bytes: int | None = None
    """Most memory one instance may use on local compute; ``None`` for no limit of ours."""

    @property
    def is_script(self) -> bool:
        """Whether a scoring script does the work (otherwise MLflow does, without code)."""
        return self.scoring_script is not None


class PlanSummary(BaseModel):
    """What a plan amounts to; part of ``job.json`` and of the result of ``worker plan``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: int
    mini_batches: int
    shards: int
    bytes: int
    instances: int
    """How many instances are worth starting: never more than there are shards."""


WorkerResult = dict[str, Any]
"""The JSON object a worker command leaves behind (at most 4 KB): see :mod:`..worker.results`."""
