"""Endpoints."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from airflow_batch_endpoints.api import examples
from airflow_batch_endpoints.api.auth import (
    NAME_PATTERN,
    Caller,
    LoggedIn,
    MayDeleteDocument,
    MayEditDocument,
    MayReadEndpoint,
    MayReadJobs,
)
from airflow_batch_endpoints.api.requests import Body, EndpointName, ExpectedDep, Limit, Offset, server_url, tagged
from airflow_batch_endpoints.documents.endpoint import Endpoint as EndpointDocument
from airflow_batch_endpoints.documents.validation import validate
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import Endpoint, Page, Statistics
from airflow_batch_endpoints.services.statistics import MAX_DAYS, statistics_of

router = APIRouter(prefix="/v1/endpoints", tags=["Endpoints"])


class DefaultDeployment(BaseModel):
    """Which deployment is to be the default."""

    deployment: Annotated[str, Field(pattern=NAME_PATTERN, max_length=32)]


@router.get("")
def list_endpoints(
    caller: LoggedIn,
    request: Request,
    contains: Annotated[str, Query(max_length=32, description="Part of the name, in any case.")] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Endpoint]:
    """List the endpoints that the caller may read, by name, each with its deployments and the states of its newest jobs."""
    found = Documents(caller.actor).endpoints(allowed=caller.readable, contains=contains, limit=limit, offset=offset)
    return found.model_copy(update={"items": [_as_seen(request, caller, endpoint) for endpoint in found.items]})


@router.get("/{endpoint}")
def get_endpoint(caller: MayReadEndpoint, request: Request, response: Response, endpoint: EndpointName) -> Endpoint:
    """Return an endpoint, with its deployments and the states of its newest jobs."""
    return _as_seen(request, caller, tagged(response, Documents(caller.actor).endpoint(endpoint)))


@router.put(
    "/{endpoint}",
    responses={201: {"model": Endpoint, "description": "Created"}},
    openapi_extra=examples.document_body(examples.ENDPOINT),
)
def put_endpoint(
    caller: MayEditDocument,
    request: Request,
    response: Response,
    endpoint: EndpointName,
    expected: ExpectedDep,
    body: Body,
) -> Endpoint:
    """Create or update an endpoint. A document that says nothing of the default deployment leaves it as it is."""
    document = validate(EndpointDocument, named(body, name=endpoint), "body")
    require_name(document.name, endpoint, "name")
    documents = Documents(caller.actor)
    applied = documents.put(document, expected=expected)
    return _as_seen(request, caller, tagged(response, documents.endpoint(endpoint), applied))


@router.delete("/{endpoint}", status_code=204)
def delete_endpoint(caller: MayDeleteDocument, endpoint: EndpointName, expected: ExpectedDep) -> None:
    """Delete an endpoint with its deployments. Its jobs and their outputs stay. Refused while jobs of it are running."""
    Documents(caller.actor).delete_endpoint(endpoint, expected=expected)


@router.put("/{endpoint}/default")
def set_default(
    caller: MayEditDocument,
    request: Request,
    response: Response,
    endpoint: EndpointName,
    expected: ExpectedDep,
    body: DefaultDeployment,
) -> Endpoint:
    """Choose the deployment that invocations get which name none. Running jobs are not touched."""
    documents = Documents(caller.actor)
    documents.set_default(endpoint, body.deployment, expected=expected)
    return _as_seen(request, caller, tagged(response, documents.endpoint(endpoint)))


@router.get("/{endpoint}/statistics")
def get_statistics(
    caller: MayReadJobs,
    endpoint: EndpointName,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="How many days back.")] = 30,
) -> Statistics:
    """Return what the endpoint's jobs came to, day by day: how they ended, items and rows."""
    return statistics_of([endpoint], days=days)[endpoint]


def _as_seen(request: Request, caller: Caller, endpoint: Endpoint) -> Endpoint:
    """Return an endpoint with the address that invocations go to, as the caller reaches it, and no jobs that they may not read."""
    facts: dict[str, Any] = {"scoring_uri": f"{base_url(request)}/v1/endpoints/{endpoint.name}/jobs"}
    if endpoint.recent_jobs and not caller.may_read_jobs(endpoint.name):
        facts["recent_jobs"] = []
    return endpoint.model_copy(update=facts)


def base_url(request: Request) -> str:
    """Return the address of this application."""
    from airflow_batch_endpoints.api.app import PREFIX

    return server_url(request) + PREFIX


def named(body: Any, **names: str) -> Any:
    """Return a document with the names of its path, where it leaves them out."""
    return {**names, **body} if isinstance(body, dict) else body


def require_name(found: str, wanted: str, field: str) -> None:
    """Refuse a document that is of another name than its path. :raises DocumentError: when it is."""
    from airflow_batch_endpoints.exceptions import DocumentError, Problem

    if found != wanted:
        raise DocumentError([Problem("body", field, f"found {found!r}, expected {wanted!r}, the name in the path")])
