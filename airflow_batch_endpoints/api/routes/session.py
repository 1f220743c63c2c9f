"""What a client asks before it offers something: who the caller is, and what they may do."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi import APIRouter, Query

from airflow_batch_endpoints.api.auth import NAME_PATTERN, Caller, LoggedIn
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.registry.keys import ENDPOINT
from airflow_batch_endpoints.services.resources import EndpointRights, Session, Statistics
from airflow_batch_endpoints.services.statistics import MAX_DAYS, statistics_of

router = APIRouter(prefix="/v1", tags=["Session"])
_Name = Annotated[str, Query(pattern=NAME_PATTERN, max_length=32)]


@router.get("/session")
def get_session(
    caller: LoggedIn,
    endpoint: Annotated[
        str | None, Query(pattern=NAME_PATTERN, max_length=32, description="Tell the rights to this endpoint, too.")
    ] = None,
) -> Session:
    """Return who the caller is and what they may do, so that a client offers nothing that would be refused."""
    return Session(
        user=caller.actor.name,
        may_read_computes=caller.may_computes("GET"),
        may_edit_computes=caller.may_computes("PUT"),
        mlflow_uri=settings().public_mlflow_tracking_uri,
        endpoint=None if endpoint is None else _rights(caller, endpoint),
    )


def _rights(caller: Caller, endpoint: str) -> EndpointRights:
    key = f"{ENDPOINT}{endpoint}"
    return EndpointRights(
        may_read=caller.may_dag("GET", endpoint),
        may_read_jobs=caller.may_read_jobs(endpoint),
        may_invoke=caller.may_dag("POST", endpoint, DagAccessEntity.RUN),
        may_cancel=caller.may_dag("PUT", endpoint, DagAccessEntity.RUN),
        may_read_documents=caller.may_document("GET", key),
        may_edit_documents=caller.may_document("PUT", key),
    )


@router.get("/statistics")
def get_statistics(
    caller: LoggedIn,
    endpoint: Annotated[list[_Name], Query(max_length=200, description="Of these endpoints.")],
    days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="How many days back.")] = 30,
) -> dict[str, Statistics]:
    """Return what the jobs of several endpoints came to, day by day; of those whose jobs the caller may read."""
    return statistics_of(caller.with_readable_jobs(set(endpoint)), days=days)
