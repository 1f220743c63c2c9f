"""A shard in hand: its mini-batches are scored, tried again, bisected to the guilty items, and stored together."""

from __future__ import annotations

import logging
import sys
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.planning.items import Item, Shard
from airflow_batch_endpoints.worker.ledger import Commit
from airflow_batch_endpoints.worker.protocol.rules import DEATHS_TO_CONDEMN
from airflow_batch_endpoints.worker.slots.events import Failure, Scored, Sealed, SealWork

log = logging.getLogger(__name__)

SEAL_TRIES = 3
"""Storing a shard is tried this often, on top of the retries of every request to the store."""


@dataclass(frozen=True)
class Batch:
    """Items for one ``run()``: a mini-batch, or what bisection made of it."""

    mini_batch: int
    items: tuple[Item, ...]
    tries: int = 0
    deaths: int = 0

    def halves(self, spent: int) -> tuple[Batch, Batch]:
        """Split; each half has one try left, for the whole has had its retries."""
        middle = len(self.items) // 2
        return (
            Batch(self.mini_batch, self.items[:middle], tries=spent),
            Batch(self.mini_batch, self.items[middle:], tries=spent),
        )


@dataclass
class InHand:
    """A shard this instance is working on."""

    shard: Shard
    attempt: int
    alone: bool
    since: float
    """When it was claimed."""
    todo: deque[Batch]
    scored: list[tuple[Batch, Scored]] = field(default_factory=list)
    failures: list[tuple[Batch, Failure]] = field(default_factory=list)
    batch: Batch | None = None
    """What a slot is scoring; ``None`` when all is scored, and is being stored."""
    deaths: Counter[int] = field(default_factory=Counter)
    """How many incarnations died of each item before, by its number; known of shards that are tried alone."""
    seal_failures: int = 0
    deadline: float | None = None
    is_started: bool = False
    """Whether the slot has begun with the batch; until then it may be loading."""

    @classmethod
    def take(cls, shard: Shard, attempt: int, *, alone: bool, now: float) -> InHand:
        """Start on a shard; alone means one item at a time."""
        batches = [Batch(mini_batch.number, mini_batch.items) for mini_batch in shard.mini_batches]
        if alone:
            batches = [Batch(batch.mini_batch, (item,)) for batch in batches for item in batch.items]
        return cls(shard, attempt, alone, now, deque(batches))

    @property
    def items(self) -> int:
        """Items of the shard."""
        return sum(len(mini_batch.items) for mini_batch in self.shard.mini_batches)

    def attempts_at(self, batch: Batch) -> int:
        """How often a batch has been tried, by whomever, with the try that is about to begin."""
        return self.attempt + batch.tries + batch.deaths

    # -- how a batch ends -------------------------------------------------------------------------------------------

    def keep(self, scored: Scored) -> None:
        """Keep what the batch gave."""
        batch = self._current()
        self.failures += [(batch, failure) for failure in scored.failures]
        # Hundreds of columns take 100 KB, and most mini-batches have the same.
        schema = scored.schema and sys.intern(scored.schema)
        self.scored.append((batch, replace(scored, schema=schema, failures=())))

    def put_back(self) -> None:
        """Put the batch back, untried: its slot could not start."""
        if self.batch is not None:
            self.todo.appendleft(self.batch)

    def fail(self, failure: Failure, max_retries: int) -> None:
        """``run()`` failed: the batch is tried again whole, then bisected to the guilty items."""
        batch = self._current()
        tries = batch.tries + 1
        names = batch.items[0].label if len(batch.items) == 1 else f"{len(batch.items)} items"
        log.warning("mini-batch %d (%s), try %d: %s", batch.mini_batch, names, tries, failure.summary)
        if tries <= max_retries:
            self.todo.appendleft(Batch(batch.mini_batch, batch.items, tries, batch.deaths))
        elif len(batch.items) > 1:
            self.todo.extendleft(reversed(batch.halves(max_retries)))
        else:
            self.batch = Batch(batch.mini_batch, batch.items, tries, batch.deaths)
            self.condemn(failure.error_type, failure.message, failure.traceback)

    def bury(self, reason: str, max_retries: int) -> None:
        """The slot died of the batch, while we live: whatever it was scoring did it, or somebody from outside."""
        batch = self._current()
        deaths = batch.deaths + 1
        if len(batch.items) > 1 and deaths > max_retries:
            self.todo.extendleft(reversed(batch.halves(max_retries)))
        elif len(batch.items) == 1 and deaths >= max(DEATHS_TO_CONDEMN, max_retries + 1):
            self.batch = Batch(batch.mini_batch, batch.items, batch.tries + deaths, deaths)
            self.condemn("WorkerKilled", f"killed its process {deaths} times: {reason}")
        else:
            self.todo.appendleft(Batch(batch.mini_batch, batch.items, batch.tries, deaths))

    def condemn(self, error_type: str, message: str, traceback: str = "") -> None:
        """Make a dead letter of the one item of the batch."""
        batch = self._current()
        item = batch.items[0]
        log.warning("dead letter: %s: %s: %s", item.label, error_type, message)
        self.failures.append((batch, Failure(error_type, message, traceback, item=item.path, range=item.range)))

    def _current(self) -> Batch:
        assert self.batch is not None  # noqa: S101 - a slot scores only what it was given
        return self.batch

    # -- how the shard ends -----------------------------------------------------------------------------------------

    def seal(self) -> SealWork:
        """Return what is to be stored, in the plan's order; of schemas the first of each kind."""
        scored = sorted(self.scored, key=lambda pair: pair[0].items[0].number)
        failures = sorted(self.failures, key=lambda pair: pair[0].items[0].number)
        first = {result.schema: batch for batch, result in reversed(scored)}
        return SealWork(
            self.shard.number,
            scored=tuple(
                result if first[result.schema] is batch else replace(result, schema=None) for batch, result in scored
            ),
            failures=tuple((batch.mini_batch, batch.tries, failure) for batch, failure in failures),
        )

    def seal_failed(self, reason: str) -> None:
        """It could not be stored. :raises InfrastructureError: too often."""
        self.seal_failures += 1
        if self.seal_failures >= SEAL_TRIES:
            raise InfrastructureError(f"the results of shard {self.shard.number} cannot be stored: {reason}")
        log.warning("shard %d could not be stored, trying again: %s", self.shard.number, reason)

    def commit(self, job: str, incarnation: str, sealed: Sealed) -> Commit:
        """Return what to commit."""
        failed = sum(failure.count for _, failure in self.failures)
        return Commit(
            job=job,
            shard=self.shard.number,
            incarnation=incarnation,
            items=self.items,
            succeeded=self.items - failed,
            failed=failed,
            rows=sum(scored.rows for _, scored in self.scored),
            part=sealed.part,
            dead=sealed.dead,
            files=sealed.files,
            bytes=sealed.bytes,
            sha256=sealed.sha256,
            schemas=sealed.schemas,
        )
