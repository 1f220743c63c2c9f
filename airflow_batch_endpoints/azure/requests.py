"""What requests of Azure ML's clients bring: the workspace they name, the job they mean, the page they want."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi import Depends, Path, Query, Request

from airflow_batch_endpoints.api.auth import JOB_PATTERN, Caller, LoggedIn, refuse
from airflow_batch_endpoints.api.requests import server_url
from airflow_batch_endpoints.azure.ids import SEPARATOR, Workspace, job_id
from airflow_batch_endpoints.exceptions import ConflictError, NotFoundError
from airflow_batch_endpoints.runs.table import JobFilter
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.resources import Page

PREFIX = "/batch-endpoints/azure"
"""Where Airflow mounts the application."""
PAGE = 100
"""How many resources one answer lists."""
_Segment = Annotated[str, Path(pattern=r"^[A-Za-z0-9_(][A-Za-z0-9_.() -]{0,89}$")]
Skip = Annotated[int, Query(alias="$skip", ge=0, le=10**9)]


def base_url(request: Request) -> str:
    """Return the address of the application."""
    return server_url(request) + PREFIX


def _workspace(subscription: _Segment, group: _Segment, workspace: _Segment) -> Workspace:
    return Workspace(subscription, group, workspace)


WorkspaceDep = Annotated[Workspace, Depends(_workspace)]


@dataclass(frozen=True)
class Target:
    """A job, and who asks for it."""

    caller: Caller
    endpoint: str
    job: str


class Job:
    """The dependency of routes of one job, whose endpoint their path does not name: finds it, and asks for the right to it.

    :param method: what is done to it.
    :param what: how a refusal calls that.
    """

    def __init__(self, method: Any, what: str) -> None:
        self._method = method
        self._what = what

    def __call__(
        self, request: Request, caller: LoggedIn, job_name: Annotated[str, Path(pattern=JOB_PATTERN)]
    ) -> Target:
        """Return the job.

        :raises NotFoundError: there is none of that name that the caller may see.
        :raises ConflictError: several endpoints have one.
        :raises ForbiddenError: they have no right to this.
        """
        endpoint, job = _find(caller, job_name)
        if not caller.may_dag(self._method, endpoint, DagAccessEntity.RUN):
            refuse(request, caller.actor, self._what, endpoint=endpoint, job=job)
        return Target(caller, endpoint, job)


JobToRead = Annotated[Target, Depends(Job("GET", "read jobs of this endpoint"))]
JobToEdit = Annotated[Target, Depends(Job("PUT", "change jobs of this endpoint"))]


def _find(caller: Caller, name: str) -> tuple[str, str]:
    """Return the endpoint and the name of a job.

    :param name: its id in a workspace, or its own name if only one endpoint has a job of that name.
    """
    jobs = Jobs(caller.actor)
    endpoint, _, job = name.partition(SEPARATOR)
    if caller.with_readable_jobs({endpoint}) and jobs.list(JobFilter(endpoints=[endpoint], name=job), limit=1).total:
        return endpoint, job
    readable = caller.with_readable_jobs(jobs.endpoints())
    found = jobs.list(JobFilter(endpoints=readable, name=name), limit=PAGE)
    if found.total > 1:
        known = ", ".join(job_id(entry.endpoint, entry.name) for entry in found.items)
        raise ConflictError(f"several endpoints have a job {name!r}; say which: {known}")
    if not found.items:
        raise NotFoundError(
            f"there is no job {name!r} that you may see; expected <endpoint>{SEPARATOR}<name>, as invoking answered"
        )
    return found.items[0].endpoint, found.items[0].name


def paged(request: Request, found: Page[Any], resources: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a list with the address of its next page, if there is one."""
    answer: dict[str, Any] = {"value": resources}
    end = found.offset + len(found.items)
    if found.items and end < found.total:
        query = {name: value for name, value in request.query_params.items() if name != "$skip"}
        path = request.url.path.partition(PREFIX)[2]
        answer["nextLink"] = f"{base_url(request)}{path}?{urlencode({**query, '$skip': end}, safe='$')}"
    return answer
