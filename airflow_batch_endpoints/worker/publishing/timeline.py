"""Noting who worked on which shard when, before the working state that tells it is removed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.jobs.timeline import (
    MAX_INCARNATIONS,
    MAX_SPANS,
    Attempts,
    Incarnation,
    ShardSpan,
    Timeline,
    condense,
    incarnation,
    instance_of,
)
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.worker.ledger import Commit

MAX_LOST = 200
"""Lost attempts whose claims are read for whose they were."""


def note(store: Store, spec: JobSpec, commits: Sequence[Commit]) -> Timeline:
    """Return what the working state tells of who did what.

    Listings give the times; whose a shard is, its commit tells.

    :param commits: one of every shard, by number.
    """
    attempts = Attempts.listed(
        claims=store.times(layout.CLAIMS),
        commits=store.times(layout.COMMITS),
        instances=store.times(layout.INSTANCES),
    )
    makers = _makers(store, attempts, commits)
    spans = attempts.spans(makers, None)
    starts = _incarnations(attempts, commits, spans)
    drawn = condense(spans)
    return Timeline(
        timeline_version=1,
        job=spec.job,
        endpoint=spec.endpoint,
        instances=starts[:MAX_INCARNATIONS],
        spans=drawn[-MAX_SPANS:],
        is_cut=len(starts) > MAX_INCARNATIONS or len(drawn) > MAX_SPANS,
    )


def _makers(store: Store, attempts: Attempts, commits: Sequence[Commit]) -> dict[tuple[int, int], str]:
    found = {(commit.shard, attempts.latest.get(commit.shard, 1)): commit.incarnation for commit in commits}
    lost = sorted(attempts.claims.keys() - found.keys())[:MAX_LOST]
    for shard, attempt in lost:
        maker = incarnation(store.read(layout.claim(shard, attempt)) or b"")
        if maker is not None:
            found[shard, attempt] = maker
    return found


def _incarnations(attempts: Attempts, commits: Sequence[Commit], spans: Sequence[ShardSpan]) -> list[Incarnation]:
    done: dict[str, Counter[str]] = defaultdict(Counter)
    for commit in commits:
        done[commit.incarnation].update(shards=1, succeeded=commit.succeeded, failed=commit.failed, rows=commit.rows)
    lost = {span.incarnation for span in spans if span.state == "lost" and span.incarnation is not None}
    found = [
        Incarnation(
            instance=instance_of(name),
            incarnation=name,
            state="lost" if name in lost else "finished",
            seen=attempts.beats.get(name),
            shards_done=done[name]["shards"],
            succeeded=done[name]["succeeded"],
            failed=done[name]["failed"],
            rows=done[name]["rows"],
        )
        for name in {*attempts.beats, *done, *lost}
    ]
    return sorted(found, key=lambda one: (one.instance, one.incarnation))
