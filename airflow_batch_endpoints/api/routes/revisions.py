"""Revisions of documents: what they were, who changed them when, and going back."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airflow_batch_endpoints.api.auth import (
    MayEditComputes,
    MayEditDatastores,
    MayEditDocument,
    MayReadComputes,
    MayReadDatastores,
    MayReadDocument,
)
from airflow_batch_endpoints.api.requests import (
    ComputeName,
    DatastoreName,
    DeploymentName,
    EndpointName,
    ExpectedDep,
    Limit,
    Offset,
    RevisionDigest,
    tag,
)
from airflow_batch_endpoints.services.documents import Documents, key_of
from airflow_batch_endpoints.services.resources import Applied, Page, Revision

router = APIRouter(prefix="/v1", tags=["Revisions"])
_ENDPOINT = "/endpoints/{endpoint}/revisions"
_DEPLOYMENT = "/endpoints/{endpoint}/deployments/{deployment}/revisions"
_COMPUTE = "/computes/{compute}/revisions"
_DATASTORE = "/datastores/{datastore}/revisions"


@router.get(_ENDPOINT)
def list_endpoint_revisions(
    caller: MayReadDocument, endpoint: EndpointName, limit: Limit = 50, offset: Offset = 0
) -> Page[Revision]:
    """List what an endpoint's document was, newest first, each with what changed since the one before."""
    return Documents(caller.actor).revisions(key_of("endpoint", endpoint), limit=limit, offset=offset)


@router.get(_DEPLOYMENT)
def list_deployment_revisions(
    caller: MayReadDocument, endpoint: EndpointName, deployment: DeploymentName, limit: Limit = 50, offset: Offset = 0
) -> Page[Revision]:
    """List what a deployment's document was, newest first, each with what changed since the one before."""
    return Documents(caller.actor).revisions(key_of("deployment", deployment, endpoint), limit=limit, offset=offset)


@router.get(_COMPUTE)
def list_compute_revisions(
    caller: MayReadComputes, compute: ComputeName, limit: Limit = 50, offset: Offset = 0
) -> Page[Revision]:
    """List what a compute's document was, newest first, each with what changed since the one before."""
    return Documents(caller.actor).revisions(key_of("compute", compute), limit=limit, offset=offset)


@router.get(_DATASTORE)
def list_datastore_revisions(
    caller: MayReadDatastores, datastore: DatastoreName, limit: Limit = 50, offset: Offset = 0
) -> Page[Revision]:
    """List what a data store's document was, newest first, each with what changed since the one before."""
    return Documents(caller.actor).revisions(key_of("datastore", datastore), limit=limit, offset=offset)


@router.post(_ENDPOINT + "/{revision}/restore")
def restore_endpoint(
    caller: MayEditDocument, response: Response, endpoint: EndpointName, revision: RevisionDigest, expected: ExpectedDep
) -> Applied:
    """Make an endpoint's document again what it was."""
    tag(response, revision)
    return Documents(caller.actor).restore(key_of("endpoint", endpoint), revision, expected=expected)


@router.post(_DEPLOYMENT + "/{revision}/restore")
def restore_deployment(
    caller: MayEditDocument,
    response: Response,
    endpoint: EndpointName,
    deployment: DeploymentName,
    revision: RevisionDigest,
    expected: ExpectedDep,
) -> Applied:
    """Make a deployment's document again what it was."""
    tag(response, revision)
    key = key_of("deployment", deployment, endpoint)
    return Documents(caller.actor).restore(key, revision, expected=expected)


@router.post(_COMPUTE + "/{revision}/restore")
def restore_compute(
    caller: MayEditComputes, response: Response, compute: ComputeName, revision: RevisionDigest, expected: ExpectedDep
) -> Applied:
    """Make a compute's document again what it was."""
    tag(response, revision)
    return Documents(caller.actor).restore(key_of("compute", compute), revision, expected=expected)


@router.post(_DATASTORE + "/{revision}/restore")
def restore_datastore(
    caller: MayEditDatastores,
    response: Response,
    datastore: DatastoreName,
    revision: RevisionDigest,
    expected: ExpectedDep,
) -> Applied:
    """Make a data store's document again what it was."""
    tag(response, revision)
    return Documents(caller.actor).restore(key_of("datastore", datastore), revision, expected=expected)
