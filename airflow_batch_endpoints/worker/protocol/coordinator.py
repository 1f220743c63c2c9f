"""One incarnation of an instance at work: shards in hand, slots that score them, and what the others are told."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_batch_endpoints.exceptions import (
    BatchEndpointsError,
    InfrastructureError,
    ModelError,
    StoppedError,
    ThresholdExceededError,
)
from airflow_batch_endpoints.jobs.threshold import IGNORE_FAILURES, is_threshold_exceeded
from airflow_batch_endpoints.planning.items import Item, Shard
from airflow_batch_endpoints.worker.ledger import Heartbeat, Ledger, ProcessIdentity, Stop
from airflow_batch_endpoints.worker.protocol.hand import InHand
from airflow_batch_endpoints.worker.protocol.rules import ATTEMPTS_AT_OUTAGES, DEATHS_TO_CONDEMN, Clock, Rules
from airflow_batch_endpoints.worker.protocol.shards import Shards
from airflow_batch_endpoints.worker.slots.events import (
    Died,
    Event,
    Failed,
    Failure,
    InitFailed,
    Scored,
    ScoreWork,
    Sealed,
    SealWork,
    Started,
)

log = logging.getLogger(__name__)

INIT_FAILURES_TO_GIVE_UP = 2
"""``init()`` failing in one way in this many fresh slots is the fault of the deployment, not of the machine."""
LONGEST_WAIT = 1.0
"""Seconds for which slots are waited for before looking up."""


class Slots(Protocol):
    """Scoring processes. A slot that died is replaced by itself when it is given work again."""

    count: int

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        """Give work to an idle slot; its end is an event."""
        ...

    def is_frozen(self, slot: int) -> bool:
        """Tell whether somebody has stopped a slot's process, so that it cannot go on."""
        ...

    def kill(self, slot: int) -> None:
        """End a slot's process and forget its work; no event follows."""
        ...

    def wait(self, seconds: float) -> Sequence[Event]:
        """Wait at most so long for something to happen, and return what did."""
        ...


class PlanView(Protocol):
    """What the protocol reads of a plan."""

    @property
    def shard_bytes(self) -> Sequence[int]:
        """Bytes of each shard."""
        ...

    def shard(self, number: int) -> Shard:
        """Return one shard with its items."""
        ...


@dataclass
class Progress:
    """What this instance has committed."""

    shards: int
    shards_done: int = 0
    items: int = 0
    succeeded: int = 0
    failed: int = 0
    rows: int = 0


class Coordinator:
    """One incarnation of an instance at work.

    :param plan: the shards of the job.
    :param is_gone: tells of a process of this host that it does not exist any more; saves waiting out its lease.
    :param report: called with what was committed so far, after every commit.
    """

    def __init__(
        self,
        *,
        plan: PlanView,
        ledger: Ledger,
        slots: Slots,
        clock: Clock,
        rules: Rules,
        report: Callable[[Progress], None],
        process: ProcessIdentity | None = None,
        is_gone: Callable[[ProcessIdentity], bool] = lambda _: False,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._slots = slots
        self._clock = clock
        self._rules = rules
        self._report = report
        self._process = process
        self._shards = Shards(plan.shard_bytes, ledger=ledger, clock=clock, rules=rules, is_gone=is_gone)

        self.progress = Progress(shards=len(plan.shard_bytes))
        self._in_hand: dict[int, InHand] = {}
        self._init_failures: Counter[str] = Counter()
        self._sequence = 0
        self._next_beat = 0.0
        self._should_stop = False

    def request_stop(self) -> None:
        """Ask for an orderly end at the next step; safe to call from a signal handler."""
        self._should_stop = True

    def run(self) -> Progress:
        """Work until every shard of the job is committed, by whomever, or in hands that enough others keep an eye on.

        :raises StoppedError: after :meth:`request_stop`; every claim is released.
        :raises ThresholdExceededError: too many items failed, here or elsewhere.
        :raises ModelError: the model or script cannot be loaded, here or elsewhere.
        :raises InfrastructureError: the store of the job, or that of its inputs, does not answer.
        """
        try:
            self._begin()
            while not self._is_finished():
                self._step()
        except InfrastructureError:
            # What we had in hand is free for others at once, if the store takes our word for it.
            with contextlib.suppress(InfrastructureError):
                self._leave("stopped")
            raise
        except BatchEndpointsError as error:
            self._leave("stopped")
            if not isinstance(error, StoppedError):
                self._ledger.stop(Stop.of(error))
            raise
        self._leave("finished")
        return self.progress

    def _begin(self) -> None:
        """See how far the job is, and tell that we are there."""
        self._shards.look(self._clock.monotonic())
        self._beat()
        if self._rules.static:
            self._ledger.check_stop()  # the others saw it beside the claims
        if self._shards.committed:
            self._check_threshold()

    def _is_finished(self) -> bool:
        return self._shards.is_over or ((self._shards.are_done or self._shards.is_spare) and not self._in_hand)

    def _step(self) -> None:
        if self._should_stop:
            raise StoppedError("asked to stop; claims are released and another instance takes them over")
        now = self._clock.monotonic()
        if now >= self._next_beat:
            self._beat_if_needed(now)
        self._kill_overdue(now)
        self._assign_idle_slots(now)
        if not self._is_finished():
            self._hear(self._patience())

    def _hear(self, seconds: float) -> None:
        for event in self._slots.wait(seconds):
            self._handle(event)

    def _patience(self) -> float:
        """Seconds until something must be done even if nothing happens."""
        due = [self._next_beat, *(hand.deadline for hand in self._in_hand.values() if hand.deadline is not None)]
        if len(self._in_hand) < self._slots.count and not self._rules.static and not self._runs_alone:
            due.append(self._shards.next_look)
        # A request to stop must be noticed soon, though a signal does not end the wait.
        return min(max(0.0, min(due) - self._clock.monotonic()), LONGEST_WAIT)

    # -- giving work to slots -----------------------------------------------------------------------------------

    @property
    def _runs_alone(self) -> bool:
        """Whether a suspect is being tried; nothing else is taken meanwhile."""
        return any(hand.alone for hand in self._in_hand.values())

    def _assign_idle_slots(self, now: float) -> None:
        for slot in range(self._slots.count):
            if self._runs_alone:
                return
            if slot in self._in_hand:
                continue
            claimed = self._shards.take({hand.shard.number for hand in self._in_hand.values()}, now)
            if claimed is None:
                return
            shard = self._plan.shard(claimed.shard)
            self._in_hand[slot] = InHand.take(shard, claimed.attempt, alone=claimed.alone, now=self._clock.monotonic())
            self._advance(slot)
            if claimed.attempt > 1:
                # Somebody failed at it before: should it take us along, the others must know what we ran.
                self._beat()

    def _advance(self, slot: int) -> None:
        """Give a slot the next thing to do for the shard in its hand."""
        hand = self._in_hand[slot]
        while hand.todo:
            hand.batch = hand.todo.popleft()
            if hand.alone and self._deaths_alone(hand.batch.items[0]) >= DEATHS_TO_CONDEMN:
                hand.condemn("WorkerKilled", "killed its worker three times while it ran alone")
                continue
            if hand.alone:
                self._beat()
            # Until the slot says that it started, it may be starting a process and running ``init()``.
            hand.deadline, hand.is_started = self._clock.monotonic() + self._rules.init_timeout, False
            self._slots.submit(
                slot,
                ScoreWork(hand.shard.number, hand.batch.mini_batch, hand.batch.items, hand.attempts_at(hand.batch)),
            )
            return
        hand.batch, hand.deadline = None, self._clock.monotonic() + self._rules.timeout
        if hand.alone:
            self._beat()  # whatever ends us from here on, no item is to blame
        self._slots.submit(slot, hand.seal())

    def _deaths_alone(self, item: Item) -> int:
        """How many incarnations fell silent while they ran this item with nothing beside it.

        Whoever tried it before us is dead, or we would not be trying it: attempts at a shard come one after the other.
        """
        return sum(
            heartbeat.alone == item.number and not heartbeat.has_ended
            for heartbeat in self._ledger.heartbeats().values()
        )

    # -- hearing from slots -------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        hand = self._in_hand.get(event.slot)
        if hand is None:
            return
        match event:
            case Started():
                if hand.batch is not None and not hand.is_started:
                    hand.is_started = True
                    hand.deadline = self._clock.monotonic() + self._rules.timeout
                self._init_failures.clear()
                return
            case Sealed():
                self._commit(event.slot, hand, event)
                return
            case Scored():
                hand.keep(event)
            case Failed(failure=failure):
                self._failed(hand, failure)
            case Died(reason=reason):
                self._died(event.slot, hand, reason)
            case InitFailed(failure=failure):
                self._init_failed(event.slot, hand, failure)
        self._advance(event.slot)

    def _failed(self, hand: InHand, failure: Failure) -> None:
        if hand.batch is None:
            hand.seal_failed(failure.summary)
            return
        is_outage = failure.error_type == InfrastructureError.__name__ and hand.attempt < ATTEMPTS_AT_OUTAGES
        if is_outage and hand.batch.tries >= self._rules.max_retries:
            # Every item would fail now. Later, here or elsewhere, most will not; those that still do are to blame.
            raise InfrastructureError(failure.message)
        hand.fail(failure, self._rules.max_retries)

    def _died(self, slot: int, hand: InHand, reason: str) -> None:
        if hand.batch is None:
            hand.seal_failed(reason)
        elif not hand.is_started:
            self._init_failed(slot, hand, Failure("WorkerDied", f"the process {reason} before it was ready"))
        else:
            log.warning("slot %d died in mini-batch %d: %s", slot, hand.batch.mini_batch, reason)
            hand.bury(reason, self._rules.max_retries)

    def _init_failed(self, slot: int, hand: InHand, failure: Failure) -> None:
        self._init_failures[failure.error_type] += 1
        if self._init_failures[failure.error_type] >= INIT_FAILURES_TO_GIVE_UP:
            if failure.error_type == ModelError.__name__:
                raise ModelError(failure.message)
            detail = f"\n{failure.traceback}" if failure.traceback else ""
            raise ModelError(f"the scoring script cannot be loaded: {failure.error_type}: {failure.message}{detail}")
        log.warning("slot %d could not start, trying once more: %s", slot, failure.summary)
        hand.put_back()

    def _kill_overdue(self, now: float) -> None:
        if any(hand.deadline is not None and now >= hand.deadline for hand in self._in_hand.values()):
            # We may be late ourselves (a stopped process, a slow store): what was done in time counts.
            self._hear(0.0)
        for slot, hand in list(self._in_hand.items()):
            if hand.deadline is None or now < hand.deadline:
                continue
            is_frozen = self._slots.is_frozen(slot)
            if hand.batch is None and not is_frozen:
                hand.deadline = now + self._rules.timeout  # storing takes as long as it takes
                continue
            self._slots.kill(slot)
            hand.deadline = None
            if is_frozen:
                self._died(slot, hand, "was stopped by somebody until its time was up")
            elif hand.is_started:
                limit = f"retry_settings.timeout = {self._rules.timeout:g} s"
                self._failed(hand, Failure("TimeoutError", f"run() took longer than {limit}"))
            else:
                limit = f"{self._rules.init_timeout:g} s"
                self._init_failed(slot, hand, Failure("TimeoutError", f"loading the model took longer than {limit}"))
            self._advance(slot)

    def _commit(self, slot: int, hand: InHand, sealed: Sealed) -> None:
        del self._in_hand[slot]
        commit = hand.commit(self._ledger.job, self._ledger.incarnation, sealed)
        is_first = self._ledger.commit(commit)
        self._shards.committed.add(commit.shard)
        if not is_first:
            log.info("shard %d was committed by another instance meanwhile; ours does not count", commit.shard)
            return
        self.progress.shards_done += 1
        self.progress.items += commit.items
        self.progress.succeeded += commit.succeeded
        self.progress.failed += commit.failed
        self.progress.rows += commit.rows
        self._report(self.progress)
        if commit.failed:
            # Whoever adds a failure counts; the others learn of a threshold crossed from the order to stop.
            self._ledger.note_failures(commit.shard, commit.failed)
            self._check_threshold()

    # -- telling and being told ---------------------------------------------------------------------------------

    def _beat_if_needed(self, now: float) -> None:
        """What is done within one heartbeat needs none: a claim is as good a sign of life."""
        oldest = min((hand.since for hand in self._in_hand.values()), default=now)
        if now - oldest < self._rules.heartbeat and not self._rules.static:
            self._next_beat = oldest + self._rules.heartbeat
            return
        self._beat()
        self._shards.heed_stop(now)

    def _beat(self) -> None:
        self._sequence += 1
        self._next_beat = self._clock.monotonic() + self._rules.heartbeat
        self._ledger.beat(self._heartbeat("running"))

    def _heartbeat(self, state: str) -> Heartbeat:
        alone = [hand.batch.items[0].number for hand in self._in_hand.values() if hand.alone and hand.batch]
        progress = self.progress
        return Heartbeat(
            incarnation=self._ledger.incarnation,
            sequence=self._sequence,
            state=state,
            in_progress=tuple(hand.shard.number for hand in self._in_hand.values() if hand.batch),
            alone=alone[0] if alone else None,
            process=self._process,
            shards_done=progress.shards_done,
            items=progress.items,
            succeeded=progress.succeeded,
            failed=progress.failed,
            rows=progress.rows,
        )

    def _leave(self, state: str) -> None:
        for slot in self._in_hand:
            self._slots.kill(slot)
        self._sequence += 1
        self._ledger.beat(self._heartbeat(state))
        self._in_hand.clear()

    def _check_threshold(self) -> None:
        threshold = self._rules.error_threshold
        if threshold == IGNORE_FAILURES:
            return
        failed = self._ledger.failed()
        if is_threshold_exceeded(threshold, failed=failed, listed=self._rules.listed):
            raise ThresholdExceededError(
                f"{failed} of {self._rules.listed} items failed, error_threshold allows {threshold}: the job is "
                "stopped. Mend the input or the script, or raise error_threshold, and start a new job."
            )
