"""Which shards are done, in other hands, left or lost, and the claiming of one after the other."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from airflow_batch_endpoints.worker.ledger import Heartbeat, Ledger, ProcessIdentity
from airflow_batch_endpoints.worker.protocol.rules import DEATHS_TO_CONDEMN, Clock, Rules

log = logging.getLogger(__name__)

PAUSE_GROWTH = 2.0
"""How much longer every further wait of an instance with nothing left to claim is."""
CLAIMS_PER_LOOK = 16
"""Shards an instance claims between two looks at what the others have claimed."""
BEATS_PER_STOP = 4
"""Heartbeats of a busy instance for one look for an order to stop."""
LOOKS_PER_LIST = 4
"""Looks of an idle instance at what is done, for one at all claims."""
WATCHED = 64
"""An idle instance watches this many of the shards others have in hand, divided by the instances that wait, and at least two."""
LEAST_SPARES = 4
"""So many instances wait for the last shards of the others, however few those are."""

Fate = Literal["alive", "released", "dead", "suspect"]


@dataclass(frozen=True)
class Claimed:
    """The right to work on a shard."""

    shard: int
    attempt: int
    alone: bool = False
    """Whether it may be what killed its workers, and has to run with nothing beside it."""


@dataclass(frozen=True)
class _Observed:
    """Another incarnation, and since when (on our clock) its heartbeat has not changed."""

    heartbeat: Heartbeat
    since: float
    next_beat: float
    """When to read it again: sooner it would say the same."""


class Shards:
    """The shards of a job as one incarnation sees them.

    :param sizes: bytes of each shard.
    :param is_gone: tells of a process of this host that it does not exist any more; saves waiting out its lease.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        ledger: Ledger,
        clock: Clock,
        rules: Rules,
        is_gone: Callable[[ProcessIdentity], bool],
    ) -> None:
        self._total = len(sizes)
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._is_gone = is_gone

        self.committed: set[int] = set()
        self._unclaimed = self._claiming_order(sizes)
        self._rank = {shard: rank for rank, shard in enumerate(self._unclaimed)}
        self._attempts: dict[int, int] = {}
        self._claims_since_look = 0
        # Of the shards believed unclaimed the first so many: their instances had left them behind at the last look.
        self._behind = 0
        self._looks_since_list = 0
        self._others: dict[str, _Observed] = {}
        self._owners: dict[tuple[int, int], str] = {}
        self._inherited: list[int] = []
        self.is_over = False
        """Whether the job was found published and tidied up: whatever is in hand is too late."""
        self.is_spare = False
        """Whether this instance has nothing to do, and enough others wait for what might be left behind."""
        self._has_waited = False
        self._pause = rules.shortest_pause
        self.next_look = 0.0
        """When to look again, with nothing left to claim."""
        self._stop_looked_for = 0.0

    def _claiming_order(self, sizes: Sequence[int]) -> list[int]:
        """Shards, largest first: what is started last should be what takes the shortest."""
        order = sorted(range(len(sizes)), key=lambda number: (-int(sizes[number]), number))
        if self._rules.static:
            order = [number for number in order if number % self._rules.instances == self._rules.instance]
        return order

    @property
    def are_done(self) -> bool:
        """Whether nothing is left to take: all is committed, by whomever, or (static) all of ours is taken."""
        return not self._unclaimed if self._rules.static else len(self.committed) == self._total

    def look(self, now: float) -> None:
        """See how far the job is, and what those before us in our place were doing when they ended."""
        if not self._rules.static:
            self._look_at_claims()
        # What nobody has claimed, nobody has done.
        if self._rules.static or self._attempts:
            self.committed = self._ledger.committed()
        if self._attempts:
            before = self._ledger.heartbeats(self._rules.instance).values()
            self._inherited = sorted({n for last in before for n in last.in_progress if n in self._attempts})
            for shard in self._inherited:
                self._fate_of_owner(shard, self._attempts[shard], now)  # from now on it is watched

    def take(self, mine: Collection[int], now: float) -> Claimed | None:
        """Claim a shard; ``None`` when there is none to be had now.

        :param mine: the shards this instance is working on.
        """
        return self._inherit(mine, now) or self._claim_fresh() or self._take_over(mine, now)

    def heed_stop(self, now: float) -> None:
        """Obey an order to stop, which is read unless it would have been seen beside the claims not long ago."""
        if now - self._stop_looked_for >= BEATS_PER_STOP * self._rules.heartbeat:
            self._stop_looked_for = now
            self._ledger.check_stop()

    # -- what nobody has had ----------------------------------------------------------------------------------------

    def _claim_fresh(self) -> Claimed | None:
        while self._unclaimed:
            if self._claims_since_look >= CLAIMS_PER_LOOK:
                self._look_at_claims()
                continue
            shard = self._unclaimed.pop(self._next_unclaimed())
            if shard in self.committed:
                continue
            if self._ledger.claim(shard, 1):
                self._claims_since_look += not self._rules.static and self._rules.instances > 1
                return Claimed(shard, 1)
            self._look_at_claims()
        return None

    def _next_unclaimed(self) -> int:
        """Return the place, among the shards believed unclaimed, of the one to claim next.

        Every instance has shards that the others leave to it: of each round of as many shards as there are instances, one.
        So all go through the list at one pace, largest first, and seldom want the same shard. What a busy or dead instance
        had left behind by more than a round, when the claims were last looked at, falls to others, for every round to another;
        and right after a look anybody picks up what is still there.
        """
        rules = self._rules
        if rules.static or rules.instances == 1:
            return 0
        ranks = [self._rank[shard] for shard in self._unclaimed]
        own = next((n for n, rank in enumerate(ranks) if rank % rules.instances == rules.instance), None)
        if own is not None and self._claims_since_look:
            deputed = next((n for n in range(self._behind) if self._deputy(ranks[n]) == rules.instance), None)
            self._behind -= deputed is not None
            return own if deputed is None else deputed
        behind = len(ranks) if own is None else bisect_left(ranks, ranks[own] - rules.instances)
        self._behind = max(0, behind - 1)
        return rules.instance * behind // rules.instances if behind else own or 0

    def _deputy(self, rank: int) -> int:
        """Return the instance that takes a shard which the one it was left to has left behind."""
        return (rank + rank // self._rules.instances + 1) % self._rules.instances

    def _look_at_claims(self) -> None:
        """See what is claimed, by whomever, and whether there is an order to stop."""
        claims = self._ledger.claims()
        self._stop_looked_for = self._clock.monotonic()
        self._claims_since_look = 0
        self._looks_since_list = 0
        self._attempts = claims
        self._unclaimed = [shard for shard in self._unclaimed if shard not in claims]
        if self._ledger.has_stop:
            self._ledger.check_stop()

    # -- what others have had ---------------------------------------------------------------------------------------

    def _inherit(self, mine: Collection[int], now: float) -> Claimed | None:
        """Take over what those before us in our place were running, as soon as they are known to have let go or to be dead.

        Left until all else is done, a shard that takes long would make the job as much longer.
        """
        for shard in list(self._inherited):
            attempt = self._attempts.get(shard)
            if shard in self.committed or shard in mine or attempt is None:
                self._inherited.remove(shard)
                continue
            fate = self._fate_of_owner(shard, attempt, now)
            if fate == "alive" or (fate == "suspect" and mine):
                continue
            self._inherited.remove(shard)
            self.committed |= self._ledger.committed()
            if shard not in self.committed and (claimed := self._claim_again(shard, alone=fate == "suspect")):
                return claimed
        return None

    def _take_over(self, mine: Collection[int], now: float) -> Claimed | None:
        """Take a shard whose owner is dead or has let go. Suspects are taken only when all else rests."""
        if self._rules.static or now < self.next_look:
            return None
        self.committed |= self._ledger.committed()
        if not (mine or self._inherited) and self._rules.instance >= self._spares_needed():
            self.is_spare = True
            return None
        if not self._has_waited:
            # The others are about to commit their last shards; whose those are need not be asked yet.
            self._has_waited, self.next_look = True, now + self._pause
            return None
        watched = self._watched(mine)
        self._looks_since_list += 1
        if self._looks_since_list >= LOOKS_PER_LIST or not all(shard in self._attempts for shard in watched):
            self._look_at_claims()
        # Most waits are short (the others are about to commit their last shards), a few last a lease.
        self.next_look = now + self._pause
        self._pause = min(self._pause * PAUSE_GROWTH, self._rules.longest_pause)
        suspects = []
        for shard in watched:
            attempt = self._attempts.get(shard, 0)
            fate = self._fate_of_owner(shard, attempt, now) if attempt else self._fate_of_unclaimed()
            if fate == "suspect":
                suspects.append(shard)
            elif fate != "alive" and (claimed := self._claim_again(shard, alone=False)):
                return claimed
        return self._claim_again(suspects[0], alone=True) if suspects and not mine else None

    def _spares_needed(self) -> int:
        """Return how many instances, by their numbers, wait for the shards in other hands.

        A few more than such shards, for they may be the ones in whose hands those are. The others go: while the last shards take
        long, their machines are free, and the store is not asked by all of them how far those are.
        """
        return LEAST_SPARES + self._total - len(self.committed)

    def _claim_again(self, shard: int, *, alone: bool) -> Claimed | None:
        """Make the next attempt at a shard, unless somebody is faster."""
        attempt = self._attempts.get(shard, 0) + 1
        self.next_look, self._pause = self._clock.monotonic(), self._rules.shortest_pause
        if not self._ledger.claim(shard, attempt):
            self._attempts.pop(shard, None)  # somebody else's now; the next look tells whose
            return None
        self._attempts[shard] = attempt
        if alone:
            log.warning("shard %d may have killed its worker %d times: its items run alone", shard, attempt - 1)
        return Claimed(shard, attempt, alone)

    def _watched(self, mine: Collection[int]) -> list[int]:
        """Return the shards not done whose owners this instance keeps an eye on: each one a few, all together all of them."""
        left = [shard for shard in range(self._total) if shard not in self.committed and shard not in mine]
        watchers = min(self._rules.instances, self._spares_needed())
        start = self._rules.instance * len(left) // watchers
        return [*left[start:], *left[:start]][: max(2, WATCHED // watchers)]

    def _fate_of_unclaimed(self) -> Fate:
        """A shard that everybody took for claimed is not: either a claim was refused wrongly, or all is tidied up."""
        self.is_over = self.is_over or self._ledger.is_removed()
        return "alive" if self.is_over else "released"

    def _fate_of_owner(self, shard: int, attempt: int, now: float) -> Fate:
        """Tell what has become of the last claimant of a shard."""
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

    def _observe(self, owner: str, now: float, *, is_new: bool) -> _Observed:
        """Read another incarnation's heartbeat.

        :param is_new: it has claimed something since we last looked, which is a sign of life as good as a heartbeat.
        """
        before = self._others.get(owner)
        if before is not None and not is_new and now < before.next_beat:
            return before
        # It claims before its first heartbeat.
        heartbeat = self._ledger.heartbeat(owner) or Heartbeat(incarnation=owner, sequence=-1)
        is_alive = before is None or is_new or before.heartbeat.sequence != heartbeat.sequence
        since = now if before is None or is_alive else before.since
        self._others[owner] = _Observed(heartbeat, since, now + self._rules.heartbeat)
        return self._others[owner]

    def _is_dead(self, observed: _Observed, now: float) -> bool:
        process = observed.heartbeat.process
        return (process is not None and self._is_gone(process)) or now - observed.since > self._rules.silence
