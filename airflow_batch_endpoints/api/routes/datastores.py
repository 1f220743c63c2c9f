"""Data stores."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airflow_batch_endpoints.api import examples
from airflow_batch_endpoints.api.auth import MayDeleteDatastores, MayEditDatastores, MayReadDatastores
from airflow_batch_endpoints.api.requests import Body, DatastoreName, ExpectedDep, tagged
from airflow_batch_endpoints.api.routes.endpoints import named, require_name
from airflow_batch_endpoints.documents.datastore import DATASTORES, Datastore
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import StoredDocument

router = APIRouter(prefix="/v1/datastores", tags=["Data stores"])


@router.get("")
def list_datastores(caller: MayReadDatastores) -> list[StoredDocument]:
    """List the data stores, whole."""
    return Documents(caller.actor).datastores()


@router.get("/{datastore}")
def get_datastore(caller: MayReadDatastores, response: Response, datastore: DatastoreName) -> StoredDocument:
    """Return a data store."""
    return tagged(response, Documents(caller.actor).datastore(datastore))


@router.put(
    "/{datastore}",
    responses={201: {"model": StoredDocument, "description": "Created"}},
    openapi_extra=examples.document_body(examples.DATASTORE),
)
def put_datastore(
    caller: MayEditDatastores, response: Response, datastore: DatastoreName, expected: ExpectedDep, body: Body
) -> StoredDocument:
    """Create or update a data store. It names a connection or a Kubernetes secret, and holds none."""
    document = from_data(named(body, name=datastore), "body")
    if not isinstance(document, Datastore):
        raise DocumentError([Problem("body", "type", f"expected {', '.join(DATASTORES)}")])
    require_name(document.name, datastore, "name")
    documents = Documents(caller.actor)
    applied = documents.put(document, expected=expected)
    return tagged(response, documents.datastore(datastore), applied)


@router.delete("/{datastore}", status_code=204)
def delete_datastore(caller: MayDeleteDatastores, datastore: DatastoreName, expected: ExpectedDep) -> None:
    """Delete a data store. Refused while deployments or assets name it."""
    Documents(caller.actor).delete_datastore(datastore, expected=expected)
