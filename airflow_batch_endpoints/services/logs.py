"""The logs of a job's tasks, through Airflow's own reader: wherever Airflow keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.log.log_reader import TaskLogReader
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from airflow_batch_endpoints.database.session import open_session
from airflow_batch_endpoints.exceptions import NotFoundError, UserError
from airflow_batch_endpoints.jobs.naming import dag_id

MAX_BYTES = 10_000_000
"""Characters of a job's logs that one answer has."""
MAX_TASKS = 100
_WHOLE: Any = {"download_logs": True}
"""What tells the reader that all of a log is wanted."""
_SOURCES = "::group::Log message source details"


def read_logs(
    endpoint: str, job: str, *, task: str | None = None, instance: int | None = None, try_number: int | None = None
) -> Iterator[str]:
    """Return the lines of the logs of a job's tasks, each task after a line that names it.

    :param task: ``plan``, ``score`` or ``publish``; all of them by default.
    :param instance: number of the instance, for ``score``.
    :param try_number: which try; the last by default.
    :raises NotFoundError: there is no such task.
    :raises UserError: Airflow's log handler cannot read logs.
    """
    if not TaskLogReader().supports_read:
        raise UserError("the log handler of this Airflow cannot read logs back; see where it sends them")
    found = _tasks(endpoint, job, task, instance)
    if not found:
        raise NotFoundError(f"job {job!r} of endpoint {endpoint!r} has no such task, or none that has started")
    return _limited(line for entry in found for line in _lines(entry, try_number))


def read_tries(endpoint: str, job: str, task: str, *, instance: int | None = None) -> Iterator[str]:
    """Return the lines of all tries of a task, for who counts them: while it runs they grow in number, and keep their places.

    :param task: ``plan``, ``score`` or ``publish``; nothing when it has not begun.
    :param instance: number of the instance, for ``score``.
    """
    found = _tasks(endpoint, job, task, instance) if TaskLogReader().supports_read else []
    tries = ((entry, number) for entry in found for number in range(1, entry.try_number + 1))
    return _limited(line for entry, number in tries for line in _lines(entry, number, with_sources=False))


def _tasks(endpoint: str, job: str, task: str | None, instance: int | None) -> list[TaskInstance]:
    query = (
        select(TaskInstance)
        .join(DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id))
        .where(TaskInstance.dag_id == dag_id(endpoint), TaskInstance.run_id == job, TaskInstance.try_number > 0)
        .options(joinedload(TaskInstance.trigger), joinedload(TaskInstance.dag_model), joinedload(TaskInstance.dag_run))
        .order_by(TaskInstance.start_date, TaskInstance.map_index)
        .limit(MAX_TASKS)
    )
    if task is not None:
        query = query.where(TaskInstance.task_id == task)
    if instance is not None:
        query = query.where(TaskInstance.map_index == instance)
    with open_session() as session:
        found = list(session.scalars(query).unique())
        session.expunge_all()
        return found


def _lines(task: TaskInstance, try_number: int | None, *, with_sources: bool = True) -> Iterator[str]:
    which = f" instance {task.map_index}" if task.map_index >= 0 else ""
    number = try_number or task.try_number
    state = f", {task.state}" if number == task.try_number else ""
    yield f"--- {task.task_id}{which}, try {number}{state}\n"
    messages, _ = TaskLogReader().read_log_chunks(task, number, _WHOLE)
    for message in messages if with_sources else _without_sources(messages):
        yield f"{_text(message)}\n"


def _without_sources(messages: Iterable[Any]) -> Iterator[Any]:
    """Leave out what Airflow puts before a log to say where it was found: another number of lines each time."""
    rest = iter(messages)
    for message in rest:
        if not _text(message).startswith(_SOURCES):
            yield message
            break
        for _ in takewhile(lambda line: _text(line) != "::endgroup::", rest):
            pass
    yield from rest


def _text(message: Any) -> str:
    """Return a line of a structured log as people read it."""
    event = getattr(message, "event", None)
    if event is None:
        return str(message)
    moment = getattr(message, "timestamp", None)
    level = (getattr(message, "model_extra", None) or {}).get("level")
    parts = (None if moment is None else moment.isoformat(), level and str(level).upper(), str(event))
    return " ".join(part for part in parts if part)


def _limited(lines: Iterator[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line)
        if size > MAX_BYTES:
            yield "--- more than is shown here; ask for one task, or see Airflow's own pages\n"
            return
        yield line
