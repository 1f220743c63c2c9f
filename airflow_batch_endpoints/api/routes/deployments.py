"""Deployments."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airflow_batch_endpoints.api import examples
from airflow_batch_endpoints.api.auth import MayDeleteDocument, MayEditDocument, MayReadDocument
from airflow_batch_endpoints.api.requests import Body, DeploymentName, EndpointName, ExpectedDep, tagged
from airflow_batch_endpoints.api.routes.endpoints import named, require_name
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.registry.keys import Deployment
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import StoredDocument

router = APIRouter(prefix="/v1/endpoints/{endpoint}/deployments", tags=["Deployments"])


@router.get("")
def list_deployments(caller: MayReadDocument, endpoint: EndpointName) -> list[StoredDocument]:
    """List the deployments of an endpoint, whole."""
    return Documents(caller.actor).deployments(endpoint)


@router.get("/{deployment}")
def get_deployment(
    caller: MayReadDocument, response: Response, endpoint: EndpointName, deployment: DeploymentName
) -> StoredDocument:
    """Return a deployment."""
    return tagged(response, Documents(caller.actor).deployment(endpoint, deployment))


@router.put(
    "/{deployment}",
    responses={201: {"model": StoredDocument, "description": "Created"}},
    openapi_extra=examples.document_body(examples.DEPLOYMENT),
)
def put_deployment(
    caller: MayEditDocument,
    response: Response,
    endpoint: EndpointName,
    deployment: DeploymentName,
    expected: ExpectedDep,
    body: Body,
) -> StoredDocument:
    """Create or update a deployment. Code and models must be URIs; `POST /v1/apply` uploads what lies beside a document."""
    document = from_data(named(body, name=deployment, endpoint_name=endpoint), "body")
    if not isinstance(document, Deployment):
        raise DocumentError([Problem("body", "type", "is of no deployment; expected model, pipeline or dag")])
    require_name(document.name, deployment, "name")
    require_name(document.endpoint_name, endpoint, "endpoint_name")
    documents = Documents(caller.actor)
    applied = documents.put(document, expected=expected)
    return tagged(response, documents.deployment(endpoint, deployment), applied)


@router.delete("/{deployment}", status_code=204)
def delete_deployment(
    caller: MayDeleteDocument, endpoint: EndpointName, deployment: DeploymentName, expected: ExpectedDep
) -> None:
    """Delete a deployment. Jobs that run it go on. Refused for the default."""
    Documents(caller.actor).delete_deployment(endpoint, deployment, expected=expected)
