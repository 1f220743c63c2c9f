"""Who worked on which shard when, as the names and times of objects in a job's directory tell it.

A claim is created when a shard is begun, a commit when it is done, and an incarnation is named by its instance. So two listings
give every attempt with its times, by one clock, that of the storage.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

MAX_SPANS = 2000
MAX_INCARNATIONS = 500
_INCARNATION = re.compile(rb"[0-9]{1,5}-[0-9a-f]{1,32}")
Times = Mapping[str, datetime | None]
"""Keys below a folder, and when each was last written."""


class ShardSpan(BaseModel):
    """An attempt at a shard, by the clock of the storage; in a big job several that one slot made one after the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    shard: int
    """The first of them."""
    shards: int = 1
    """How many shards these are."""
    attempt: int = 1
    instance: int | None = None
    incarnation: str | None = None
    state: Literal["committed", "held", "lost"]
    """Its result counts; it is under way; or somebody else has taken the shard over, or the job has ended before."""
    started: datetime | None = None
    """``None`` where shards are assigned and not claimed (``distribution: static``)."""
    ended: datetime | None = None


class Incarnation(BaseModel):
    """One start of an instance, as the job's directory knows it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: int
    incarnation: str
    """What tells this start of the instance from others."""
    state: str
    """``running``; ``stopped`` or ``finished``: it has let go of everything; of a published job also ``lost``: others did what it
    held."""
    seen: datetime | None = None
    """When it last gave a sign of life. It gives some only while it holds a shard for long."""
    working_on: list[int] = []
    """Shards that it holds."""
    alone: int | None = None
    """The item that it tries with nothing else beside it, because that may be what kills workers."""
    shards_done: int = 0
    succeeded: int = 0
    """Items of the shards that it committed."""
    failed: int = 0
    rows: int = 0


class Timeline(BaseModel):
    """What stays of a job's working state once it is published. Its size has a bound, however many shards there were."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    timeline_version: Literal[1]
    job: str
    endpoint: str
    instances: list[Incarnation] = []
    spans: list[ShardSpan] = []
    is_cut: bool = False
    """Whether there were more spans or incarnations than these."""


@dataclass(frozen=True)
class Attempts:
    """Every attempt at a shard, and when it began and ended."""

    claims: Mapping[tuple[int, int], datetime | None]
    """By shard and attempt."""
    commits: Mapping[int, datetime | None]
    beats: Times
    """Incarnations, and when they last gave a sign of life."""
    latest: Mapping[int, int]
    """The last attempt at every shard."""

    @classmethod
    def listed(cls, *, claims: Times, commits: Times, instances: Times) -> Attempts:
        """Understand what was listed; names that are none of ours are passed over.

        Where shards are assigned and not claimed, a commit is the only sign of an attempt.
        """
        claimed = {numbers: time for key, time in claims.items() if (numbers := two_numbers(key)) is not None}
        committed = {int(stem): time for key, time in commits.items() if (stem := _stem(key)).isdecimal()}
        latest = dict.fromkeys(committed, 1)
        for shard, attempt in claimed:
            latest[shard] = max(latest.get(shard, 0), attempt)
        beats = {known: time for key, time in instances.items() if (known := incarnation(_stem(key).encode()))}
        return cls(claimed, committed, beats, latest)

    def all(self) -> set[tuple[int, int]]:
        """Return shard and attempt of each."""
        return {*self.claims, *((shard, attempt) for shard, attempt in self.latest.items() if shard in self.commits)}

    def is_committed(self, shard: int, attempt: int) -> bool:
        """Whether an attempt is the one that counts."""
        return shard in self.commits and attempt == self.latest[shard]

    def spans(self, makers: Mapping[tuple[int, int], str], has_let_go: Collection[str] | None) -> list[ShardSpan]:
        """Return every attempt with its times, oldest first.

        :param makers: whose attempts they are, as far as that is known.
        :param has_let_go: incarnations that hold nothing any more; ``None`` if that is true of all.
        """
        found = [self._span(shard, attempt, makers.get((shard, attempt)), has_let_go) for shard, attempt in self.all()]
        return sorted(found, key=lambda span: (_begin(span), span.shard, span.attempt))

    def _span(self, shard: int, attempt: int, maker: str | None, has_let_go: Collection[str] | None) -> ShardSpan:
        is_last, is_committed = attempt == self.latest[shard], self.is_committed(shard, attempt)
        is_held = is_last and not is_committed and has_let_go is not None and maker not in has_let_go
        if is_committed:
            ended = self.commits[shard]
        elif is_last:
            ended = None if is_held else self.beats.get(maker or "")
        else:
            ended = self.claims.get((shard, attempt + 1))
        return ShardSpan(
            shard=shard,
            attempt=attempt,
            instance=None if maker is None else instance_of(maker),
            incarnation=maker,
            state="committed" if is_committed else "held" if is_held else "lost",
            started=self.claims.get((shard, attempt)),
            ended=ended,
        )


def incarnation(name: bytes) -> str | None:
    """Return the name of an incarnation, if it is one: whoever may write to the directory could have put a link there."""
    return name.decode() if _INCARNATION.fullmatch(name) else None


def instance_of(incarnation: str) -> int:
    """Return which instance an incarnation is one of."""
    return int(incarnation.partition("-")[0])


def two_numbers(key: str) -> tuple[int, int] | None:
    """Return the two numbers that the name of a claim, or of a count of failures, is made of."""
    first, _, second = key.rsplit("/", 1)[-1].partition(".")
    return (int(first), int(second)) if first.isdecimal() and second.isdecimal() else None


def _stem(key: str) -> str:
    return key.rsplit("/", 1)[-1].removesuffix(".json")


def order(time: datetime | None) -> float:
    """Return what to sort times by; those that are not known come first."""
    return time.timestamp() if time is not None else 0.0


def condense(spans: Sequence[ShardSpan], most: int = MAX_SPANS) -> list[ShardSpan]:
    """Draw together the shards that a slot committed one after the other, as few as it takes.

    What was lost or is under way stays as it is: that is what one looks for.

    :param spans: oldest first.
    :param most: how many are left, if that is enough for what stays and one for each slot; else more.
    """
    together = 1
    while len(found := _drawn_together(spans, together)) > most and together < len(spans):
        together *= 2
    return found


def _drawn_together(spans: Sequence[ShardSpan], together: int) -> list[ShardSpan]:
    if together == 1:
        return list(spans)
    alone = [span for span in spans if span.state != "committed" or span.ended is None]
    groups: list[list[ShardSpan]] = []
    for slot in _by_slot(span for span in spans if span.state == "committed" and span.ended is not None):
        groups += (slot[start : start + together] for start in range(0, len(slot), together))
    drawn = (
        group[0].model_copy(update={"shards": len(group), "ended": max(span.ended for span in group if span.ended)})
        for group in groups
    )
    return sorted([*alone, *drawn], key=_begin)


def _by_slot(spans: Iterable[ShardSpan]) -> list[list[ShardSpan]]:
    """Tell apart what one incarnation did at the same time: what follows in a list began after what is before it had ended."""
    slots: dict[str | None, list[list[ShardSpan]]] = {}
    for span in spans:
        known = slots.setdefault(span.incarnation, [])
        free = next((slot for slot in known if order(slot[-1].ended) <= _begin(span)), None)
        if free is None:
            known.append([span])
        else:
            free.append(span)
    return [slot for known in slots.values() for slot in known]


def _begin(span: ShardSpan) -> float:
    return order(span.started or span.ended)
