"""Jobs: the scoring URI of an endpoint and what follows an invocation."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, computed_field

from airflow_batch_endpoints.api import examples
from airflow_batch_endpoints.api.auth import (
    NAME_PATTERN,
    LoggedIn,
    MayEditJobs,
    MayInvoke,
    MayReadDocument,
    MayReadJobs,
)
from airflow_batch_endpoints.api.requests import Body, EndpointName, JobName, Limit, Offset
from airflow_batch_endpoints.api.routes.endpoints import base_url
from airflow_batch_endpoints.documents.invocation import read_invocation
from airflow_batch_endpoints.jobs.states import JobState
from airflow_batch_endpoints.runs.table import JobFilter
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.progress import read_progress
from airflow_batch_endpoints.services.resources import DryRun, Job, JobDetails, JobDocuments, Page, Progress

router = APIRouter(prefix="/v1", tags=["Jobs"])


class _AzureForm(Job):
    """What Azure ML's clients look for in a job."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        """Its last segment is the name."""
        return f"/endpoints/{self.endpoint}/jobs/{self.name}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def type(self) -> str:
        """Always ``batchJob``."""
        return "batchJob"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def properties(self) -> dict[str, str]:
        """The state once more, where Azure ML has it."""
        return {"status": self.state}


class JobResource(_AzureForm):
    """A job."""


class JobDetailsResource(JobDetails, _AzureForm):
    """A job with what each of its instances does."""


DeploymentHeader = Annotated[
    str | None,
    Header(
        alias="azureml-model-deployment",
        pattern=NAME_PATTERN,
        max_length=32,
        description="Name of the deployment; the endpoint's default without it.",
    ),
]
RequestId = Annotated[
    str | None,
    Header(
        alias="repeatability_request-id",
        convert_underscores=False,
        min_length=1,
        max_length=200,
        description="What a client repeats when it tries again: the same id is the same job, with another body it is a conflict.",
    ),
]
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


def _as_written(value: Any) -> Any:
    """Refuse a number, which would be taken for seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        raise ValueError("expected a date and a time such as 2024-01-31T00:00:00Z")
    return value


def _within_calendar(moment: datetime) -> datetime:
    """Return a moment that every database and time zone can hold; no job was created before or after."""
    return min(max(moment, _EARLIEST), _LATEST)


_Moment = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_within_calendar)]
_NAME = r"^[^\x00]*$"


@router.post(
    "/endpoints/{endpoint}/jobs",
    status_code=201,
    responses={
        200: {"model": JobResource, "description": "This request has started its job before"},
        201: {"content": {"application/json": {"example": examples.JOB}}},
    },
    openapi_extra=examples.INVOCATION_BODY,
)
def invoke(
    caller: MayInvoke,
    request: Request,
    response: Response,
    endpoint: EndpointName,
    body: Body,
    deployment: DeploymentHeader = None,
    request_id: RequestId = None,
) -> JobResource:
    """Start a job. This is the scoring URI of the endpoint. The job's invoker is the caller."""
    asked = read_invocation(body)
    job, is_new = Jobs(caller.actor).invoke(
        endpoint,
        {**asked.conf, "deployment": deployment},
        name=asked.name,
        request_id=request_id,
        places=asked.places,
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"{base_url(request)}/v1/endpoints/{endpoint}/jobs/{job.name}"
    return JobResource(**job.model_dump())


@router.post("/endpoints/{endpoint}/dry-run", openapi_extra=examples.INVOCATION_BODY)
def dry_run(caller: MayInvoke, endpoint: EndpointName, body: Body, deployment: DeploymentHeader = None) -> DryRun:
    """Return the job that an invocation with this body would pin, and the pods it would start. Starts nothing."""
    asked = read_invocation(body)
    conf: dict[str, Any] = {**asked.conf, "deployment": deployment}
    return Jobs(caller.actor).dry_run(endpoint, conf, name=asked.name, places=asked.places)


@router.get("/jobs")
def list_jobs(
    caller: LoggedIn,
    endpoint: Annotated[list[str] | None, Query(max_length=200, description="Of these endpoints.")] = None,
    deployment: Annotated[str | None, Query(pattern=_NAME, max_length=250, description="Of this deployment.")] = None,
    invoker: Annotated[str | None, Query(pattern=_NAME, max_length=512, description="Invoked by this user.")] = None,
    state: Annotated[list[JobState] | None, Query(description="In one of these states.")] = None,
    created_from: Annotated[_Moment | None, Query(description="Created then or later.")] = None,
    created_before: Annotated[_Moment | None, Query(description="Created before.")] = None,
    limit: Limit = 25,
    offset: Offset = 0,
) -> Page[JobResource]:
    """List jobs of all endpoints whose jobs the caller may read, newest first, also of deleted endpoints."""
    wanted = JobFilter(
        endpoints=endpoint,
        deployment=deployment,
        invoker=invoker,
        states=state,
        created_from=created_from,
        created_before=created_before,
    )
    return _page(Jobs(caller.actor).list(wanted, allowed=caller.with_readable_jobs, limit=limit, offset=offset))


@router.get("/endpoints/{endpoint}/jobs")
def list_endpoint_jobs(
    caller: MayReadJobs,
    endpoint: EndpointName,
    deployment: Annotated[str | None, Query(pattern=_NAME, max_length=250, description="Of this deployment.")] = None,
    invoker: Annotated[str | None, Query(pattern=_NAME, max_length=512, description="Invoked by this user.")] = None,
    state: Annotated[list[JobState] | None, Query(description="In one of these states.")] = None,
    created_from: Annotated[_Moment | None, Query(description="Created then or later.")] = None,
    created_before: Annotated[_Moment | None, Query(description="Created before.")] = None,
    limit: Limit = 25,
    offset: Offset = 0,
) -> Page[JobResource]:
    """List the jobs of an endpoint, newest first."""
    wanted = JobFilter(
        endpoints=[endpoint],
        deployment=deployment,
        invoker=invoker,
        states=state,
        created_from=created_from,
        created_before=created_before,
    )
    return _page(Jobs(caller.actor).list(wanted, limit=limit, offset=offset))


@router.get("/endpoints/{endpoint}/jobs/{job}")
def get_job(caller: MayReadJobs, endpoint: EndpointName, job: JobName) -> JobDetailsResource:
    """Return a job: its state, how far it is, what each of its instances does, and why it failed."""
    return JobDetailsResource(**Jobs(caller.actor).find(endpoint, job).model_dump())


@router.get("/endpoints/{endpoint}/jobs/{job}/progress")
def get_job_progress(caller: MayReadJobs, endpoint: EndpointName, job: JobName) -> Progress:
    """Return how far a job is and what its instances hold: from its directory in storage, or else from its run."""
    return read_progress(Jobs(caller.actor), endpoint, job)


@router.post("/endpoints/{endpoint}/jobs/{job}/cancel")
def cancel_job(caller: MayEditJobs, endpoint: EndpointName, job: JobName) -> JobResource:
    """Cancel a job: its workers are stopped, and its state becomes Canceled."""
    return JobResource(**Jobs(caller.actor).cancel(endpoint, job).model_dump())


@router.get("/endpoints/{endpoint}/jobs/{job}/documents")
def get_job_documents(
    caller: MayReadJobs, reader: MayReadDocument, endpoint: EndpointName, job: JobName
) -> JobDocuments:
    """Return what a job ran: its deployment as it was then, its compute as it was pinned, and its request."""
    return Jobs(caller.actor).documents(endpoint, job)


def _page(found: Page[Job]) -> Page[JobResource]:
    items = [JobResource(**job.model_dump()) for job in found.items]
    return Page(items=items, total=found.total, limit=found.limit, offset=found.offset)
