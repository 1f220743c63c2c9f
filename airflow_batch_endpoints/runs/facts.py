"""What the metadata database says of runs, for many of them in a few queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.taskinstance import TaskInstance
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.jobs.naming import DAG_PREFIX, cancel_key
from airflow_batch_endpoints.jobs.stopping import read_stop
from airflow_batch_endpoints.runs.projection import SAID, RunFacts

_COLUMNS = (
    DagRun.id,
    DagRun.dag_id,
    DagRun.run_id,
    DagRun.clear_number,
    DagRun.state,
    DagRun.triggering_user_name,
    DagRun.conf,
    DagRun.run_after,
    DagRun.start_date,
    DagRun.end_date,
    DagRun.updated_at,
)


def gather(session: Session, runs: Sequence[int]) -> list[RunFacts]:
    """Return the facts of runs that are there.

    :param runs: ``dag_run.id`` of each; a few hundred at most.
    """
    if not runs:
        return []
    found = session.execute(
        select(*_COLUMNS, DagRunNote.content)
        .outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)
        .where(DagRun.id.in_(runs))
    ).all()
    tasks, said, requests = _tasks(session, runs), _said(session, runs), _cancel_requests(session, found)
    return [
        RunFacts(
            endpoint=run.dag_id.removeprefix(DAG_PREFIX),
            job=run.run_id,
            dag_run_id=run.id,
            submission=run.clear_number or 0,
            state=None if run.state is None else str(run.state),
            invoker=run.triggering_user_name,
            conf=run.conf if isinstance(run.conf, dict) else {},
            note=run.content or "",
            created=run.run_after,
            started=run.start_date,
            ended=run.end_date,
            updated=run.updated_at,
            tasks=tasks[run.dag_id, run.run_id],
            said=said[run.id],
            cancel_request=requests.get(run.id),
        )
        for run in found
    ]


def _tasks(session: Session, runs: Sequence[int]) -> dict[tuple[str, str], dict[str, set[str]]]:
    # By run: of two lists, one of DAGs and one of runs, a database would look up every pair.
    is_of_run = and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id)
    rows = session.execute(
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.state)
        .join(DagRun, is_of_run)
        .where(DagRun.id.in_(runs))
        .distinct()
    )
    tasks: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(dict)
    for dag, run, task, state in rows:
        tasks[dag, run].setdefault(task, set()).add(str(state))
    return tasks


def _said(session: Session, runs: Sequence[int]) -> dict[int, dict[tuple[str, str], list[Any]]]:
    rows = session.execute(
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.key, XComModel.value)
        .where(XComModel.dag_run_id.in_(runs), XComModel.key.in_(SAID))
        .order_by(XComModel.map_index)
    )
    said: dict[int, dict[tuple[str, str], list[Any]]] = defaultdict(dict)
    for row in rows:
        said[row.dag_run_id].setdefault((row.task_id, row.key), []).append(XComModel.deserialize_value(row))
    return said


def _cancel_requests(session: Session, runs: Sequence[Any]) -> dict[int, str]:
    """Return why the tasks that invoked jobs asked for their end, if they did, for the submissions that are now."""
    keys = {cancel_key(run.dag_id.removeprefix(DAG_PREFIX), run.run_id): run for run in runs}
    requests = {}
    for variable in session.scalars(select(Variable).where(Variable.key.in_(keys))):
        run = keys[variable.key]
        stop = read_stop(variable.get_val(), str(run.clear_number or 0))
        if stop is not None and stop.failed_step is None:
            requests[run.id] = stop.reason
    return requests
