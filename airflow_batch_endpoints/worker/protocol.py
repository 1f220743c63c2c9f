"""The protocol of an instance: which shard to take, what to do when scoring fails, when to stop.

A single-threaded state machine. It is given its clock, its ledger and its slots, and does nothing else with the
world, so that a simulator can run this very code under any schedule of delays, losses and crashes.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from airflow_batch_endpoints.worker.ledger import Commit, Heartbeat, Ledger, ProcessIdentity, Stop
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

DEATHS_TO_CONDEMN = 3
"""An item becomes a dead letter when it has killed its process this often with nothing else in it."""
INIT_FAILURES_TO_GIVE_UP = 2
"""``init()`` failing in this many fresh slots is the fault of the deployment, not of the machine."""

SEAL_TRIES = 3
"""Storing a shard is tried this often, on top of the retries of every request to the store."""
LONGEST_WAIT = 1.0
"""Seconds for which slots are waited for before looking up."""
SHORTEST_PAUSE, PAUSE_GROWTH = 0.05, 1.5
"""Seconds per instance before the second look at what the others do, and how much longer every further wait is."""
CLAIMS_PER_LOOK = 4
"""Shards an instance claims between two looks at what the others have claimed."""
LOOKS_PER_LIST = 4
"""Looks of an idle instance at what is done, for one at all claims."""
WATCHERS = 64
"""An idle instance watches this many of the shards others have in hand, divided by the instances, and at least two."""


class Clock(Protocol):
    """The time on this host."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow, since some moment."""
        ...


class Slots(Protocol):
    """Scoring processes. A slot that died is replaced by itself when it is given work again."""

    count: int

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        """Give work to an idle slot; its end is an event."""
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


@dataclass(frozen=True)
class Rules:
    """The settings of a job that decide how an instance behaves."""

    instance: int
    instances: int
    listed: int
    """Items in the plan."""
    max_retries: int
    timeout: float
    """Seconds for one ``run()``."""
    init_timeout: float
    """Seconds for a slot to be ready."""
    error_threshold: int | str
    lease: float
    """Seconds without a new heartbeat after which an incarnation counts as dead, in a job of up to 16 instances."""
    static: bool = False

    @property
    def heartbeat(self) -> float:
        """Seconds between heartbeats: the more instances, the longer, so that the store hears about the same."""
        return self.lease / 4 * min(max(1.0, self.instances / 16), 4.0)

    @property
    def shortest_pause(self) -> float:
        """Seconds between the first looks of an instance with nothing left to claim; at most a heartbeat."""
        return min(SHORTEST_PAUSE * self.instances, self.heartbeat)

    @property
    def silence(self) -> float:
        """Seconds without a new heartbeat after which an incarnation counts as dead: at least a lease."""
        return max(self.lease, 2.5 * self.heartbeat)


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

    def attempts_at(self, batch: Batch) -> int:
        """How often a batch has been tried, by whomever, with the try that is about to begin."""
        return self.attempt + batch.tries + batch.deaths

    @property
    def items(self) -> int:
        """Items of the shard."""
        return sum(len(mini_batch.items) for mini_batch in self.shard.mini_batches)


@dataclass(frozen=True)
class Observed:
    """Another incarnation, and since when (on our clock) its heartbeat has not changed."""

    heartbeat: Heartbeat
    since: float


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
        self._is_gone = is_gone

        self.progress = Progress(shards=len(plan.shard_bytes))
        self._in_hand: dict[int, InHand] = {}
        self._unclaimed = self._claiming_order()
        self._rank = {shard: rank for rank, shard in enumerate(self._unclaimed)}
        self._attempts: dict[int, int] = {}
        self._claims_since_look = 0
        self._looks_since_list = 0
        self._committed: set[int] = set()
        self._others: dict[str, Observed] = {}
        self._owners: dict[tuple[int, int], str] = {}
        self._is_over = False
        self._init_failures = 0
        self._sequence = 0
        self._next_beat = 0.0
        self._next_look = 0.0
        self._pause = self._rules.shortest_pause
        self._should_stop = False

    def _claiming_order(self) -> list[int]:
        """Shards, largest first: what is started last should be what takes the shortest."""
        sizes = self._plan.shard_bytes
        order = sorted(range(len(sizes)), key=lambda number: (-int(sizes[number]), number))
        if self._rules.static:
            order = [number for number in order if number % self._rules.instances == self._rules.instance]
        return order

    def request_stop(self) -> None:
        """Ask for an orderly end at the next step; safe to call from a signal handler."""
        self._should_stop = True

    def run(self) -> Progress:
        """Work until every shard of the job is committed, by whomever.

        :raises StoppedError: after :meth:`request_stop`; every claim is released.
        :raises ThresholdExceededError: too many items failed, here or elsewhere.
        :raises ModelError: the model or script cannot be loaded, here or elsewhere.
        """
        try:
            self._begin()
            while not self._is_finished():
                self._step()
        except BatchEndpointsError as error:
            if not error.retryable:
                self._leave("stopped")
                if not isinstance(error, StoppedError):
                    self._ledger.stop(Stop.of(error))
            raise
        self._leave("finished")
        return self.progress

    def _begin(self) -> None:
        """See how far the job is, and tell that we are there."""
        self._committed = self._ledger.committed()
        if not self._rules.static:
            self._look_at_claims()
        self._beat()
        self._check_orders()
        self._check_threshold()

    def _is_finished(self) -> bool:
        if self._is_over:
            return True
        if self._rules.static:
            return not self._unclaimed and not self._in_hand
        return len(self._committed) == self.progress.shards and not self._in_hand

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
            due.append(self._next_look)
        # A request to stop must be noticed soon, though a signal does not end the wait.
        return min(max(0.0, min(due) - self._clock.monotonic()), LONGEST_WAIT)

    # -- taking shards ------------------------------------------------------------------------------------------

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
            hand = self._claim_fresh() or self._take_over(now)
            if hand is None:
                return
            self._in_hand[slot] = hand
            self._advance(slot)
            if hand.attempt > 1:
                # Somebody failed at it before: should it take us along, the others must know what we ran.
                self._beat()

    def _claim_fresh(self) -> InHand | None:
        while self._unclaimed:
            if self._claims_since_look >= CLAIMS_PER_LOOK:
                self._look_at_claims()
                continue
            shard = self._unclaimed.pop(self._next_unclaimed())
            if shard in self._committed:
                continue
            if self._ledger.claim(shard, 1):
                self._claims_since_look += not self._rules.static and self._rules.instances > 1
                return self._take(shard, 1, alone=False)
            self._look_at_claims()
        return None

    def _next_unclaimed(self) -> int:
        """Return the place, among the shards believed unclaimed, of the one to claim next.

        Every instance has shards that the others leave to it: of each round of as many shards as there are instances, one.
        So all go through the list at one pace, largest first, and seldom want the same shard. What a busy or dead instance
        has left behind is picked up right after a look at the claims, by whoever is more than a round ahead of it.
        """
        rules = self._rules
        if rules.static or rules.instances == 1:
            return 0
        own = next(
            (n for n, shard in enumerate(self._unclaimed) if self._rank[shard] % rules.instances == rules.instance),
            None,
        )
        if own is None:
            behind = len(self._unclaimed)
        elif self._claims_since_look:
            return own
        else:
            reached = self._rank[self._unclaimed[own]] - rules.instances
            behind = bisect_left(self._unclaimed, reached, key=self._rank.__getitem__)
        return rules.instance * behind // rules.instances if behind else own or 0

    def _look_at_claims(self) -> None:
        """See what is claimed, by whomever, and whether there is an order to stop."""
        claims = self._ledger.claims()
        self._claims_since_look = 0
        self._looks_since_list = 0
        self._attempts = claims
        self._unclaimed = [shard for shard in self._unclaimed if shard not in claims]
        if self._ledger.has_stop:
            self._check_orders()

    def _take(self, shard: int, attempt: int, *, alone: bool) -> InHand:
        return InHand.take(self._plan.shard(shard), attempt, alone=alone, now=self._clock.monotonic())

    def _take_over(self, now: float) -> InHand | None:
        """Take a shard whose owner is dead or has let go. Suspects are taken only when all else rests."""
        if self._rules.static or now < self._next_look:
            return None
        self._committed |= self._ledger.committed()
        watched = self._watched()
        self._looks_since_list += 1
        if self._looks_since_list >= LOOKS_PER_LIST or not all(shard in self._attempts for shard in watched):
            self._look_at_claims()
        # Most waits are short (the others are about to commit their last shards), a few last a lease.
        self._next_look = now + self._pause
        self._pause = min(self._pause * PAUSE_GROWTH, self._rules.heartbeat)
        suspects = []
        for shard in watched:
            attempt = self._attempts.get(shard, 0)
            verdict = self._fate_of_owner(shard, attempt, now) if attempt else self._fate_of_unclaimed()
            if verdict == "suspect":
                suspects.append(shard)
            elif verdict != "alive" and (hand := self._claim_again(shard, alone=False)):
                return hand
        return self._claim_again(suspects[0], alone=True) if suspects and not self._in_hand else None

    def _claim_again(self, shard: int, *, alone: bool) -> InHand | None:
        """Make the next attempt at a shard, unless somebody is faster."""
        attempt = self._attempts.get(shard, 0) + 1
        self._next_look, self._pause = self._clock.monotonic(), self._rules.shortest_pause
        if not self._ledger.claim(shard, attempt):
            self._attempts.pop(shard, None)  # somebody else's now; the next look tells whose
            return None
        self._attempts[shard] = attempt
        if alone:
            log.warning("shard %d may have killed its worker %d times: its items run alone", shard, attempt - 1)
        return self._take(shard, attempt, alone=alone)

    def _watched(self) -> list[int]:
        """Return the shards not done whose owners this instance keeps an eye on: each one a few, all together all of them."""
        mine = {hand.shard.number for hand in self._in_hand.values()}
        total = self.progress.shards
        left = [shard for shard in range(total) if shard not in self._committed and shard not in mine]
        start = self._rules.instance * total // self._rules.instances
        left.sort(key=lambda shard: (shard - start) % total)
        return left[: max(2, WATCHERS // self._rules.instances)]

    def _fate_of_unclaimed(self) -> str:
        """A shard that everybody took for claimed is not: either a claim was refused wrongly, or all is tidied up."""
        self._is_over = self._is_over or self._ledger.is_removed()
        return "alive" if self._is_over else "released"

    def _fate_of_owner(self, shard: int, attempt: int, now: float) -> str:
        """Tell whether the last claimant of a shard is ``alive``, has ``released`` it, is ``dead`` or ``suspect``."""
        owner = self._owners.get((shard, attempt)) or self._ledger.claimant(shard, attempt)
        if owner is None:
            return "alive"
        if owner == self._ledger.incarnation:
            # Our claim went through, its answer was lost and the error ended the attempt: nobody works on it.
            return "released"
        is_new = (shard, attempt) not in self._owners
        self._owners[shard, attempt] = owner
        observed = self._observe(owner, now, is_new=is_new)
        if observed.heartbeat.has_ended:
            return "released"
        if not self._is_dead(observed, now):
            return "alive"
        if shard in observed.heartbeat.in_progress or attempt >= DEATHS_TO_CONDEMN:
            return "suspect"
        return "dead"

    def _observe(self, owner: str, now: float, *, is_new: bool) -> Observed:
        """Read another incarnation's heartbeat.

        :param is_new: it has claimed something since we last looked, which is a sign of life as good as a heartbeat.
        """
        before = self._others.get(owner)
        # It claims before its first heartbeat.
        heartbeat = self._ledger.heartbeat(owner) or Heartbeat(incarnation=owner, sequence=-1)
        if before is None or is_new or before.heartbeat.sequence != heartbeat.sequence:
            self._others[owner] = Observed(heartbeat, now)
        return self._others[owner]

    def _is_dead(self, observed: Observed, now: float) -> bool:
        process = observed.heartbeat.process
        return (process is not None and self._is_gone(process)) or now - observed.since > self._rules.silence

    # -- working on a shard -------------------------------------------------------------------------------------

    def _advance(self, slot: int) -> None:
        """Give a slot the next thing to do for the shard in its hand."""
        hand = self._in_hand[slot]
        while hand.todo:
            hand.batch = hand.todo.popleft()
            if hand.alone and self._deaths_alone(hand.batch.items[0]) >= DEATHS_TO_CONDEMN:
                self._condemn(hand, "WorkerKilled", "killed its worker three times while it ran alone")
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
        hand.batch = hand.deadline = None
        if hand.alone:
            self._beat()  # whatever ends us from here on, no item is to blame
        self._slots.submit(slot, self._seal(hand))

    def _seal(self, hand: InHand) -> SealWork:
        scored = sorted(hand.scored, key=lambda pair: pair[0].items[0].number)
        failures = sorted(hand.failures, key=lambda pair: pair[0].items[0].number)
        return SealWork(
            hand.shard.number,
            scored=tuple(result for _, result in scored),
            failures=tuple((batch.mini_batch, batch.tries, failure) for batch, failure in failures),
        )

    def _handle(self, event: Event) -> None:
        hand = self._in_hand.get(event.slot)
        if hand is None:
            return
        match event:
            case Started():
                if hand.batch is not None and not hand.is_started:
                    hand.is_started = True
                    hand.deadline = self._clock.monotonic() + self._rules.timeout
                self._init_failures = 0
            case Scored():
                self._keep(hand, event)
                self._advance(event.slot)
            case Sealed():
                self._commit(event.slot, hand, event)
            case Failed(failure=failure):
                self._try_again(event.slot, hand, failure)
            case Died(reason=reason):
                self._bury(event.slot, hand, reason)
            case InitFailed(failure=failure):
                self._init_failed(event.slot, hand, failure)

    def _keep(self, hand: InHand, scored: Scored) -> None:
        assert hand.batch is not None  # noqa: S101 - a slot scores only what it was given
        hand.scored.append((hand.batch, scored))
        hand.failures += [(hand.batch, failure) for failure in scored.failures]

    def _try_again(self, slot: int, hand: InHand, failure: Failure) -> None:
        """A ``run()`` failed: retry it whole, then bisect to the guilty items."""
        batch = hand.batch
        if batch is None:
            self._seal_again(slot, hand, failure.summary)
            return
        tries = batch.tries + 1
        names = batch.items[0].label if len(batch.items) == 1 else f"{len(batch.items)} items"
        log.warning("mini-batch %d (%s), try %d: %s", batch.mini_batch, names, tries, failure.summary)
        if tries <= self._rules.max_retries:
            hand.todo.appendleft(Batch(batch.mini_batch, batch.items, tries, batch.deaths))
        elif len(batch.items) > 1:
            hand.todo.extendleft(reversed(batch.halves(self._rules.max_retries)))
        else:
            hand.batch = Batch(batch.mini_batch, batch.items, tries, batch.deaths)
            self._condemn(hand, failure.error_type, failure.message, failure.traceback)
        self._advance(slot)

    def _bury(self, slot: int, hand: InHand, reason: str) -> None:
        """A slot died while we live: whatever it was scoring did it, or somebody from outside."""
        batch = hand.batch
        if batch is None:
            self._seal_again(slot, hand, reason)
            return
        if not hand.is_started:
            self._init_failed(slot, hand, Failure("WorkerDied", f"the process {reason} before it was ready"))
            return
        deaths = batch.deaths + 1
        log.warning("slot %d died in mini-batch %d: %s", slot, batch.mini_batch, reason)
        if len(batch.items) > 1 and deaths > self._rules.max_retries:
            hand.todo.extendleft(reversed(batch.halves(self._rules.max_retries)))
        elif len(batch.items) == 1 and deaths >= max(DEATHS_TO_CONDEMN, self._rules.max_retries + 1):
            hand.batch = Batch(batch.mini_batch, batch.items, batch.tries + deaths, deaths)
            self._condemn(hand, "WorkerKilled", f"killed its process {deaths} times: {reason}")
        else:
            hand.todo.appendleft(Batch(batch.mini_batch, batch.items, batch.tries, deaths))
        self._advance(slot)

    def _seal_again(self, slot: int, hand: InHand, reason: str) -> None:
        hand.seal_failures += 1
        if hand.seal_failures >= SEAL_TRIES:
            raise InfrastructureError(f"the results of shard {hand.shard.number} cannot be stored: {reason}")
        log.warning("shard %d could not be stored, trying again: %s", hand.shard.number, reason)
        self._advance(slot)

    def _init_failed(self, slot: int, hand: InHand, failure: Failure) -> None:
        self._init_failures += 1
        if self._init_failures >= INIT_FAILURES_TO_GIVE_UP:
            if failure.error_type == ModelError.__name__:
                raise ModelError(failure.message)
            detail = f"\n{failure.traceback}" if failure.traceback else ""
            raise ModelError(f"the scoring script cannot be loaded: {failure.error_type}: {failure.message}{detail}")
        log.warning("slot %d could not start, trying once more: %s", slot, failure.summary)
        if hand.batch is not None:
            hand.todo.appendleft(hand.batch)
        self._advance(slot)

    def _kill_overdue(self, now: float) -> None:
        if any(hand.deadline is not None and now >= hand.deadline for hand in self._in_hand.values()):
            # We may be late ourselves (a stopped process, a slow store): what was done in time counts.
            self._hear(0.0)
        for slot, hand in list(self._in_hand.items()):
            if hand.deadline is None or now < hand.deadline:
                continue
            self._slots.kill(slot)
            hand.deadline = None
            if hand.is_started:
                limit = f"retry_settings.timeout = {self._rules.timeout:g} s"
                self._try_again(slot, hand, Failure("TimeoutError", f"run() took longer than {limit}"))
            else:
                limit = f"{self._rules.init_timeout:g} s"
                self._init_failed(slot, hand, Failure("TimeoutError", f"loading the model took longer than {limit}"))

    def _condemn(self, hand: InHand, error_type: str, message: str, traceback: str = "") -> None:
        assert hand.batch is not None  # noqa: S101 - callers condemn what they have in hand
        item = hand.batch.items[0]
        log.warning("dead letter: %s: %s: %s", item.label, error_type, message)
        hand.failures.append((hand.batch, Failure(error_type, message, traceback, item=item.path, range=item.range)))

    def _deaths_alone(self, item: Item) -> int:
        """How many incarnations fell silent while they ran this item with nothing beside it.

        Whoever tried it before us is dead, or we would not be trying it: attempts at a shard come one after the other.
        """
        return sum(
            heartbeat.alone == item.number and not heartbeat.has_ended
            for heartbeat in self._ledger.heartbeats().values()
        )

    def _commit(self, slot: int, hand: InHand, sealed: Sealed) -> None:
        del self._in_hand[slot]
        failed = sum(failure.count for _, failure in hand.failures)
        commit = Commit(
            shard=hand.shard.number,
            incarnation=self._ledger.incarnation,
            items=hand.items,
            succeeded=hand.items - failed,
            failed=failed,
            rows=sum(scored.rows for _, scored in hand.scored),
            part=sealed.part,
            dead=sealed.dead,
            files=sealed.files,
            bytes=sealed.bytes,
            sha256=sealed.sha256,
            schemas=sealed.schemas,
        )
        if not self._ledger.commit(commit):
            log.info("shard %d was committed by another instance meanwhile; ours does not count", commit.shard)
            self._committed.add(commit.shard)
            return
        self._committed.add(commit.shard)
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
        self._check_orders()

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
        for slot in list(self._in_hand):
            self._slots.kill(slot)
        self._in_hand.clear()
        self._sequence += 1
        self._ledger.beat(self._heartbeat(state))

    def _check_orders(self) -> None:
        stop = self._ledger.stopped()
        if stop is not None:
            raise stop.error()

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
