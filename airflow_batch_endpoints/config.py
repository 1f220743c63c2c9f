"""The options of ``[batch_endpoints]``: one table for Airflow's reference, and properties that read them when asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

SECTION = "batch_endpoints"
_VERSION = "0.1.0"


def _option(
    description: str, *, type: str = "string", example: str | None = None, default: str | None
) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": _VERSION,
        "type": type,
        "example": example,
        "default": default,
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "artifact_uri": _option(
        "Folder where `apply` stages the code and models that lie beside a document. Workers must be able to read it.",
        example="s3://ml/batch-endpoints/artifacts",
        default="{AIRFLOW_HOME}/batch_endpoints/artifacts",
    ),
    "default_output_uri": _option(
        "Folder for the outputs of jobs that name none; each job gets `<endpoint>/<job>` below it.",
        example="s3://ml/batch-endpoints/outputs",
        default="{AIRFLOW_HOME}/batch_endpoints/outputs",
    ),
    "allowed_input_uris": _option(
        "Prefixes that jobs may read inputs from, separated by commas or spaces, besides `artifact_uri` and "
        "`default_output_uri`. A private network address is reached only if a prefix here names its host.",
        example="s3://lake/raw, file:///data",
        default="",
    ),
    "allowed_output_uris": _option(
        "Prefixes that jobs may write outputs to, separated by commas or spaces, besides `default_output_uri`.",
        example="s3://lake/predictions",
        default="",
    ),
    "default_compute": _option("The compute of deployments that name none.", example="spot-pool", default="local"),
    "allow_local_compute": _option(
        "Whether jobs may run as processes beside the Airflow workers. Who may change deployments may then run code there.",
        type="boolean",
        example="False",
        default="True",
    ),
    "allow_unrestricted_pods": _option(
        "Whether the pod_template and the volumes of a compute may go beyond the restricted Pod Security Standard: host paths and "
        "host networks, privileged containers, root.",
        type="boolean",
        example="True",
        default="False",
    ),
    "pod_watch_seconds": _option(
        "Seconds between looks at a running pod: its progress, what it waits for, whether its job was canceled.",
        type="float",
        example="30",
        default="10",
    ),
    "mlflow_tracking_uri": {
        **_option(
            "MLflow server (or database) that `models:/`, `runs:/` and `azureml:` references are resolved in, handed to local "
            "workers as MLFLOW_TRACKING_URI. Empty: what the workers' environment says.",
            example="http://mlflow.internal:5000",
            default="",
        ),
        "sensitive": True,
    },
    "local_environment": _option(
        "Names of further environment variables that local workers and their scripts get, separated by commas or spaces; `*` "
        "stands for anything. They never get Airflow's own.",
        example="HF_HOME, MY_TEAM_*",
        default="",
    ),
    "lease_seconds": _option(
        "Seconds without a heartbeat after which another instance takes over the work of one that is silent.",
        type="float",
        example="120",
        default="60",
    ),
    "max_active_runs": _option(
        "Jobs of one endpoint that run at the same time; more are queued.", type="integer", example="32", default="16"
    ),
    "max_active_tasks": _option(
        "Instances of one endpoint, over all of its jobs, that run at the same time.",
        type="integer",
        example="200",
        default="1000",
    ),
    "max_upload_bytes": _option(
        "Most bytes that one `POST /v1/apply` may upload: documents with their code and models.",
        type="integer",
        example="2000000000",
        default="500000000",
    ),
    "storage_conn_id": _option(
        "Connection with which the API server reads the outputs of jobs from remote storage: one of a provider that opens the "
        "storage (such as `aws`), or a `generic` one whose extra holds the options of fsspec. Empty: what its environment gives.",
        example="aws_batch_outputs",
        default="",
    ),
    "storage_timeout_seconds": _option(
        "How long the API server waits for the storage of outputs when it shows progress, previews, dead letters and downloads.",
        type="float",
        example="30",
        default="10",
    ),
    "azure_compat": _option(
        "Whether the API server also answers at `/batch-endpoints/azure`, in the forms of Azure ML's own Python SDK. A subset; see "
        "the page on it.",
        type="boolean",
        example="True",
        default="False",
    ),
    "azure_datastores": _option(
        "What `azureml://datastores/<name>/paths/...` stands for in invocations by that SDK: `<name>=<URI of a folder>`, "
        "separated by commas or spaces.",
        example="lake=s3://lake/raw, out=s3://lake/predictions",
        default="",
    ),
    "apply_wait_seconds": _option(
        "How long `apply` waits for a new endpoint to become invokable before it goes on without.",
        type="float",
        example="120",
        default="60",
    ),
}
"""Every option, as Airflow's ``config`` provider metadata wants it."""


@dataclass(frozen=True)
class Settings:
    """The options as they are set, read when first asked for."""

    @cached_property
    def artifact_uri(self) -> str:
        """Normalised URI of the store for staged files."""
        return self._uri("artifact_uri")

    @cached_property
    def default_output_uri(self) -> str:
        """Normalised URI of the folder for outputs without a place."""
        return self._uri("default_output_uri")

    @cached_property
    def allowed_input_uris(self) -> tuple[str, ...]:
        """Normalised prefixes that inputs must stay within."""
        return (*self._uris("allowed_input_uris"), self.artifact_uri, self.default_output_uri)

    @cached_property
    def allowed_output_uris(self) -> tuple[str, ...]:
        """Normalised prefixes that outputs must stay within."""
        return (*self._uris("allowed_output_uris"), self.default_output_uri)

    @property
    def default_compute(self) -> str:
        """Name of the compute of deployments that name none."""
        return _get("default_compute") or "local"

    @property
    def allow_local_compute(self) -> bool:
        """Whether jobs may run beside the Airflow workers."""
        return _is_on("allow_local_compute")

    @property
    def allow_unrestricted_pods(self) -> bool:
        """Whether pods may be weaker than the restricted standard."""
        return _is_on("allow_unrestricted_pods")

    @property
    def pod_watch_seconds(self) -> float:
        """Seconds between looks at a running pod."""
        return float(_get("pod_watch_seconds"))

    @property
    def mlflow_tracking_uri(self) -> str | None:
        """Where models are registered; may hold credentials, so it goes nowhere but into a worker's environment."""
        return _get("mlflow_tracking_uri") or None

    @property
    def public_mlflow_tracking_uri(self) -> str | None:
        """Where models are registered, if that is a server and its address holds no credentials: fit for a pod's spec."""
        uri = urlsplit(self.mlflow_tracking_uri or "")
        return self.mlflow_tracking_uri if uri.scheme in ("http", "https") and uri.username is None else None

    @property
    def local_environment(self) -> tuple[str, ...]:
        """Further environment variables for local workers."""
        return _split(_get("local_environment"))

    @property
    def lease_seconds(self) -> float:
        """Seconds after which a silent instance counts as dead."""
        return float(_get("lease_seconds"))

    @property
    def max_active_runs(self) -> int:
        """Jobs of one endpoint at the same time."""
        return int(_get("max_active_runs"))

    @property
    def max_active_tasks(self) -> int:
        """Instances of one endpoint at the same time."""
        return int(_get("max_active_tasks"))

    @property
    def max_upload_bytes(self) -> int:
        """Most bytes of one upload."""
        return int(_get("max_upload_bytes"))

    @property
    def storage_conn_id(self) -> str | None:
        """Connection with which the API server reads outputs from remote storage."""
        return _get("storage_conn_id").strip() or None

    @property
    def storage_timeout_seconds(self) -> float:
        """How long the API server waits for storage."""
        return float(_get("storage_timeout_seconds"))

    @property
    def azure_compat(self) -> bool:
        """Whether Azure ML's SDK is answered."""
        return _is_on("azure_compat")

    @property
    def azure_datastores(self) -> dict[str, str]:
        """Normalised URIs by the names of datastores."""
        pairs = (entry.partition("=") for entry in _split(_get("azure_datastores")))
        return {name: self._normalised(uri, "azure_datastores") for name, _, uri in pairs}

    @property
    def apply_wait_seconds(self) -> float:
        """How long ``apply`` waits."""
        return float(_get("apply_wait_seconds"))

    def _uri(self, option: str) -> str:
        return self._normalised(_get(option), option)

    def _uris(self, option: str) -> tuple[str, ...]:
        return tuple(self._normalised(uri, option) for uri in _split(_get(option)))

    @staticmethod
    def _normalised(uri: str, option: str) -> str:
        from airflow_batch_endpoints.storage.uris import normalise

        return normalise(uri, what=f"[{SECTION}] {option}")


def settings() -> Settings:
    """Return the options; each is read when it is used, never at import."""
    return Settings()


def _split(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def _get(option: str) -> str:
    from airflow.sdk.configuration import conf

    value = conf.get(SECTION, option, fallback=OPTIONS[option]["default"])
    home = os.environ.get("AIRFLOW_HOME") or os.path.expanduser("~/airflow")
    return str(value or "").replace("{AIRFLOW_HOME}", home)


def _is_on(option: str) -> bool:
    return _get(option).strip().lower() in ("true", "t", "1", "yes", "on")
