"""Jobs as the metadata database shows them: starting, finding, following and ending runs of endpoint DAGs.

For processes that may use the database: the CLI and the API server.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagbag import DagPriorityParsingRequest
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.exceptions import ConflictError, NotFoundError, UserError
from airflow_batch_endpoints.jobs.naming import DAG_PREFIX, cancel_key, dag_id, request_digest
from airflow_batch_endpoints.jobs.spec import JobReference
from airflow_batch_endpoints.jobs.states import TERMINAL, job_state

DAG_FILE = "batch_endpoints.dag_file"
CANCELED = "canceled by "
"""How the note of a canceled run begins."""
_COUNTS = ("items", "succeeded", "failed", "rows", "shards_done")

Job = dict[str, Any]


def start(endpoint: str, conf: dict[str, Any], *, job: str, user: str) -> bool:
    """Start a job, once: the same request under the same name is the same job.

    :param conf: parameters of the run.
    :param job: name of the job.
    :return: whether it was started now.
    :raises ConflictError: another request has that name.
    :raises NotFoundError: the endpoint has no DAG (yet).
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.sdk.exceptions import AirflowException
    from airflow.utils.types import DagRunTriggeredByType

    with create_session() as session:
        run = _run(session, endpoint, job)
        if run is None:
            if not _has_dag(session, endpoint):
                raise NotFoundError(
                    f"endpoint {endpoint!r} has no DAG yet; the DAG processor must parse the file that calls "
                    "airflow_batch_endpoints.dags.build, wait a moment and repeat"
                )
            try:
                trigger_dag(
                    dag_id(endpoint),
                    triggered_by=DagRunTriggeredByType.CLI,
                    triggering_user_name=user,
                    run_id=job,
                    conf=conf,
                    session=session,
                )
            except AirflowException as error:
                # Two at once: the other one's insert went first. What it asked for is compared below.
                session.rollback()
                run = _run(session, endpoint, job)
                if run is None:
                    raise UserError(f"the job cannot be started: {error}") from error
            else:
                return True
        if request_digest(run.conf or {}) != request_digest(conf):
            raise ConflictError(f"job {job!r} exists and asks for something else; give this one another name")
        return False


def find(endpoint: str, job: str) -> Job:
    """Return one job. :raises NotFoundError: when there is none."""
    with create_session() as session:
        run = _run(session, endpoint, job)
        if run is None:
            raise NotFoundError(
                f"there is no job {job!r} of endpoint {endpoint!r}; see: airflow batch-endpoints jobs list {endpoint}"
            )
        return _describe(session, run)


def reference(endpoint: str, job: str) -> JobReference | None:
    """Return what a job was resolved to; ``None`` when there is none, or it was never planned."""
    with create_session() as session:
        run = _run(session, endpoint, job)
        planned = [] if run is None else _xcoms(session, run).get(("plan", "job"), [])
        return JobReference.model_validate(planned[0]) if planned else None


def recent(endpoint: str | None = None, *, limit: int = 25) -> list[Job]:
    """Return the newest jobs, of one endpoint or of all."""
    with create_session() as session:
        query = select(DagRun).order_by(DagRun.run_after.desc(), DagRun.id.desc()).limit(limit)
        if endpoint is None:
            query = query.where(DagRun.dag_id.startswith(DAG_PREFIX, autoescape=True))
        else:
            query = query.where(DagRun.dag_id == dag_id(endpoint))
        return [_describe(session, run) for run in session.scalars(query).all()]


def has_running(endpoint: str) -> bool:
    """Tell whether jobs of an endpoint are queued or running."""
    with create_session() as session:
        query = select(func.count()).where(DagRun.dag_id == dag_id(endpoint), DagRun.state.in_(["queued", "running"]))
        return bool(session.scalar(query))


def cancel(endpoint: str, job: str, *, user: str) -> Job:
    """Cancel a job: its run is set to failed, which stops its workers, and a note says why.

    :raises ConflictError: it has ended already.
    """
    from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
    from airflow.models.dagbag import DBDagBag

    with create_session() as session:
        run = _run(session, endpoint, job)
        if run is None:
            raise NotFoundError(f"there is no job {job!r} of endpoint {endpoint!r}")
        state = _describe(session, run)["state"]
        if state in TERMINAL:
            raise ConflictError(f"job {job!r} has ended already: {state}")
        dag = DBDagBag().get_dag_for_run(run, session=session)
        if dag is None:
            raise NotFoundError(f"the DAG of endpoint {endpoint!r} is gone; its run cannot be ended this way")
        run.note = f"{CANCELED}{user}"
        session.flush()
        set_dag_run_state_to_failed(dag=dag, run_id=job, commit=True, session=session)
    return find(endpoint, job)


# -- what a run tells ----------------------------------------------------------------------------------------------


def _run(session: Session, endpoint: str, job: str) -> DagRun | None:
    return session.scalar(select(DagRun).where(DagRun.dag_id == dag_id(endpoint), DagRun.run_id == job))


def _describe(session: Session, run: DagRun) -> Job:
    tasks: dict[str, set[str]] = {}
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.state).where(
            TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id
        )
    )
    for task, state in rows:
        tasks.setdefault(task, set()).add(str(state))
    said = _xcoms(session, run)
    planned, published = said.get(("plan", "summary"), [{}])[0], said.get(("publish", "summary"), [{}])[0]
    job = said.get(("plan", "job"), [{}])[0]
    note = run.note or ""
    asked = _cancel_request(session, run)
    state = job_state(
        str(run.state),
        tasks,
        is_canceled=note.startswith(CANCELED) or asked is not None,
        is_cancel_requested=asked is not None,
    )
    return {
        "name": run.run_id,
        "endpoint": run.dag_id.removeprefix(DAG_PREFIX),
        "deployment": job.get("deployment") or (run.conf or {}).get("deployment"),
        "state": state,
        "compute": ", ".join(sorted({*said.get(("score", "compute"), []), *_pinned_compute(job)})) or None,
        "invoker": run.triggering_user_name,
        "replay_of": (job.get("replay") or {}).get("job") or (run.conf or {}).get("replay_of"),
        "input": job.get("input_uri") or (run.conf or {}).get("input"),
        "output": job.get("output_uri"),
        "created": _time(run.queued_at or run.run_after),
        "started": _time(run.start_date),
        "ended": _time(run.end_date),
        "counts": _counts(planned, published, said.get(("score", "progress"), [])),
        "model": planned.get("model_uri"),
        "error": _error(said, state, asked or note),
    }


def _cancel_request(session: Session, run: DagRun) -> str | None:
    """Return why the task that invoked a job asked for its end, if it did, for the submission that runs now."""
    key = cancel_key(run.dag_id.removeprefix(DAG_PREFIX), run.run_id)
    variable = session.scalar(select(Variable).where(Variable.key == key))
    if variable is None:
        return None
    request = json.loads(variable.get_val() or "{}")
    return str(request.get("reason")) if request.get("submission") == str(run.clear_number or 0) else None


def _xcoms(session: Session, run: DagRun) -> dict[tuple[str, str], list[Any]]:
    """Return what the tasks of a run have said, by task and key."""
    rows = session.scalars(
        select(XComModel).where(
            XComModel.dag_id == run.dag_id,
            XComModel.run_id == run.run_id,
            XComModel.key.in_(["job", "summary", "progress", "error", "compute"]),
        )
    )
    said: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        said.setdefault((row.task_id, row.key), []).append(XComModel.deserialize_value(row))
    return said


def _pinned_compute(job: Job) -> list[str]:
    name = (job.get("launch") or {}).get("compute", {}).get("name")
    return [name] if name else []


def _counts(planned: Job, published: Job, progress: Sequence[Job]) -> Job:
    """Return how far a job is: what is published counts, before that what the instances say."""
    if published:
        counts = {name: published.get(name) for name in ("listed", "succeeded", "failed", "rows")}
    else:
        sums = {name: sum(int(entry.get(name, 0)) for entry in progress) for name in _COUNTS}
        counts = {"listed": planned.get("items"), **{name: sums[name] for name in ("succeeded", "failed", "rows")}}
        counts["shards_done"] = sums["shards_done"]
    counts["shards"] = planned.get("shards")
    return counts


def _error(said: dict[tuple[str, str], list[Any]], state: str, note: str) -> str | None:
    if state == "Canceled":
        return note
    if state != "Failed":
        return None
    # A score task that ended for good says more than publish, which only finds the shards missing.
    for task in ("plan", "score", "publish"):
        for message in said.get((task, "error"), []):
            return str(message)
    return "see the logs of its tasks"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


# -- the DAG of an endpoint ------------------------------------------------------------------------------------------


def _has_dag(session: Session, endpoint: str) -> bool:
    model = session.get(DagModel, dag_id(endpoint))
    if model is None or model.is_stale:
        return False
    return (
        session.scalar(select(SerializedDagModel.id).where(SerializedDagModel.dag_id == dag_id(endpoint)).limit(1))
        is not None
    )


def has_dag(endpoint: str) -> bool:
    """Tell whether an endpoint can be invoked: its DAG is parsed."""
    with create_session() as session:
        return _has_dag(session, endpoint)


def retire_dag(session: Session, endpoint: str) -> None:
    """Take a deleted endpoint's DAG out of sight at once; the DAG processor would take a minute or two."""
    model = session.get(DagModel, dag_id(endpoint))
    if model is not None:
        model.is_stale = True


def request_parsing(session: Session) -> bool:
    """Ask the DAG processor to parse the file of the endpoint DAGs next. A request can be lost; ask again until it is done.

    :return: ``False`` when no such file is known.
    """
    found = _dag_file(session)
    if found is None:
        return False
    bundle, path = found
    # The table's own key, so that asking twice is one request.
    key = hashlib.md5(f"{bundle}:{path}".encode(), usedforsecurity=False).hexdigest()
    if session.get(DagPriorityParsingRequest, key) is None:
        request = DagPriorityParsingRequest(bundle_name=bundle, relative_fileloc=path)
        request.id = key
        session.add(request)
    return True


def _dag_file(session: Session) -> tuple[str, str] | None:
    """Return bundle and path of the file that defines the endpoint DAGs."""
    row = session.execute(
        select(DagModel.bundle_name, DagModel.relative_fileloc)
        .where(DagModel.dag_id.startswith(DAG_PREFIX, autoescape=True), DagModel.relative_fileloc.is_not(None))
        .order_by(DagModel.last_parsed_time.desc())
        .limit(1)
    ).first()
    if row is not None:
        return str(row[0]), str(row[1])
    variable = session.scalar(select(Variable).where(Variable.key == DAG_FILE))
    path = None if variable is None else variable.get_val()
    if not path:
        return None
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    for bundle in DagBundlesManager().get_all_dag_bundles():
        relative = os.path.relpath(path, bundle.path)
        if not relative.startswith(".."):
            return bundle.name, relative
    return None
