"""Jobs: invoking, finding, listing, following and canceling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy.orm import Session

from airflow_batch_endpoints.computes.kubernetes import pod
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.database.session import begin_write, open_session
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.references import is_reference
from airflow_batch_endpoints.exceptions import (
    ConflictError,
    DocumentError,
    InputError,
    NotFoundError,
    Problem,
    UserError,
)
from airflow_batch_endpoints.jobs import naming, tasks
from airflow_batch_endpoints.jobs.command_line import Command
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.jobs.spec import JobReference
from airflow_batch_endpoints.jobs.states import TERMINAL
from airflow_batch_endpoints.registry import revisions
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.runs import control, table
from airflow_batch_endpoints.runs.table import JobFilter
from airflow_batch_endpoints.services.actor import Actor, audit
from airflow_batch_endpoints.services.documents import Documents, key_of
from airflow_batch_endpoints.services.job_details import details_of, job_of, said_in
from airflow_batch_endpoints.services.resources import (
    DryRun,
    Job,
    JobDetails,
    JobDocuments,
    Page,
    StoredDocument,
)
from airflow_batch_endpoints.storage.reach import check_reach
from airflow_batch_endpoints.storage.uris import normalise

_TRIGGERED_BY = {"cli": DagRunTriggeredByType.CLI, "rest": DagRunTriggeredByType.REST_API}


class Jobs:
    """What can be done with jobs.

    :param actor: who asks. Whether they may is decided before. A job's invoker is always the actor.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._registry = Documents(actor).registry

    # -- invoking ----------------------------------------------------------------------------------------------------

    def invoke(
        self,
        endpoint: str,
        conf: Mapping[str, Any],
        *,
        name: str | None = None,
        request_id: str | None = None,
        places: Mapping[str, str] | None = None,
    ) -> tuple[Job, bool]:
        """Start a job, once: what identifies the request is the job's name, or else its request id.

        :param conf: parameters of the run.
        :param name: name of the job.
        :param request_id: what a client that tries again repeats.
        :param places: how the client calls each parameter, for messages.
        :return: the job, and whether it was started now.
        :raises ConflictError: the same name or request id came with another request.
        """
        conf = _normalised(conf, places or {})
        name = naming.check_job_name(name) if name else self._name_for(endpoint, request_id)
        with open_session() as session:
            is_known = control.find_run(session, endpoint, name) is not None
        if not is_known:
            # The task resolves it again; here it is so that mistakes are told before anything is started.
            self._resolve(endpoint, conf, name, places or {})
        with open_session() as session:
            begin_write(session)
            is_new = control.start(
                session,
                endpoint,
                conf,
                job=name,
                user=self._actor.name,
                triggered_by=_TRIGGERED_BY[self._actor.channel],
            )
            if is_new:
                audit(session, self._actor, "job.invoke", dag=naming.dag_id(endpoint), run=name, conf=conf)
            row = self._row(session, endpoint, name)
            return job_of(row), is_new

    def dry_run(
        self,
        endpoint: str,
        conf: Mapping[str, Any],
        *,
        name: str | None = None,
        places: Mapping[str, str] | None = None,
    ) -> DryRun:
        """Return the job that an invocation would start, and its pods. Starts nothing."""
        conf = _normalised(conf, places or {})
        name = naming.check_job_name(name) if name else naming.new_job_name()
        spec = self._resolve(endpoint, conf, name, places or {})
        return DryRun(job=spec.model_dump(mode="json", exclude_none=True), pods=_pods(spec))

    @staticmethod
    def _name_for(endpoint: str, request_id: str | None) -> str:
        if request_id is None:
            return naming.new_job_name()
        return f"request-{hashlib.sha256(f'{endpoint}/{request_id}'.encode()).hexdigest()[:32]}"

    def _resolve(self, endpoint: str, conf: dict[str, Any], name: str, places: Mapping[str, str]) -> JobReference:
        try:
            request = request_from_conf(endpoint, conf)
            if request.replay_of is not None:
                self._check_replay(endpoint, request.replay_of)
            return resolve(
                self._registry,
                request,
                job=name,
                invoker=self._actor.name,
                settings=settings(),
                find_job=lambda other: self._reference(endpoint, other),
            )
        except DocumentError as error:
            raise DocumentError([_placed(problem, places) for problem in error.problems]) from None
        except UserError as error:
            raise type(error)(_told(str(error), places)) from None

    def _check_replay(self, endpoint: str, job: str) -> None:
        """Refuse to replay a job that has nothing to replay."""
        found = self.find(endpoint, job)
        if found.state != "Completed":
            raise ConflictError(
                f"job {job!r} is {found.state}; only a completed job has dead letters to replay. A failed one is resumed by "
                "clearing its run"
            )
        if not found.counts.failed:
            raise InputError(
                f"job {job!r} has no dead letters: all of its items succeeded, so there is nothing to replay"
            )

    def _reference(self, endpoint: str, job: str) -> JobReference | None:
        """Return what another job was resolved to; ``None`` when it was never planned."""
        with open_session() as session:
            pinned = _planned(session, self._row(session, endpoint, job))
        return None if pinned is None else JobReference.model_validate(pinned)

    # -- looking -----------------------------------------------------------------------------------------------------

    def find(self, endpoint: str, job: str) -> JobDetails:
        """Return a job with what its instances do. :raises NotFoundError: when there is none."""
        with open_session() as session:
            row = self._row(session, endpoint, job)
            return details_of(session, row)

    def list(
        self,
        wanted: JobFilter,
        *,
        allowed: Callable[[set[str]], Collection[str]] | None = None,
        limit: int = 25,
        offset: int = 0,
    ) -> Page[Job]:
        """Return a page of jobs, newest first, also of endpoints that are deleted.

        :param allowed: which of some endpoints the caller may read; all by default.
        """
        with open_session() as session:
            table.refresh(session)
            known = table.endpoints(session) if allowed is not None else set()
        if allowed is not None:
            readable = set(allowed(known))
            # Nothing is asked for by name that is all there is.
            if wanted.endpoints is not None or readable != known:
                asked = known if wanted.endpoints is None else set(wanted.endpoints)
                wanted = replace(wanted, endpoints=readable & asked)
        with open_session() as session:
            rows, total = table.page(session, wanted, limit=limit, offset=offset)
            return Page(items=[job_of(row) for row in rows], total=total, limit=limit, offset=offset)

    def endpoints(self) -> set[str]:
        """Return the endpoints that have jobs, also those that are deleted."""
        with open_session() as session:
            table.refresh(session)
            return table.endpoints(session)

    def documents(self, endpoint: str, job: str) -> JobDocuments:
        """Return what a job ran: its deployment at the revision it pinned, its compute as it was, and its request."""
        with open_session() as session:
            row = self._row(session, endpoint, job)
            pinned = _planned(session, row)
            deployment = None
            if row.deployment and row.deployment_revision:
                found = revisions.find(session, key_of("deployment", row.deployment, endpoint), row.deployment_revision)
                deployment = StoredDocument(
                    kind="deployment",
                    name=row.deployment,
                    endpoint=endpoint,
                    revision=row.deployment_revision,
                    document=None if found is None or found.document is None else json.loads(found.document),
                    updated_at=None if found is None else found.changed_at.isoformat(timespec="seconds"),
                    updated_by=None if found is None else found.changed_by,
                    error="this revision was not kept" if found is None else None,
                )
            launch = pinned.get("launch") if isinstance(pinned, dict) else None
            return JobDocuments(
                deployment=deployment, launch=launch if isinstance(launch, dict) else {}, request=row.request
            )

    @staticmethod
    def _row(session: Session, endpoint: str, job: str) -> JobRow:
        row = table.find(session, endpoint, job)
        if row is None:
            raise NotFoundError(f"there is no job {job!r} of endpoint {endpoint!r}; list the jobs of the endpoint")
        return row

    # -- ending ------------------------------------------------------------------------------------------------------

    def cancel(self, endpoint: str, job: str) -> Job:
        """Cancel a job. :raises ConflictError: it has ended already."""
        with open_session() as session:
            begin_write(session)
            row = self._row(session, endpoint, job)
            if row.state in TERMINAL:
                raise ConflictError(f"job {job!r} has ended already: {row.state}")
            control.cancel(session, endpoint, job, user=self._actor.name)
            audit(session, self._actor, "job.cancel", dag=naming.dag_id(endpoint), run=job)
        with open_session() as session:
            return job_of(self._row(session, endpoint, job))

    def sync(self) -> int:
        """Project every run that is left again. Deletes nothing: jobs outlive their runs.

        :return: how many runs were looked at.
        """
        looked_at, last = 0, 0
        while True:
            with open_session() as session:
                last, count = table.sync(session, after=last)
            if not count:
                return looked_at
            looked_at += count


def _normalised(conf: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters with their URIs in the one way to write them, within what jobs may reach."""
    conf = {name: value for name, value in conf.items() if value is not None}
    options = settings()
    allowed = {"input": options.allowed_input_uris, "output": options.allowed_output_uris}

    def uri(kind: str, text: str, place: str) -> str:
        # What a reference stands for is decided where the job is resolved, and so is whether it may go there.
        if is_reference(text) or text.startswith(("models:", "runs:")):
            return text
        place = places.get(place, place)
        found = normalise(text, what=place)
        check_reach(found, allowed[kind], what=place, option=f"allowed_{kind}_uris")
        return found

    for kind in allowed:
        if conf.get(kind):
            conf[kind] = uri(kind, str(conf[kind]), kind)
        named = conf.get(f"{kind}s")
        if isinstance(named, dict):
            conf[f"{kind}s"] = {
                name: {**entry, "path": uri(kind, entry["path"], f"{kind}s.{name}.path")}
                if isinstance(entry, dict) and isinstance(entry.get("path"), str)
                else entry
                for name, entry in named.items()
            }
    return conf


def _told(message: str, places: Mapping[str, str]) -> str:
    """Return a message that begins with a parameter's name with the name that its author knows."""
    for name in sorted(places, key=len, reverse=True):
        if message.startswith((f"{name}:", f"{name} ")):
            return f"{places[name]}{message[len(name) :]}"
    return message


def _placed(problem: Problem, places: Mapping[str, str]) -> Problem:
    """Return a problem under the name that its author knows."""
    field = problem.field
    is_named = field.startswith(("inputs.", "outputs."))
    names = (
        [field, field.rpartition(".")[0], field.partition(".")[0]] if is_named else [field, field.rpartition(".")[2]]
    )
    for name in names:
        if name in places:
            return Problem(problem.source, places[name], problem.message)
    return problem


def _planned(session: Session, row: JobRow) -> Any:
    """Return what a job was resolved to, as far as its tasks know; ``None`` when it was never planned."""
    return said_in(session, row, ["job"], tasks.PLAN).get((tasks.PLAN, "job"), {}).get(-1)


def _pods(spec: JobReference) -> list[dict[str, Any]]:
    """Return the pods of a job; of instances that share work, the first."""
    commands: list[tuple[Command, str | None]] = [("plan", None)]
    if spec.type == "model":
        commands.append(("score", None))
    for step in spec.graph if isinstance(spec, PipelineSpec) else ():
        of_step: tuple[Command, ...] = ("plan", "score", "publish") if step.mini_batches is not None else ("step",)
        commands += [(command, step.name) for command in of_step]
    commands.append(("publish", None))
    found = []
    for command, name in commands if spec.type != "dag" else ():
        launch = spec.launch if name is None else spec.steps[name]
        if launch.compute.type == "kubernetes":
            job = JobReference.model_validate(
                {**{field: getattr(spec, field) for field in JobReference.model_fields}, "launch": launch, "steps": {}}
            )
            found.append(pod.build(job, command, submission="0", instance=0 if command == "score" else None, step=name))
    return found
