"""Computes."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airflow_batch_endpoints.api import examples
from airflow_batch_endpoints.api.auth import MayDeleteComputes, MayEditComputes, MayReadComputes
from airflow_batch_endpoints.api.requests import Body, ComputeName, ExpectedDep, tagged
from airflow_batch_endpoints.api.routes.endpoints import named, require_name
from airflow_batch_endpoints.documents.compute import KubernetesCompute, LocalCompute
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import StoredDocument

router = APIRouter(prefix="/v1/computes", tags=["Computes"])


@router.get("")
def list_computes(caller: MayReadComputes) -> list[StoredDocument]:
    """List the computes, whole."""
    return Documents(caller.actor).computes()


@router.get("/{compute}")
def get_compute(caller: MayReadComputes, response: Response, compute: ComputeName) -> StoredDocument:
    """Return a compute."""
    return tagged(response, Documents(caller.actor).compute(compute))


@router.put(
    "/{compute}",
    responses={201: {"model": StoredDocument, "description": "Created"}},
    openapi_extra=examples.document_body(examples.COMPUTE),
)
def put_compute(
    caller: MayEditComputes, response: Response, compute: ComputeName, expected: ExpectedDep, body: Body
) -> StoredDocument:
    """Create or update a compute."""
    document = from_data(named(body, name=compute), "body")
    if not isinstance(document, LocalCompute | KubernetesCompute):
        raise DocumentError([Problem("body", "type", "expected local or kubernetes")])
    require_name(document.name, compute, "name")
    documents = Documents(caller.actor)
    applied = documents.put(document, expected=expected)
    return tagged(response, documents.compute(compute), applied)


@router.delete("/{compute}", status_code=204)
def delete_compute(caller: MayDeleteComputes, compute: ComputeName, expected: ExpectedDep) -> None:
    """Delete a compute. Refused while deployments name it."""
    Documents(caller.actor).delete_compute(compute, expected=expected)
