"""Timelines of big jobs: as few bars as it takes, and nothing that one looks for is lost among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.jobs.timeline import MAX_SPANS, ShardSpan, condense

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(shard: int, begin: float, end: float, incarnation: str = "0-a", state: str = "committed") -> ShardSpan:
    return ShardSpan.model_validate(
        {"shard": shard, "incarnation": incarnation, "state": state, "started": at(begin), "ended": at(end)}
    )


def test_small_jobs_stay_as_they_are() -> None:
    spans = [span(shard, shard, shard + 1) for shard in range(MAX_SPANS)]
    assert condense(spans) == spans


def test_slots_of_one_instance_are_told_apart() -> None:
    spans = [span(shard, shard // 2 + shard % 2 / 4, shard // 2 + 1) for shard in range(40)]
    found = [(one.shard, one.shards) for one in condense(spans, 10)]
    assert found == [(shard, 4) for start in range(0, 40, 8) for shard in (start, start + 1)]


def test_a_big_job_has_a_bound() -> None:
    spans = sorted(
        (span(shard, shard // 100, shard // 100 + 1, f"{shard % 100}-a") for shard in range(50_000)),
        key=lambda one: one.started or START,
    )
    lost = [span(7, 1, 2, "3-a", "lost"), span(9, 400, 500, "5-a", "held")]
    found = condense([*spans, *lost])
    assert len(found) <= MAX_SPANS
    assert sum(one.shards for one in found) == 50_002
    assert all(one in found for one in lost)
    assert max(len(one.model_dump_json(exclude_defaults=True)) for one in found) < 250, (
        "times the bound: half a megabyte"
    )


attempts = st.tuples(
    st.integers(0, 50),
    st.integers(0, 20),
    st.sampled_from(["0-a", "0-b", "1-a"]),
    st.sampled_from(["committed", "lost"]),
)


@given(st.lists(attempts, max_size=60), st.integers(1, 30))
def test_nothing_is_lost_and_nobody_works_when_he_did_not(drawn: list[tuple[int, int, str, str]], most: int) -> None:
    spans = sorted(
        (span(shard, begin, begin + length, who, state) for shard, (begin, length, who, state) in enumerate(drawn)),
        key=lambda one: (one.started or START, one.shard),
    )
    found = condense(spans, most)
    assert sum(one.shards for one in found) == len(spans)
    assert [one for one in found if one.state == "lost"] == [one for one in spans if one.state == "lost"]
    for who in ("0-a", "0-b", "1-a"):
        before = [one for one in spans if one.incarnation == who]
        after = [one for one in found if one.incarnation == who]
        assert sum(one.shards for one in after) == len(before)
        if before:
            assert min(str(one.started) for one in after) == min(str(one.started) for one in before)
            assert max(str(one.ended) for one in after) == max(str(one.ended) for one in before)
