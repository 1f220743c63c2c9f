"""The states of a job as Azure ML names them, from the states of its run and its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from airflow_batch_endpoints.jobs import tasks as ids

JobState = Literal[
    "NotStarted", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested", "Completed", "Failed", "Canceled"
]
TERMINAL: frozenset[JobState] = frozenset({"Completed", "Failed", "Canceled"})

BEGUN = frozenset({"running", "restarting", "deferred", "success", "failed", "up_for_retry"})
"""States of task instances that have started."""
_UNDER_WAY = {"running", "restarting", "deferred", "up_for_retry", "up_for_reschedule"}
_WAITING = {"queued", "scheduled"}


def job_state(
    run: str | None, tasks: Mapping[str, set[str]], *, is_canceled: bool = False, is_cancel_requested: bool = False
) -> JobState:
    """Return the state of a job.

    =========================================================  ===============
    run and tasks                                              job
    =========================================================  ===============
    run queued                                                 NotStarted
    run succeeded                                              Completed
    run succeeded without ``publish``, canceled                Canceled
    run failed and recorded as a cancellation                  Canceled
    run failed                                                 Failed
    running, a cancellation was asked for                      CancelRequested
    running, ``publish`` has begun                             Finalizing
    running, a ``score`` or a step has begun                   Running
    running, ``plan`` is done, none of those has begun         Queued
    running, else                                              Preparing
    =========================================================  ===============

    :param run: state of the DAG run.
    :param tasks: states of the instances of each task.
    """
    if run == "success":
        # On SQLite a scheduler that looks at the run while it is canceled can find all tasks skipped, and its state not yet set.
        return "Canceled" if is_canceled and "success" not in tasks.get(ids.PUBLISH, set()) else "Completed"
    if run == "failed":
        return "Canceled" if is_canceled else "Failed"
    if is_cancel_requested:
        return "CancelRequested"
    if run in (None, "queued"):
        return "NotStarted"
    if tasks.get(ids.PUBLISH, set()) & BEGUN:
        return "Finalizing"
    if any(states & BEGUN for task, states in tasks.items() if task == ids.SCORE or ids.read(task) is not None):
        return "Running"
    return "Queued" if "success" in tasks.get(ids.PLAN, set()) else "Preparing"


def step_state(tasks: Mapping[str, set[str]], *, is_stopped: bool, has_failed: bool, is_canceled: bool) -> JobState:
    """Return the state of a step of a pipeline.

    =======================================================  ==============
    its tasks                                                step
    =======================================================  ==============
    the last one succeeded                                   Completed
    stopped, as another step failed or the job was canceled  Canceled
    the last one, or ``plan`` of a parallel step, failed     Failed
    one has begun                                            Running
    one is queued                                            Queued
    none, and the job was canceled                           Canceled
    else, also when what it waits for has failed             NotStarted
    =======================================================  ==============

    :param tasks: states of the instances of ``step``, or of ``plan``, ``score`` and ``publish`` of a parallel step.
    :param is_stopped: whether it said that it was stopped.
    :param has_failed: whether it said that it failed.
    :param is_canceled: whether the job is canceled.
    """
    last = tasks.get("step") or tasks.get(ids.PUBLISH) or set()
    found = set().union(*tasks.values())
    if "success" in last:
        return "Completed"
    if is_stopped:
        return "Canceled"
    if "failed" in last or "failed" in tasks.get(ids.PLAN, set()):
        # A task that is ended with its run counts as failed, and cannot say so.
        return "Canceled" if is_canceled and not has_failed else "Failed"
    if found & _UNDER_WAY or (found & BEGUN and not is_canceled):
        return "Running"
    if found & _WAITING:
        return "Queued"
    return "Canceled" if is_canceled else "NotStarted"
