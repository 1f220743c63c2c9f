"""Computes: where the work is done. These documents are ours."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

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


class LocalCompute(Document):
    """Workers are processes beside the Airflow worker that runs the task."""

    type: Literal["local"]
    name: Name
    description: str | None = None
    tags: Tags = {}
    memory: Annotated[str, AfterValidator(_memory)] | None = None
    """Most memory of one instance's slots together, such as ``2Gi``; a slot beyond it is killed."""
    max_instances: Annotated[Whole, Field(ge=1)] | None = None
    """Most instances of a job, whatever its deployment says."""


class ComputeResources(Part):
    """Requests and limits of a pod, as Kubernetes has them."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class KubernetesCompute(Document):
    """Workers are pods. The document is validated; running on it is not supported yet."""

    type: Literal["kubernetes"]
    name: Name
    description: str | None = None
    tags: Tags = {}
    kubernetes_conn_id: str | None = None
    namespace: str = "default"
    image: str | None = None
    resources: ComputeResources = ComputeResources()
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    service_account_name: str | None = None
    service_accounts: dict[str, str] = {}
    """Invoker to service account."""
    pod_template: dict[str, Any] | None = None
    low_priority: bool = False
    max_instances: Annotated[Whole, Field(ge=1)] | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    env_from: tuple[dict[str, Any], ...] = ()


Compute = LocalCompute | KubernetesCompute

BUILT_IN = LocalCompute(type="local", name="local")
"""The compute that exists without being applied."""
