"""Jobs as resources: from their rows, their task instances and what those said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.jobs import naming, tasks
from airflow_batch_endpoints.jobs.states import TERMINAL, step_state
from airflow_batch_endpoints.runs.projection import number, text
from airflow_batch_endpoints.services.resources import (
    Counts,
    Instance,
    Job,
    JobDetails,
    JobOutput,
    OtherRun,
    Step,
    StepOfJob,
)

_KEYS = ("job", "details", "summary", "progress", "error", "compute")
Said = Mapping[tuple[str, str], Mapping[int, Any]]
"""What tasks said: by task and key, then by map index."""


def job_of(row: JobRow) -> Job:
    """Return a job as lists have it."""
    return Job(**_fields(row))


def details_of(session: Session, row: JobRow) -> JobDetails:
    """Return a job with what each of its instances and steps does."""
    rows = session.scalars(
        select(TaskInstance)
        .where(TaskInstance.dag_id == naming.dag_id(row.endpoint), TaskInstance.run_id == row.name)
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
    ).all()
    said = said_in(session, row, _KEYS)
    states: dict[str, set[str]] = defaultdict(set)
    for task in rows:
        states[task.task_id].add(str(task.state))
    pinned, consists_of = _mapping(said, tasks.PLAN, "job"), _mapping(said, tasks.PLAN, "details")
    kind = pinned.get("type", "model")
    fields = _fields(row)
    seconds, done = fields["seconds"], (row.succeeded or 0) + (row.failed or 0)
    is_running = row.state not in TERMINAL and seconds and done
    return JobDetails(
        **fields,
        deployment_type=kind if kind in ("pipeline", "dag") else "model",
        inputs=_plain(consists_of.get("inputs")),
        outputs=_outputs(consists_of.get("outputs")),
        steps=_steps(row, rows, said, consists_of, pinned) if kind == "pipeline" else [],
        other_run=_other_run(session, row, consists_of) if kind == "dag" else None,
        # Tasks that only other deployments have are none of this job's.
        tasks={task: sorted(found) for task, found in states.items() if _is_of(task, row.deployment)},
        instances=_instances(rows, said, tasks.SCORE),
        rows_per_second=round((row.rows or 0) / seconds, 1) if seconds and kind == "model" else None,
        seconds_left=round((row.listed - done) * seconds / done, 1) if is_running and row.listed else None,
    )


def said_in(session: Session, row: JobRow, keys: Iterable[str], task: str | None = None) -> Said:
    """Return what the tasks of a job said.

    :param keys: of the XComs.
    :param task: the one task to ask; all of them by default.
    """
    query = select(XComModel.task_id, XComModel.key, XComModel.map_index, XComModel.value).where(
        XComModel.dag_run_id == row.dag_run_id, XComModel.key.in_(keys)
    )
    if task is not None:
        query = query.where(XComModel.task_id == task)
    said: dict[tuple[str, str], dict[int, Any]] = defaultdict(dict)
    for entry in session.execute(query):
        said[entry.task_id, entry.key][entry.map_index] = XComModel.deserialize_value(entry)
    return said


def _fields(row: JobRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "endpoint": row.endpoint,
        "deployment": row.deployment,
        "deployment_revision": row.deployment_revision,
        "state": row.state,
        "compute": row.compute,
        "invoker": row.invoker,
        "replay_of": text(row.request.get("replay_of")),
        "input": row.input,
        "output": row.output,
        "created": row.created_at.replace(microsecond=0),
        "started": row.started_at and row.started_at.replace(microsecond=0),
        "ended": row.ended_at and row.ended_at.replace(microsecond=0),
        "seconds": row.seconds(datetime.now(UTC)),
        "counts": Counts(
            listed=row.listed,
            succeeded=row.succeeded,
            failed=row.failed,
            rows=row.rows,
            shards=row.shards,
            shards_done=row.shards_done,
        ),
        "model": row.model,
        "error": row.error,
        "request": row.request,
        "submission": row.submission,
        "dag_id": naming.dag_id(row.endpoint),
        "run_id": row.name,
    }


def _is_of(task: str, deployment: str | None) -> bool:
    found = tasks.read(task)
    return found is None or found.deployment == deployment


def _plain(value: Any) -> dict[str, Any]:
    """Return a mapping that JSON can say; whoever wrote something else there is not believed."""
    return {str(name): entry for name, entry in value.items()} if isinstance(value, Mapping) else {}


def _mapping(said: Said, task: str, key: str) -> dict[str, Any]:
    return _plain(said.get((task, key), {}).get(-1))


def _outputs(found: Any) -> dict[str, JobOutput]:
    return {
        name: JobOutput(type=str(output["type"]), uri=str(output["uri"]))
        for name, output in _plain(found).items()
        if isinstance(output, Mapping) and {"type", "uri"} <= output.keys()
    }


# -- instances -------------------------------------------------------------------------------------------------------


def _instances(rows: Sequence[TaskInstance], said: Said, task_id: str) -> list[Instance]:
    return [
        _instance(
            task, {key: said.get((task_id, key), {}).get(task.map_index) for key in ("progress", "error", "compute")}
        )
        for task in rows
        if task.task_id == task_id and task.map_index >= 0
    ]


def _instance(task: TaskInstance, said: Mapping[str, Any]) -> Instance:
    progress = said["progress"] if isinstance(said["progress"], dict) else {}
    return Instance(
        instance=task.map_index,
        state=None if task.state is None else str(task.state),
        tries=task.try_number or 0,
        compute=text(said["compute"]),
        host=task.hostname or None,
        started=task.start_date,
        ended=task.end_date,
        error=None if said["error"] is None else str(said["error"]),
        **{name: number(progress.get(name)) or 0 for name in ("items", "succeeded", "failed", "rows", "shards_done")},
    )


# -- steps -----------------------------------------------------------------------------------------------------------


def _steps(
    row: JobRow, rows: Sequence[TaskInstance], said: Said, consists_of: Mapping[str, Any], pinned: Mapping[str, Any]
) -> list[Step]:
    """Return the steps of a pipeline job, as its tasks and what they said tell of them."""
    by_step: dict[str, dict[str, list[TaskInstance]]] = defaultdict(lambda: defaultdict(list))
    for task in rows:
        found = tasks.read(task.task_id)
        if found is not None and found.deployment == row.deployment and found.step is not None:
            by_step[found.step][str(found.command)].append(task)
    launches = _plain(pinned.get("steps"))
    return [
        _step(row, step, by_step[step["name"]], said, _plain(launches.get(step["name"])))
        for step in tasks.steps(consists_of)
    ]


def _step(
    row: JobRow,
    step: Mapping[str, Any],
    found: Mapping[str, list[TaskInstance]],
    said: Said,
    launch: Mapping[str, Any],
) -> Step:
    ids = tasks.task_ids(row.deployment or "", {"steps": [step]})
    summary = next((entry for task in reversed(ids) if (entry := _mapping(said, task, "summary"))), {})
    errors = [str(error) for task in ids for error in said.get((task, "error"), {}).values()]
    state = step_state(
        {command: {str(task.state) for task in instances} for command, instances in found.items()},
        is_stopped=summary.get("state") == "Canceled",
        has_failed=summary.get("state") == "Failed",
        is_canceled=row.state == "Canceled",
    )
    begun = [task for instances in found.values() for task in instances if task.start_date and task.try_number]
    started = min((task.start_date for task in begun if task.start_date), default=None)
    ended = max((task.end_date for task in begun if task.end_date), default=None) if state in TERMINAL else None
    end = ended or (row.ended_at if row.state in TERMINAL else datetime.now(UTC))
    reused, outputs = summary.get("reused_from"), _plain(summary.get("outputs"))
    computes = [str(compute) for task in ids for compute in said.get((task, "compute"), {}).values() if compute]
    pinned = _plain(launch.get("compute")).get("name")
    return Step(
        name=step["name"],
        after=step["after"],
        is_parallel=step["parallel"],
        state=state,
        compute=computes[-1] if computes else text(pinned),
        tries=max((task.try_number or 0 for task in begun), default=0),
        started=started,
        ended=ended,
        seconds=round((end - started).total_seconds(), 1) if started and end and end >= started else None,
        reused_from=StepOfJob(job=str(reused["job"]), step=str(reused["step"]))
        if isinstance(reused, Mapping) and {"job", "step"} <= reused.keys()
        else None,
        outputs={name: uri for name, uri in outputs.items() if isinstance(uri, str)} if state == "Completed" else {},
        error=errors[-1] if errors and state == "Failed" else None,
        task=ids[-1],
        instances=_instances([task for instances in found.values() for task in instances], said, ids[1])
        if step["parallel"]
        else [],
    )


def _other_run(session: Session, row: JobRow, consists_of: Mapping[str, Any]) -> OtherRun:
    dag, run = str(consists_of.get("dag_id")), naming.other_run(row.endpoint, row.name)
    state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag, DagRun.run_id == run))
    return OtherRun(dag_id=dag, run_id=None if state is None else run, state=None if state is None else str(state))
