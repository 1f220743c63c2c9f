"""Workspaces and endpoints."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from airflow_batch_endpoints.api.auth import LoggedIn, MayDeleteDocument, MayEditDocument, MayReadEndpoint
from airflow_batch_endpoints.api.requests import Body, EndpointName
from airflow_batch_endpoints.azure.endpoints import LOCATION, read_endpoint, write_endpoint
from airflow_batch_endpoints.azure.ids import PROVIDER, WORKSPACE, Workspace
from airflow_batch_endpoints.azure.requests import PAGE, Skip, WorkspaceDep, base_url, paged
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.services.actor import Actor
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import Endpoint

router = APIRouter(prefix=WORKSPACE)


@router.get("")
def get_workspace(caller: LoggedIn, request: Request, workspace: WorkspaceDep) -> dict[str, Any]:
    """Return the workspace; there is one, whatever it is called."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "type": f"{PROVIDER}/workspaces",
        "location": LOCATION,
        "properties": {"discoveryUrl": f"{base_url(request)}/discovery", "provisioningState": "Succeeded"},
    }


@router.get("/batchEndpoints")
def list_endpoints(caller: LoggedIn, request: Request, workspace: WorkspaceDep, skip: Skip = 0) -> dict[str, Any]:
    """List the endpoints that the caller may read."""
    found = Documents(caller.actor).endpoints(allowed=caller.readable, limit=PAGE, offset=skip)
    return paged(request, found, [_resource(request, workspace, endpoint) for endpoint in found.items])


@router.get("/batchEndpoints/{endpoint}")
def get_endpoint(
    caller: MayReadEndpoint, request: Request, workspace: WorkspaceDep, endpoint: EndpointName
) -> dict[str, Any]:
    """Return an endpoint."""
    return _resource(request, workspace, Documents(caller.actor).endpoint(endpoint))


@router.put("/batchEndpoints/{endpoint}")
def put_endpoint(
    caller: MayEditDocument,
    request: Request,
    response: Response,
    workspace: WorkspaceDep,
    endpoint: EndpointName,
    body: Body,
) -> dict[str, Any]:
    """Create or update an endpoint."""
    documents = Documents(caller.actor)
    applied = documents.put(read_endpoint(body, endpoint))
    response.status_code = 201 if applied.result == "created" else 200
    found = documents.endpoint(endpoint)
    announce(request, response, workspace, found)
    return _resource(request, workspace, found)


@router.delete("/batchEndpoints/{endpoint}", status_code=204)
def delete_endpoint(caller: MayDeleteDocument, workspace: WorkspaceDep, endpoint: EndpointName) -> None:
    """Delete an endpoint with its deployments."""
    Documents(caller.actor).delete_endpoint(endpoint)


@router.get("/batchEndpoints/{endpoint}/creation")
def get_creation(
    caller: MayReadEndpoint,
    response: Response,
    workspace: WorkspaceDep,
    endpoint: EndpointName,
    since: Annotated[int, Query(ge=0, le=10**11)],
) -> dict[str, Any]:
    """Tell whether an endpoint can be invoked by now, which ends its creation.

    :param since: when that began; a client that lost it sees a failure in the end, not an endless wait.
    """
    response.headers["Retry-After"] = "1"
    return _creation(caller.actor, endpoint, seconds=time.time() - since)


def announce(request: Request, response: Response, workspace: Workspace, endpoint: Endpoint) -> None:
    """Say in an answer where to ask whether an endpoint can be invoked, if it cannot be yet."""
    if not endpoint.is_invokable:
        creation = f"{base_url(request)}{workspace.endpoint(endpoint.name)}/creation?since={int(time.time())}"
        response.headers["Azure-AsyncOperation"] = creation
        response.headers["Retry-After"] = "1"


def _creation(actor: Actor, endpoint: str, *, seconds: float) -> dict[str, Any]:
    missing, is_file_known = Documents(actor).not_invokable([endpoint])
    if not missing:
        return {"status": "Succeeded"}
    if seconds < settings().apply_wait_seconds:
        return {"status": "InProgress"}
    why = (
        "is the DAG processor running?"
        if is_file_known
        else "no DAG file that it has parsed calls airflow_batch_endpoints.dags.build"
    )
    message = f"endpoint {endpoint!r} is kept, but has no DAG after {seconds:.0f} s and cannot be invoked; {why}"
    return {"status": "Failed", "error": {"code": "NotInvokable", "message": message}}


def _resource(request: Request, workspace: Workspace, endpoint: Endpoint) -> dict[str, Any]:
    return write_endpoint(endpoint, workspace, f"{base_url(request)}{workspace.endpoint(endpoint.name)}/jobs")
