"""Endpoints as Azure's resource manager has them."""

from __future__ import annotations

from typing import Any

from airflow_batch_endpoints.azure.fields import Field, Table
from airflow_batch_endpoints.azure.ids import PROVIDER, Workspace
from airflow_batch_endpoints.documents.endpoint import Endpoint as EndpointDocument
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.services.resources import Endpoint

LOCATION = "airflow"
"""Where everything is. Azure has regions."""


def _auth_mode(value: Any) -> str:
    if str(value).lower() not in ("aadtoken", "aad_token"):
        raise ValueError(f"found {shown(value)}, expected aadToken: callers bring a token of this Airflow")
    return "aad_token"


TABLE = Table(
    fields=(
        Field("tags", "tags"),
        Field("properties.description", "description"),
        Field("properties.authMode", "auth_mode", read=_auth_mode),
        Field("properties.properties", "properties"),
        Field("properties.defaults.deploymentName", "defaults.deployment_name"),
    ),
    ignored=("properties.provisioningState", "properties.scoringUri", "properties.swaggerUri"),
)


def read_endpoint(resource: Any, name: str) -> EndpointDocument:
    """Return the document that a resource stands for. :raises DocumentError: with every problem."""
    return TABLE.read(resource).document(EndpointDocument, name=name)


def write_endpoint(endpoint: Endpoint, workspace: Workspace, scoring_uri: str) -> dict[str, Any]:
    """Return an endpoint as a resource: one whose DAG is not there yet is being created."""
    state = "Failed" if endpoint.error else "Succeeded" if endpoint.is_invokable else "Creating"
    return {
        "id": workspace.endpoint(endpoint.name),
        "name": endpoint.name,
        "type": f"{PROVIDER}/workspaces/batchEndpoints",
        "location": LOCATION,
        "tags": endpoint.tags,
        "properties": {
            "authMode": "aadToken",
            "description": endpoint.error or endpoint.description,
            "properties": endpoint.properties,
            # The object is there also when nothing is in it: clients assign to its field.
            "defaults": {"deploymentName": endpoint.default},
            "scoringUri": scoring_uri,
            "provisioningState": state,
        },
        "systemData": changed(endpoint.updated_at, endpoint.updated_by),
    }


def changed(at: str | None, by: str | None) -> dict[str, Any]:
    """Return who changed a resource when, as Azure has it."""
    return {"lastModifiedAt": at, "lastModifiedBy": by}
