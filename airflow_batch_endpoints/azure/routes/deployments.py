"""Deployments."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from airflow_batch_endpoints.api.auth import (
    Caller,
    MayDeleteDocument,
    MayEditDocument,
    MayReadDocument,
    MayReadEndpoint,
)
from airflow_batch_endpoints.api.requests import Body, DeploymentName, EndpointName
from airflow_batch_endpoints.azure.deployments import read_deployment, write_deployment
from airflow_batch_endpoints.azure.ids import WORKSPACE
from airflow_batch_endpoints.azure.requests import WorkspaceDep
from airflow_batch_endpoints.azure.routes.endpoints import announce
from airflow_batch_endpoints.services.documents import Documents, key_of
from airflow_batch_endpoints.services.resources import StoredDocument

router = APIRouter(prefix=f"{WORKSPACE}/batchEndpoints/{{endpoint}}/deployments")


@router.get("")
def list_deployments(caller: MayReadEndpoint, workspace: WorkspaceDep, endpoint: EndpointName) -> dict[str, Any]:
    """List the deployments of an endpoint; clients look for names there when they invoke. Who may read no more sees those alone."""
    documents = Documents(caller.actor)
    return {"value": [write_deployment(entry, workspace) for entry in _readable(caller, documents, endpoint)]}


@router.get("/{deployment}")
def get_deployment(
    caller: MayReadDocument, workspace: WorkspaceDep, endpoint: EndpointName, deployment: DeploymentName
) -> dict[str, Any]:
    """Return a deployment."""
    return write_deployment(Documents(caller.actor).deployment(endpoint, deployment), workspace)


@router.put("/{deployment}")
def put_deployment(
    caller: MayEditDocument,
    request: Request,
    response: Response,
    workspace: WorkspaceDep,
    endpoint: EndpointName,
    deployment: DeploymentName,
    body: Body,
) -> dict[str, Any]:
    """Create or update a deployment."""
    documents = Documents(caller.actor)
    applied = documents.put(read_deployment(body, endpoint, deployment))
    response.status_code = 201 if applied.result == "created" else 200
    owner = documents.endpoint(endpoint)
    announce(request, response, workspace, owner)
    found = documents.deployment(endpoint, deployment)
    return write_deployment(found, workspace, is_invokable=owner.is_invokable)


@router.delete("/{deployment}", status_code=204)
def delete_deployment(
    caller: MayDeleteDocument, workspace: WorkspaceDep, endpoint: EndpointName, deployment: DeploymentName
) -> None:
    """Delete a deployment. Refused for the default."""
    Documents(caller.actor).delete_deployment(endpoint, deployment)


def _readable(caller: Caller, documents: Documents, endpoint: str) -> list[StoredDocument]:
    return [
        entry
        if caller.may_document("GET", key_of("deployment", entry.name, endpoint))
        else StoredDocument(kind="deployment", name=entry.name, endpoint=endpoint)
        for entry in documents.deployments(endpoint)
    ]
