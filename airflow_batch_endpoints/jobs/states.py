"""The states of a job as Azure ML names them, from the states of its run and its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

JobState = Literal[
    "NotStarted", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested", "Completed", "Failed", "Canceled"
]
TERMINAL: frozenset[JobState] = frozenset({"Completed", "Failed", "Canceled"})

BEGUN = frozenset({"running", "restarting", "deferred", "success", "failed", "up_for_retry"})
"""States of task instances that have started."""


def job_state(
    run: str | None, tasks: Mapping[str, set[str]], *, is_canceled: bool = False, is_cancel_requested: bool = False
) -> JobState:
    """Return the state of a job.

    =========================================================  ===============
    run and tasks                                              job
    =========================================================  ===============
    run queued                                                 NotStarted
    run succeeded                                              Completed
    run failed and recorded as a cancellation                  Canceled
    run failed                                                 Failed
    running, a cancellation was asked for                      CancelRequested
    running, ``publish`` has begun                             Finalizing
    running, a ``score`` has begun                             Running
    running, ``plan`` is done, no ``score`` has begun          Queued
    running, else                                              Preparing
    =========================================================  ===============

    :param run: state of the DAG run.
    :param tasks: states of the instances of ``plan``, ``score`` and ``publish``.
    """
    if run == "success":
        return "Completed"
    if run == "failed":
        return "Canceled" if is_canceled else "Failed"
    if is_cancel_requested:
        return "CancelRequested"
    if run in (None, "queued"):
        return "NotStarted"
    if tasks.get("publish", set()) & BEGUN:
        return "Finalizing"
    if tasks.get("score", set()) & BEGUN:
        return "Running"
    return "Queued" if "success" in tasks.get("plan", set()) else "Preparing"
