"""Jobs: the scoring service, the resource manager and the history of runs, which Azure ML's clients ask in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi import APIRouter, Query, Request, Response

from airflow_batch_endpoints.api.auth import LoggedIn, MayInvoke, MayReadJobs
from airflow_batch_endpoints.api.requests import Body, DeploymentName, EndpointName, server_url
from airflow_batch_endpoints.api.routes.jobs import DeploymentHeader, RequestId
from airflow_batch_endpoints.azure.datastores import resolve
from airflow_batch_endpoints.azure.ids import WORKSPACE, Workspace
from airflow_batch_endpoints.azure.jobs import batch_job, job_resource, run, run_details
from airflow_batch_endpoints.azure.links import Log, sign
from airflow_batch_endpoints.azure.requests import (
    PAGE,
    JobToEdit,
    JobToRead,
    Skip,
    Target,
    WorkspaceDep,
    base_url,
    paged,
)
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.documents.invocation import read_invocation
from airflow_batch_endpoints.jobs.states import BEGUN
from airflow_batch_endpoints.runs.table import JobFilter
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.resources import Job, JobDetails
from airflow_batch_endpoints.ui.pages import PREFIX as PAGES

router = APIRouter()
_SCORING = "/mferp/managementfrontend" + WORKSPACE
_HISTORY = "/history/v1.0" + WORKSPACE
_LOGS = {"plan": "a_plan", "score": "b_score", "publish": "c_publish"}
"""What the logs of tasks are called. Clients stream names without digits, in this order, and look again only at the last of
them: of the instances of ``score`` it can be but one, the first."""


@router.post(WORKSPACE + "/batchEndpoints/{endpoint}/jobs", status_code=201)
def invoke(
    caller: MayInvoke,
    response: Response,
    workspace: WorkspaceDep,
    endpoint: EndpointName,
    body: Body,
    deployment: DeploymentHeader = None,
    request_id: RequestId = None,
) -> dict[str, Any]:
    """Start a job: the scoring URI."""
    asked = read_invocation(body)
    conf = resolve(asked.conf, asked.places, settings().azure_datastores)
    job, is_new = Jobs(caller.actor).invoke(
        endpoint, {**conf, "deployment": deployment}, name=asked.name, request_id=request_id, places=asked.places
    )
    response.status_code = 201 if is_new else 200
    return batch_job(job, workspace)


@router.get(_SCORING + "/batchEndpoints/{endpoint}/jobs")
def list_endpoint_jobs(
    caller: MayReadJobs, request: Request, workspace: WorkspaceDep, endpoint: EndpointName, skip: Skip = 0
) -> dict[str, Any]:
    """List the jobs of an endpoint, newest first."""
    found = Jobs(caller.actor).list(JobFilter(endpoints=[endpoint]), limit=PAGE, offset=skip)
    return paged(request, found, [batch_job(job, workspace) for job in found.items])


@router.get(_SCORING + "/batchEndpoints/{endpoint}/deployments/{deployment}/jobs")
def list_deployment_jobs(
    caller: MayReadJobs,
    request: Request,
    workspace: WorkspaceDep,
    endpoint: EndpointName,
    deployment: DeploymentName,
    skip: Skip = 0,
) -> dict[str, Any]:
    """List the jobs of a deployment, newest first."""
    wanted = JobFilter(endpoints=[endpoint], deployment=deployment)
    found = Jobs(caller.actor).list(wanted, limit=PAGE, offset=skip)
    return paged(request, found, [batch_job(job, workspace) for job in found.items])


@router.get(WORKSPACE + "/jobs")
def list_jobs(
    caller: LoggedIn,
    request: Request,
    workspace: WorkspaceDep,
    view: Annotated[str, Query(alias="listViewType", max_length=50)] = "ActiveOnly",
    skip: Skip = 0,
) -> dict[str, Any]:
    """List the jobs that the caller may see, newest first. None is archived."""
    jobs = Jobs(caller.actor)
    readable = caller.with_readable_jobs(jobs.endpoints()) if view.lower() != "archivedonly" else set()
    found = jobs.list(JobFilter(endpoints=readable), limit=PAGE, offset=skip)
    return paged(request, found, [_resource(request, workspace, job) for job in found.items])


@router.get(WORKSPACE + "/jobs/{job_name}")
def get_job(target: JobToRead, request: Request, workspace: WorkspaceDep) -> dict[str, Any]:
    """Return a job."""
    return _resource(request, workspace, _details(target))


@router.post(WORKSPACE + "/jobs/{job_name}/cancel", status_code=200)
def cancel_job(target: JobToEdit, workspace: WorkspaceDep) -> dict[str, Any]:
    """Cancel a job; when it is answered, that is done."""
    return batch_job(Jobs(target.caller.actor).cancel(target.endpoint, target.job), workspace)


@router.get(_HISTORY + "/runs/{job_name}")
def get_run(target: JobToRead, workspace: WorkspaceDep) -> dict[str, Any]:
    """Return a job as a run."""
    return run(_details(target))


@router.get(_HISTORY + "/runs/{job_name}/details")
def get_run_details(target: JobToRead, request: Request, workspace: WorkspaceDep) -> dict[str, Any]:
    """Return a run with links to its logs, if the caller may read them."""
    job = _details(target)
    may_read = target.caller.may_dag("GET", target.endpoint, DagAccessEntity.TASK_LOGS)
    return run_details(job, dict(_logs(request, job)) if may_read else {})


def _details(target: Target) -> JobDetails:
    return Jobs(target.caller.actor).find(target.endpoint, target.job)


def _logs(request: Request, job: JobDetails) -> Iterator[tuple[str, str]]:
    """Yield names and links of the logs there are."""
    for task, name in _LOGS.items():
        if BEGUN.intersection(job.tasks.get(task, ())):
            log = Log(job.endpoint, job.name, task, instance=0 if task == "score" else None)
            yield f"user_logs/std_log_{name}.txt", f"{base_url(request)}/logs/{sign(log)}"


def _resource(request: Request, workspace: Workspace, job: Job) -> dict[str, Any]:
    from airflow_batch_endpoints.api.app import PREFIX

    page = f"{server_url(request)}{PREFIX}{PAGES}/endpoints/{job.endpoint}/jobs/{quote(job.name, safe='')}"
    return job_resource(job, workspace, page)
