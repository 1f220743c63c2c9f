"""A job's directory, looked at from outside: names and times of objects tell nearly all of how far it is.

A claim is created when a shard is begun, a commit when it is done, and a part is named by its shard and by who made it. So three
listings give every attempt with its times, by one clock, that of the storage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.heartbeat import Heartbeat
from airflow_batch_endpoints.jobs.spec import PinnedJob
from airflow_batch_endpoints.services.resources import LiveInstance, Progress, ShardSpan
from airflow_batch_endpoints.storage.store import Store

if TYPE_CHECKING:
    from airflow_batch_endpoints.planning.plan import ShardSize

MAX_PINNED = 10_000_000
"""Bytes of ``job.json``."""
MAX_PLAN = 50_000_000
"""Bytes of a plan that is read for its mini-batches."""
MAX_INSTANCES = 500
"""Heartbeats that are read."""
MAX_LOOKED_UP = 1000
"""Claims and commits that are read, because their names do not tell whose they are."""
MAX_SPANS = 2000
MAX_COMMIT, MAX_NAME = 5_000_000, 100
"""Bytes of a commit or a heartbeat, and of a claim."""
MAX_PLANS = 50
AT_ONCE = 16
"""Requests to a storage at the same time."""
Key = TypeVar("Key")
Result = TypeVar("Result")

_INCARNATION = re.compile(rb"[0-9]{1,5}-[0-9a-f]{1,32}")
_plans: dict[str, Sequence[ShardSize]] = {}


@dataclass(frozen=True)
class _Directory:
    """What the names and times in a job's directory say."""

    claims: Mapping[tuple[int, int], datetime | None]
    """By shard and attempt."""
    commits: Mapping[int, datetime | None]
    makers: Mapping[int, set[str]]
    """Incarnations that stored a part of a shard."""
    failed: int
    beats: Mapping[str, datetime | None]
    """Incarnations, and when they last gave a sign of life."""


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
    sizes = _sizes(store, pinned.plan)
    heartbeats = _heartbeats(store, directory)
    spans = list(_spans(store, directory, heartbeats, is_over=is_over))
    done = [size for shard, size in enumerate(sizes) if shard in directory.commits]
    items_done = sum(size.items for size in done) if sizes else None
    rows = sum(heartbeat.rows for heartbeat in heartbeats.values())
    seconds = _elapsed(spans, directory)
    return Progress(
        source="storage",
        items=pinned.summary.items,
        items_done=items_done,
        items_failed=directory.failed,
        mini_batches=pinned.summary.mini_batches,
        mini_batches_done=sum(size.mini_batches for size in done) if sizes else None,
        shards=pinned.summary.shards,
        shards_done=len(directory.commits),
        rows=rows,
        rows_per_second=round(rows / seconds, 1) if seconds else None,
        seconds_left=round((pinned.summary.items - items_done) * seconds / items_done, 1)
        if seconds and items_done and not is_over
        else None,
        instances=sorted(
            _instances(directory, heartbeats, spans), key=lambda instance: (instance.instance, instance.incarnation)
        ),
        spans=spans[-MAX_SPANS:],
        is_cut=len(spans) > MAX_SPANS or len(directory.beats) > MAX_INSTANCES,
    )


def _list(store: Store) -> _Directory:
    """Read the five folders, at the same time."""
    folders = (layout.CLAIMS, layout.COMMITS, layout.PARTS, layout.FAILURES, layout.INSTANCES)
    claims, commits, parts, failures, instances = _together(store.times, folders).values()
    makers: dict[int, set[str]] = {}
    for name in map(_name, parts):
        shard, _, rest = name.partition(".")
        maker = _incarnation(rest.partition(".")[0].encode())
        if shard.isdecimal() and maker is not None:
            makers.setdefault(int(shard), set()).add(maker)
    failed: dict[int, int] = {}
    for number, count in filter(None, map(_numbers, failures)):
        failed[number] = max(failed.get(number, 0), count)
    return _Directory(
        claims={numbers: time for key, time in claims.items() if (numbers := _numbers(key)) is not None},
        commits={int(stem): time for key, time in commits.items() if (stem := _stem(key)).isdecimal()},
        makers=makers,
        failed=sum(failed.values()),
        beats={known: time for key, time in instances.items() if (known := _incarnation(_stem(key).encode()))},
    )


def _name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _stem(key: str) -> str:
    return _name(key).removesuffix(".json")


def _numbers(key: str) -> tuple[int, int] | None:
    """Return the two numbers that the name of a claim, or of a count of failures, is made of."""
    first, _, second = _name(key).partition(".")
    return (int(first), int(second)) if first.isdecimal() and second.isdecimal() else None


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


def _heartbeats(store: Store, directory: _Directory) -> dict[str, Heartbeat]:
    found = {}
    newest = sorted(directory.beats, key=lambda name: _order(directory.beats[name]), reverse=True)[:MAX_INSTANCES]
    for incarnation, content in _together(lambda name: read(store, layout.instance(name), MAX_COMMIT), newest).items():
        try:
            found[incarnation] = Heartbeat.model_validate_json(content or b"")
        except ValidationError:
            continue  # gone meanwhile, or of another version: no sign of life is no error
    return found


def _spans(
    store: Store, directory: _Directory, heartbeats: Mapping[str, Heartbeat], *, is_over: bool
) -> Iterator[ShardSpan]:
    """Yield every attempt at every shard, oldest first."""
    latest: dict[int, int] = {}
    for shard, attempt in directory.claims:
        latest[shard] = max(latest.get(shard, 0), attempt)
    makers = _makers(store, directory, latest)
    spans = []
    for shard, attempt in {*directory.claims, *((shard, 1) for shard in directory.commits.keys() - latest.keys())}:
        is_last = attempt == latest.get(shard, 1)
        is_committed = is_last and shard in directory.commits
        maker = makers.get((shard, attempt))
        lets_go = maker is not None and maker in heartbeats and heartbeats[maker].has_ended
        if is_committed:
            ended = directory.commits[shard]
        elif is_last:
            ended = directory.beats.get(maker or "") if lets_go or is_over else None
        else:
            ended = directory.claims.get((shard, attempt + 1))
        spans.append(
            ShardSpan(
                shard=shard,
                attempt=attempt,
                instance=None if maker is None else _instance_of(maker),
                incarnation=maker,
                state="committed" if is_committed else "held" if is_last and not (lets_go or is_over) else "lost",
                started=directory.claims.get((shard, attempt)),
                ended=ended,
            )
        )
    yield from sorted(spans, key=lambda span: (_order(span.started or span.ended), span.shard, span.attempt))


def _makers(store: Store, directory: _Directory, latest: Mapping[int, int]) -> dict[tuple[int, int], str]:
    """Return whose each attempt is: the name of a part tells it, or else the content of the claim or of the commit."""
    found: dict[tuple[int, int], str] = {}
    unknown: list[tuple[int, int]] = []
    for shard, attempt in {*directory.claims, *((shard, 1) for shard in directory.commits.keys() - latest.keys())}:
        candidates = directory.makers.get(shard, set())
        if latest.get(shard, 1) == 1 and shard in directory.commits and len(candidates) == 1:
            found[shard, attempt] = next(iter(candidates))
        else:
            unknown.append((shard, attempt))

    def look_up(which: tuple[int, int]) -> str | None:
        shard, attempt = which
        if attempt == latest.get(shard, 1) and shard in directory.commits:
            return _committer(read(store, layout.commit(shard), MAX_COMMIT) or b"")
        return _incarnation(read(store, layout.claim(shard, attempt), MAX_NAME) or b"")

    newest = sorted(unknown, key=lambda which: _order(directory.claims.get(which)), reverse=True)[:MAX_LOOKED_UP]
    found |= {which: maker for which, maker in _together(look_up, newest).items() if maker is not None}
    return found


def _instances(
    directory: _Directory, heartbeats: Mapping[str, Heartbeat], spans: Iterable[ShardSpan]
) -> Iterator[LiveInstance]:
    held: dict[str, list[int]] = {}
    done: dict[str, int] = {}
    for span in spans:
        if span.incarnation is not None and span.state == "held":
            held.setdefault(span.incarnation, []).append(span.shard)
        elif span.incarnation is not None and span.state == "committed":
            done[span.incarnation] = done.get(span.incarnation, 0) + 1
    for incarnation in {*heartbeats, *held, *done}:
        heartbeat = heartbeats.get(incarnation)
        yield LiveInstance(
            instance=_instance_of(incarnation),
            incarnation=incarnation,
            state=heartbeat.state if heartbeat is not None else "running",
            seen=directory.beats.get(incarnation),
            working_on=sorted(held.get(incarnation, [])),
            alone=None if heartbeat is None else heartbeat.alone,
            shards_done=done.get(incarnation, 0),
        )


def _committer(commit: bytes) -> str | None:
    try:
        return _incarnation(str(json.loads(commit)["incarnation"]).encode())
    except (ValueError, LookupError, TypeError):
        return None


def _incarnation(name: bytes) -> str | None:
    """Return the name of an incarnation, if it is one: whoever may write to the directory could have put a link there."""
    return name.decode() if _INCARNATION.fullmatch(name) else None


def _instance_of(incarnation: str) -> int:
    return int(incarnation.partition("-")[0])


def _elapsed(spans: Iterable[ShardSpan], directory: _Directory) -> float | None:
    """Return the seconds from the first claim to the last sign of life: all by the clock of the storage."""
    started = [span.started for span in spans if span.started is not None]
    seen = [time for time in (*directory.commits.values(), *directory.beats.values()) if time is not None]
    seconds = (max(seen) - min(started)).total_seconds() if started and seen else 0.0
    return seconds if seconds > 0 else None


def read(store: Store, key: str, limit: int) -> bytes | None:
    """Return the beginning of an object, ``None`` when there is none."""
    try:
        with store.reader(key) as file:
            return file.read(limit)
    except FileNotFoundError:
        return None


def _order(time: datetime | None) -> float:
    return time.timestamp() if time is not None else 0.0


def _together(call: Callable[[Key], Result], keys: Iterable[Key]) -> dict[Key, Result]:
    """Ask a storage several things at the same time."""
    keys = list(keys)
    if not keys:
        return {}
    with ThreadPoolExecutor(max_workers=min(len(keys), AT_ONCE)) as pool:
        return dict(zip(keys, pool.map(call, keys), strict=True))
