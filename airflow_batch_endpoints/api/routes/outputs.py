"""What jobs leave: files, previews, dead letters, logs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from airflow_batch_endpoints.api.auth import MayReadJobs, MayReadLogs
from airflow_batch_endpoints.api.requests import EndpointName, JobName, Limit, Offset
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.logs import read_logs
from airflow_batch_endpoints.services.outputs import JobOutputs
from airflow_batch_endpoints.services.resources import DeadLetters, Outputs, Preview

router = APIRouter(prefix="/v1/endpoints/{endpoint}/jobs/{job}", tags=["Outputs"])
_BINARY: dict[int | str, dict[str, Any]] = {
    200: {"description": "The content", "content": {"application/octet-stream": {}}}
}
_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "The lines", "content": {"text/plain": {}}}}


@router.get("/outputs")
def get_outputs(caller: MayReadJobs, endpoint: EndpointName, job: JobName) -> Outputs:
    """Return what a job published: its files and its manifest."""
    return JobOutputs(Jobs(caller.actor), endpoint, job).describe()


@router.get("/outputs/{name:path}", responses=_BINARY, response_class=StreamingResponse)
def download_output(
    caller: MayReadJobs,
    endpoint: EndpointName,
    job: JobName,
    name: Annotated[str, Path(max_length=1000, description="Name of a file that `outputs` lists.")],
) -> StreamingResponse:
    """Return a file that a job published."""
    pieces = JobOutputs(Jobs(caller.actor), endpoint, job).open(name)
    file_name = quote(PurePosixPath(name).name, safe="")
    headers = {
        # Never shown by a browser: a script may have written HTML.
        "Content-Disposition": f"attachment; filename*=UTF-8''{file_name}",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


@router.get("/preview")
def get_preview(
    caller: MayReadJobs,
    endpoint: EndpointName,
    job: JobName,
    rows: Annotated[int, Query(ge=1, le=200, description="How many rows at most.")] = 20,
) -> Preview:
    """Return the first rows of a job's predictions."""
    return JobOutputs(Jobs(caller.actor), endpoint, job).preview(rows=rows)


@router.get("/dead-letters")
def get_dead_letters(
    caller: MayReadJobs, endpoint: EndpointName, job: JobName, limit: Limit = 50, offset: Offset = 0
) -> DeadLetters:
    """Return the items that failed for good, grouped by how they failed; also while the job runs."""
    return JobOutputs(Jobs(caller.actor), endpoint, job).dead_letters(limit=limit, offset=offset)


@router.get("/logs", responses=_TEXT, response_class=StreamingResponse)
def get_logs(
    caller: MayReadLogs,
    endpoint: EndpointName,
    job: JobName,
    task: Annotated[str | None, Query(pattern="^(plan|score|publish)$", description="Only of this task.")] = None,
    instance: Annotated[int | None, Query(ge=0, le=10_000, description="Only of this instance of `score`.")] = None,
    try_number: Annotated[int | None, Query(ge=1, le=1000, description="Of this try; the last without it.")] = None,
) -> StreamingResponse:
    """Return the logs of a job's tasks as text."""
    Jobs(caller.actor).find(endpoint, job)
    lines = read_logs(endpoint, job, task=task, instance=instance, try_number=try_number)
    return StreamingResponse(
        (line.encode(errors="replace") for line in lines), media_type="text/plain; charset=utf-8",
        headers={"X-Content-Type-Options": "nosniff"},
    )  # fmt: skip
