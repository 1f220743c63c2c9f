"""A job's directory, looked at from outside: names and times of objects tell nearly all of how far it is.

While a job runs, its directory is listed; of a published one, what was noted of it then is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.heartbeat import Heartbeat
from airflow_batch_endpoints.jobs.pinned import PinnedJob
from airflow_batch_endpoints.jobs.timeline import (
    MAX_INCARNATIONS,
    Attempts,
    Incarnation,
    ShardSpan,
    Timeline,
    condense,
    incarnation,
    instance_of,
    order,
    two_numbers,
)
from airflow_batch_endpoints.services.resources import Progress
from airflow_batch_endpoints.storage.store import Store

if TYPE_CHECKING:
    from airflow_batch_endpoints.planning.plan import ShardSize

MAX_PINNED = 10_000_000
"""Bytes of ``job.json``."""
MAX_PLAN = 50_000_000
"""Bytes of a plan that is read for its mini-batches."""
MAX_LOOKED_UP = 1000
"""Claims and commits that are read, because their names do not tell whose they are."""
MAX_COMMIT, MAX_NAME = 5_000_000, 100
"""Bytes of a commit or a heartbeat, and of a claim."""
MAX_TIMELINE = 5_000_000
"""Bytes of what a published job keeps of its working state."""
MAX_PLANS = 50
AT_ONCE = 16
"""Requests to a storage at the same time."""
Key = TypeVar("Key")
Result = TypeVar("Result")

_plans: dict[str, Sequence[ShardSize]] = {}


@dataclass(frozen=True)
class _Directory:
    """What the names and times in a job's directory say."""

    attempts: Attempts
    makers: Mapping[int, set[str]]
    """Incarnations that stored a part of a shard."""
    failed: int


def look(store: Store, endpoint: str, job: str, *, is_over: bool) -> Progress | None:
    """Return how far a job is; ``None`` when it has no working state: it has not been planned, or is published.

    :param store: the output of the job.
    :param is_over: whether nothing of it runs any more, whatever seems to be under way.
    :raises InfrastructureError: the directory is of another job, or of another version.
    """
    content = read(store, layout.JOB, MAX_PINNED)
    if content is None:
        return None
    try:
        pinned = PinnedJob.model_validate_json(content)
    except ValidationError:
        raise InfrastructureError("its job.json is not one of this version") from None
    if (pinned.spec.job, pinned.spec.endpoint) != (job, endpoint):
        raise InfrastructureError("another job works at its output")
    directory = _list(store)
    attempts = directory.attempts
    sizes = _sizes(store, pinned.plan)
    heartbeats = _heartbeats(store, attempts)
    has_let_go = None if is_over else {name for name, heartbeat in heartbeats.items() if heartbeat.has_ended}
    spans = attempts.spans(_makers(store, directory), has_let_go)
    done = [size for shard, size in enumerate(sizes) if shard in attempts.commits]
    items_done = sum(size.items for size in done) if sizes else None
    rows = sum(heartbeat.rows for heartbeat in heartbeats.values())
    seconds = _elapsed(spans, attempts)
    return Progress(
        source="storage",
        items=pinned.summary.items,
        items_done=items_done,
        items_failed=directory.failed,
        mini_batches=pinned.summary.mini_batches,
        mini_batches_done=sum(size.mini_batches for size in done) if sizes else None,
        shards=pinned.summary.shards,
        shards_done=len(attempts.commits),
        rows=rows,
        rows_per_second=round(rows / seconds, 1) if seconds else None,
        seconds_left=round((pinned.summary.items - items_done) * seconds / items_done, 1)
        if seconds and items_done and not is_over
        else None,
        instances=sorted(_instances(attempts, heartbeats, spans), key=lambda one: (one.instance, one.incarnation)),
        spans=condense(spans),
        is_cut=len(attempts.beats) > MAX_INCARNATIONS,
    )


def recall(store: Store, endpoint: str, job: str) -> Timeline | None:
    """Return what a published job has kept of its working state; ``None`` when it has kept none.

    :param store: the output of the job.
    :raises InfrastructureError: what is there is another job's by now, or of another version.
    """
    content = read(store, layout.TIMELINE, MAX_TIMELINE)
    if content is None:
        return None
    try:
        found = Timeline.model_validate_json(content)
    except ValidationError:
        raise InfrastructureError(f"its {layout.TIMELINE} is not one of this version") from None
    if (found.job, found.endpoint) != (job, endpoint):
        raise InfrastructureError("another job has published to its output since")
    return found


def _list(store: Store) -> _Directory:
    """Read the five folders, at the same time."""
    folders = (layout.CLAIMS, layout.COMMITS, layout.PARTS, layout.FAILURES, layout.INSTANCES)
    claims, commits, parts, failures, instances = _together(store.times, folders).values()
    makers: dict[int, set[str]] = {}
    for name in (key.rsplit("/", 1)[-1] for key in parts):
        shard, _, rest = name.partition(".")
        maker = incarnation(rest.partition(".")[0].encode())
        if shard.isdecimal() and maker is not None:
            makers.setdefault(int(shard), set()).add(maker)
    failed: dict[int, int] = {}
    for number, count in filter(None, map(two_numbers, failures)):
        failed[number] = max(failed.get(number, 0), count)
    attempts = Attempts.listed(claims=claims, commits=commits, instances=instances)
    return _Directory(attempts=attempts, makers=makers, failed=sum(failed.values()))


def _sizes(store: Store, plan: str) -> Sequence[ShardSize]:
    """Return how much each shard is; nothing when the plan is too large to read for that."""
    # A plan is named by its content, so what one says is never out of date.
    if plan not in _plans:
        content = read(store, f"{layout.WORKING}/{plan}", MAX_PLAN + 1)
        if content is None or len(content) > MAX_PLAN:
            return ()
        # Arrow costs a third of a second, which the API server need not spend when it starts.
        from airflow_batch_endpoints.planning.plan import shard_sizes

        sizes = shard_sizes(content)
        while len(_plans) >= MAX_PLANS:
            _plans.pop(next(iter(_plans)), None)
        _plans[plan] = sizes
    return _plans[plan]


def _heartbeats(store: Store, attempts: Attempts) -> dict[str, Heartbeat]:
    found = {}
    newest = sorted(attempts.beats, key=lambda name: order(attempts.beats[name]), reverse=True)[:MAX_INCARNATIONS]
    for name, content in _together(lambda name: read(store, layout.instance(name), MAX_COMMIT), newest).items():
        try:
            found[name] = Heartbeat.model_validate_json(content or b"")
        except ValidationError:
            continue  # gone meanwhile, or of another version: no sign of life is no error
    return found


def _makers(store: Store, directory: _Directory) -> dict[tuple[int, int], str]:
    """Return whose each attempt is: the name of a part tells it, or else the content of the claim or of the commit."""
    found: dict[tuple[int, int], str] = {}
    unknown: list[tuple[int, int]] = []
    attempts = directory.attempts
    for shard, attempt in attempts.all():
        candidates = directory.makers.get(shard, set())
        if attempts.latest[shard] == 1 and shard in attempts.commits and len(candidates) == 1:
            found[shard, attempt] = next(iter(candidates))
        else:
            unknown.append((shard, attempt))

    def look_up(which: tuple[int, int]) -> str | None:
        shard, attempt = which
        if attempts.is_committed(shard, attempt):
            return _committer(read(store, layout.commit(shard), MAX_COMMIT) or b"")
        return incarnation(read(store, layout.claim(shard, attempt), MAX_NAME) or b"")

    newest = sorted(unknown, key=lambda which: order(attempts.claims.get(which)), reverse=True)[:MAX_LOOKED_UP]
    found |= {which: maker for which, maker in _together(look_up, newest).items() if maker is not None}
    return found


def _instances(
    attempts: Attempts, heartbeats: Mapping[str, Heartbeat], spans: Iterable[ShardSpan]
) -> Iterator[Incarnation]:
    held: dict[str, list[int]] = {}
    done: dict[str, int] = {}
    for span in spans:
        if span.incarnation is not None and span.state == "held":
            held.setdefault(span.incarnation, []).append(span.shard)
        elif span.incarnation is not None and span.state == "committed":
            done[span.incarnation] = done.get(span.incarnation, 0) + 1
    for name in {*heartbeats, *held, *done}:
        heartbeat = heartbeats.get(name, Heartbeat(incarnation=name))
        yield Incarnation(
            instance=instance_of(name),
            incarnation=name,
            state=heartbeat.state,
            seen=attempts.beats.get(name),
            working_on=sorted(held.get(name, [])),
            alone=heartbeat.alone,
            shards_done=done.get(name, 0),
            succeeded=heartbeat.succeeded,
            failed=heartbeat.failed,
            rows=heartbeat.rows,
        )


def _committer(commit: bytes) -> str | None:
    try:
        return incarnation(str(json.loads(commit)["incarnation"]).encode())
    except (ValueError, LookupError, TypeError):
        return None


def _elapsed(spans: Iterable[ShardSpan], attempts: Attempts) -> float | None:
    """Return the seconds from the first claim to the last sign of life: all by the clock of the storage."""
    started = [span.started for span in spans if span.started is not None]
    seen = [time for time in (*attempts.commits.values(), *attempts.beats.values()) if time is not None]
    seconds = (max(seen) - min(started)).total_seconds() if started and seen else 0.0
    return seconds if seconds > 0 else None


def read(store: Store, key: str, limit: int) -> bytes | None:
    """Return the beginning of an object, ``None`` when there is none."""
    try:
        with store.reader(key) as file:
            return file.read(limit)
    except FileNotFoundError:
        return None


def _together(call: Callable[[Key], Result], keys: Iterable[Key]) -> dict[Key, Result]:
    """Ask a storage several things at the same time."""
    keys = list(keys)
    if not keys:
        return {}
    with ThreadPoolExecutor(max_workers=min(len(keys), AT_ONCE)) as pool:
        return dict(zip(keys, pool.map(call, keys), strict=True))
