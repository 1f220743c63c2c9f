"""The routes that answer without a token, as Azure ML's clients ask: constants, and logs by signed links."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse

from airflow_batch_endpoints.api.requests import server_url
from airflow_batch_endpoints.azure.links import verify
from airflow_batch_endpoints.azure.requests import base_url
from airflow_batch_endpoints.services.logs import read_tries

router = APIRouter()
CLOUD = "AirflowBatchEndpoints"


@router.get("/metadata/endpoints")
def list_clouds(request: Request) -> list[dict[str, Any]]:
    """Return what a client must know of this cloud; it finds it by ``ARM_CLOUD_METADATA_URL``."""
    server = server_url(request)
    return [
        {
            "name": CLOUD,
            "portal": f"{server}/",
            "resourceManager": f"{base_url(request)}/",
            "authentication": {"loginEndpoint": f"{server}/auth"},
            "suffixes": {"storage": "storage.invalid"},
        }
    ]


@router.get("/discovery")
def discover(request: Request) -> dict[str, str]:
    """Return where the services of a workspace are."""
    return {"api": base_url(request)}


@router.get("/logs/{link}")
def get_log(link: Annotated[str, Path(max_length=2000)]) -> StreamingResponse:
    """Return a log whole: clients remember how much of it they have shown."""
    log = verify(link)
    lines = read_tries(log.endpoint, log.job, log.task, instance=log.instance)
    return StreamingResponse(
        (line.encode(errors="replace") for line in lines),
        media_type="text/plain; charset=utf-8",
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"},
    )
