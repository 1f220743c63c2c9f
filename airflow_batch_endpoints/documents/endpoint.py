"""Endpoints: a stable name to invoke."""

from __future__ import annotations

from typing import Any, Literal

from airflow_batch_endpoints.documents.base import Document, Part, Tags
from airflow_batch_endpoints.documents.names import Name


class EndpointDefaults(Part):
    """What an invocation that names nothing gets."""

    deployment_name: Name | None = None


class Endpoint(Document):
    """A batch endpoint (Azure ML: ``batchEndpoint.schema.json``)."""

    name: Name
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}
    auth_mode: Literal["aad_token"] = "aad_token"
    """Azure ML's; who may invoke is decided by Airflow's permission on the endpoint's DAG."""
    defaults: EndpointDefaults = EndpointDefaults()
