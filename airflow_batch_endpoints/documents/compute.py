"""Computes: where the work is done. These documents are ours."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from airflow_batch_endpoints.documents.base import Document, Part, Tags, Whole
from airflow_batch_endpoints.documents.names import Name

_QUANTITY = re.compile(r"([1-9]\d*)(Ki|Mi|Gi|Ti|k|M|G|T)?\Z")
_FACTORS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def in_bytes(quantity: str) -> int:
    """Return a quantity of memory in bytes, as Kubernetes writes them: ``512Mi``, ``2Gi``, ``1G``.

    :raises ValueError: when it is none.
    """
    match = _QUANTITY.match(quantity)
    if match is None:
        raise ValueError("a quantity of memory such as 512Mi or 2Gi")
    return int(match[1]) * _FACTORS[match[2] or ""]


def _memory(value: str) -> str:
    in_bytes(value)
    return value


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_AMOUNT = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?\Z")
OUR_LABELS = "airflow-batch-endpoints/"
"""Prefix of the labels and annotations that say whose a pod is."""


def _dns_label(value: str) -> str:
    if not _DNS_LABEL.match(value):
        raise ValueError("up to 63 lower case letters, digits and '-', as Kubernetes names things")
    return value


def _amount(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _AMOUNT.match(text):
        raise ValueError("an amount as Kubernetes writes it, such as 500m, 2 or 4Gi")
    return text


def _not_ours(entries: dict[str, str]) -> dict[str, str]:
    for name in entries:
        if name.startswith(OUR_LABELS):
            raise ValueError(f"{name!r}: names that start with {OUR_LABELS} are set by this package")
    return entries


def _pod_template(template: dict[str, Any]) -> dict[str, Any]:
    unknown = template.keys() - {"apiVersion", "kind", "metadata", "spec"}
    spec = template.get("spec", {})
    if unknown or not isinstance(spec, dict) or not isinstance(template.get("metadata", {}), dict):
        raise ValueError("a pod: a mapping with metadata and spec")
    for field in ("containers", "initContainers", "volumes"):
        entries = spec.get(field, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
            raise ValueError(f"spec.{field}: a list of mappings, each with a name")
    if {"serviceAccountName", "serviceAccount"} & spec.keys():
        raise ValueError("no service account in it; use service_account_name or service_accounts")
    return template


Quantities = dict[str, Annotated[str, BeforeValidator(_amount)]]


class ObjectReference(Part):
    """A Secret or ConfigMap of the compute's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    optional: bool | None = None


class EnvironmentSource(Part):
    """One entry of ``env_from``, as Kubernetes has it."""

    secretRef: ObjectReference | None = None
    configMapRef: ObjectReference | None = None
    prefix: str | None = None

    @model_validator(mode="after")
    def _one(self) -> EnvironmentSource:
        if (self.secretRef is None) == (self.configMapRef is None):
            raise ValueError("either secretRef or configMapRef, with a name")
        return self


class LocalCompute(Document):
    """Workers are processes beside the Airflow worker that runs the task."""

    type: Literal["local"]
    name: Name
    description: str | None = None
    tags: Tags = {}
    build_environments: bool = True
    """Whether an environment is built for jobs whose requirements the worker's own environment does not meet."""
    memory: Annotated[str, AfterValidator(_memory)] | None = None
    """Most memory of one instance's slots together, such as ``2Gi``; a slot beyond it is killed."""
    max_instances: Annotated[Whole, Field(ge=1)] | None = None
    """Most instances of a job, whatever its deployment says."""


class PodResources(Part):
    """Requests and limits of a pod, as Kubernetes writes them: ``{cpu: "2", memory: 4Gi, nvidia.com/gpu: "1"}``."""

    requests: Quantities = {}
    limits: Quantities = {}


class Fallback(Part):
    """Where an instance goes that finds no place: spot nodes first, then those that are always there."""

    compute: Name
    """A compute of type kubernetes without a fallback of its own."""
    after_seconds: Annotated[Whole, Field(ge=1)] = 600
    """How long its pod may stay unscheduled."""


class KubernetesCompute(Document):
    """Workers are pods of one namespace of one cluster."""

    type: Literal["kubernetes"]
    name: Name
    description: str | None = None
    tags: Tags = {}
    kubernetes_conn_id: str = "kubernetes_default"
    """Airflow connection of the cluster. Where ``kubernetes_default`` is not defined, the service account of Airflow's own pod
    or ``KUBECONFIG`` is used."""
    namespace: Annotated[str, AfterValidator(_dns_label)] = "default"
    image: str | None = None
    """Image of deployments that name none (``environment.image``)."""
    build_environments: bool = False
    """Whether an environment is built in the pods of jobs whose requirements the image does not meet."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[str, ...] = ()
    resources: PodResources = PodResources()
    """Of one instance; a deployment's own go before."""
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    low_priority: bool = False
    """Tolerate the taints by which GKE and AKS keep pods away from their spot nodes."""
    fallback: Fallback | None = None
    max_instances: Annotated[Whole, Field(ge=1)] | None = None
    """Most instances of a job, whatever its deployment says."""
    service_account_name: Annotated[str, AfterValidator(_dns_label)] | None = None
    """Account of invokers that :attr:`service_accounts` does not list, and of jobs that nobody invoked."""
    service_accounts: dict[str, str] = {}
    """Invoker, as Airflow knows them, to service account. Not empty, it refuses invokers it does not list, unless
    :attr:`service_account_name` is there for them."""
    labels: Annotated[dict[str, str], AfterValidator(_not_ours)] = {}
    annotations: Annotated[dict[str, str], AfterValidator(_not_ours)] = {}
    env_from: tuple[EnvironmentSource, ...] = ()
    """Secrets and config maps whose entries become environment variables: storage and registry credentials."""
    volumes: tuple[dict[str, Any], ...] = ()
    volume_mounts: tuple[dict[str, Any], ...] = ()
    startup_timeout_seconds: Annotated[Whole, Field(ge=1)] = 1200
    """How long a pod that has its place may take to start: its image is pulled in this time."""
    pod_template: Annotated[dict[str, Any], AfterValidator(_pod_template)] = {}
    """A pod, as Kubernetes has it, that ours is laid over. It may add; it cannot weaken what the restricted Pod Security Standard
    asks for, unless ``[batch_endpoints] allow_unrestricted_pods`` says so."""


Compute = LocalCompute | KubernetesCompute

BUILT_IN = LocalCompute(type="local", name="local")
"""The compute that exists without being applied."""
