"""From what a run and its tasks say to the row of a job: a pure function, so that the table can be made anew at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.states import TERMINAL, job_state
from airflow_batch_endpoints.storage.uris import without_query

CANCELED = "canceled by "
"""How the note of a canceled run begins."""
SAID = ("job", "details", "summary", "progress", "error", "compute")
"""Keys of the XComs that tasks leave."""
UNFINISHED = frozenset({"running", "restarting", "deferred", "queued", "scheduled"})
LAST_WORDS = timedelta(seconds=15)
"""How long after the end of a run its tasks, which are being killed, may still say something."""
MAX_NAME, MAX_DIGEST, MAX_TEXT = 250, 64, 8000
MAX_NUMBER = 2**31
"""What one entry may say: a sum over a thousand instances still fits its column."""
_COUNTS = ("succeeded", "failed", "rows", "shards_done")


@dataclass(frozen=True)
class RunFacts:
    """All that a job's row is made of."""

    endpoint: str
    job: str
    dag_run_id: int
    submission: int
    state: str | None
    invoker: str | None
    conf: Mapping[str, Any]
    note: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    updated: datetime | None
    tasks: Mapping[str, set[str]] = field(default_factory=dict)
    """States of the instances of each task."""
    said: Mapping[tuple[str, str], Sequence[Any]] = field(default_factory=dict)
    """XComs by task and key."""
    cancel_request: str | None = None
    """Why the task that invoked the job asked for its end, if it did, for this submission."""


def project(facts: RunFacts, now: datetime) -> dict[str, Any]:
    """Return the columns of a job's row.

    :param now: the time; a run that has just ended is not settled yet.
    """
    said = facts.said
    planned, published = _said(said, "plan", "summary"), _said(said, "publish", "summary")
    job = _said(said, "plan", "job")
    state = job_state(
        facts.state,
        facts.tasks,
        is_canceled=facts.note.startswith(CANCELED) or facts.cancel_request is not None,
        is_cancel_requested=facts.cancel_request is not None,
    )
    return {
        "endpoint": facts.endpoint,
        "name": facts.job,
        "dag_run_id": facts.dag_run_id,
        "submission": facts.submission,
        "deployment": text(job.get("deployment") or facts.conf.get("deployment"), MAX_NAME),
        "deployment_revision": text(job.get("deployment_revision"), MAX_DIGEST),
        "invoker": facts.invoker,
        "state": state,
        "is_settled": _is_settled(facts, state, now),
        "compute": text(", ".join(_computes(said, job))),
        "model": text(planned.get("model_uri")),
        "input": text(_shown_input(job.get("input_uri") or _asked_input(facts.conf))),
        "output": text(job.get("output_uri")),
        "request": dict(facts.conf),
        **(
            _counts(planned, published, said.get(("score", "progress"), []))
            if job.get("type", "model") == "model"
            else dict.fromkeys(("listed", "shards", *_COUNTS))
        ),
        "error": text(_error(said, state, facts.cancel_request or facts.note)),
        "created_at": facts.created,
        "started_at": facts.started,
        "ended_at": facts.ended,
        "run_updated_at": facts.updated,
        "refreshed_at": now,
    }


def _asked_input(conf: Mapping[str, Any]) -> Any:
    """Return the first data that a request gives, which may be anything."""
    named = conf.get("inputs")
    paths = (
        [entry.get("path") for entry in named.values() if isinstance(entry, dict)] if isinstance(named, dict) else []
    )
    return conf.get("input") or next((path for path in paths if path), None)


def _shown_input(asked: Any) -> Any:
    return without_query(asked) if isinstance(asked, str) else asked


def other_dag(facts: RunFacts) -> str | None:
    """Return the id of the DAG that a job is a run of, if it is that."""
    if _said(facts.said, tasks.PLAN, "job").get("type") != "dag":
        return None
    return text(_said(facts.said, tasks.PLAN, "details").get("dag_id"), MAX_NAME)


def _is_settled(facts: RunFacts, state: str, now: datetime) -> bool:
    if state not in TERMINAL or (facts.ended is not None and now - facts.ended < LAST_WORDS):
        return False
    return not any(states & UNFINISHED for states in facts.tasks.values())


def _said(said: Mapping[tuple[str, str], Sequence[Any]], task: str, key: str) -> Mapping[str, Any]:
    """Return the one thing a task said; whoever else wrote there something odd, is not believed."""
    found = said.get((task, key), [])
    return found[0] if found and isinstance(found[0], Mapping) else {}


def _computes(said: Mapping[tuple[str, str], Sequence[Any]], job: Mapping[str, Any]) -> list[str]:
    """Return the computes a job uses: those it pinned, and those its instances and steps are on."""
    if job.get("type") == "dag":
        return []
    steps = job.get("steps")
    pinned = [job.get("launch"), *(steps.values() if isinstance(steps, Mapping) else ())]
    found = {
        str(compute)
        for (task, key), values in said.items()
        if key == "compute" and (task == tasks.SCORE or tasks.read(task) is not None)
        for compute in values
        if compute
    }
    for launch in pinned:
        compute = launch.get("compute") if isinstance(launch, Mapping) else None
        if isinstance(compute, Mapping) and compute.get("name"):
            found.add(str(compute["name"]))
    return sorted(found)


def _counts(planned: Mapping[str, Any], published: Mapping[str, Any], progress: Sequence[Any]) -> dict[str, int | None]:
    """Return how far a job of a model is: what is published counts, before that what the instances say."""
    shards = number(planned.get("shards"))
    if published:
        counts = {name: number(published.get(name)) for name in ("listed", "succeeded", "failed", "rows")}
        return {**counts, "shards": shards, "shards_done": shards}
    entries = [entry for entry in progress if isinstance(entry, Mapping)]
    sums = {name: sum(number(entry.get(name)) or 0 for entry in entries) for name in _COUNTS}
    return {"listed": number(planned.get("items")), **sums, "shards": shards}


def number(value: Any) -> int | None:
    """Return a count; anything else that stands in its place is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_NUMBER else None


def text(value: Any, limit: int = MAX_TEXT) -> str | None:
    """Return a text that every database takes: cut to its column, without NUL and halves of characters."""
    if not isinstance(value, str) or not value:
        return None
    return value[:limit].replace("\0", "\ufffd").encode(errors="replace").decode()


def _error(said: Mapping[tuple[str, str], Sequence[Any]], state: str, note: str) -> str | None:
    if state == "Canceled":
        return note
    if state != "Failed":
        return None
    # A score task that ended for good says more than publish, which only finds the shards missing; of steps publish names all that
    # failed.
    for task in (tasks.PLAN, tasks.SCORE, tasks.PUBLISH, *sorted({task for task, _ in said})):
        for message in said.get((task, "error"), []):
            return str(message)
    return "see the logs of its tasks"
