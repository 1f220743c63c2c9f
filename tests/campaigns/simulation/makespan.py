"""How well the real claim code shares out a big job, and what it asks of the store."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from airflow_batch_endpoints.exceptions import StoppedError
from airflow_batch_endpoints.planning.items import Item, MiniBatch, Shard
from airflow_batch_endpoints.worker.ledger import Ledger
from airflow_batch_endpoints.worker.protocol import coordinator as protocol
from airflow_batch_endpoints.worker.protocol.coordinator import Coordinator
from airflow_batch_endpoints.worker.protocol.rules import Rules
from airflow_batch_endpoints.worker.slots.events import Event, Scored, ScoreWork, Sealed, SealWork, Started
from tests.campaigns.simulation.store import Bucket, Connection, StoreFaults
from tests.campaigns.simulation.world import Process, World


@dataclass(frozen=True)
class Load:
    """A job and the machines it runs on: the assumptions of the target."""

    workers: int = 128
    shards: int = 10_000
    mean_seconds: float = 60.0
    sigma: float = 0.6
    straggler_rate: float = 0.01
    straggler_factor: float = 20.0
    evictions_per_hour: float = 0.05
    grace_seconds: float = 30.0
    restart_seconds: float = 60.0
    lease: float = 60.0
    request_seconds: tuple[float, float] = (0.01, 0.03)


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    ratio: float
    """Seconds until the last instance ended, over the ideal: the work spread evenly, or the longest shard."""
    other_requests: float
    """Per shard, all requests but the two writes that it needs: the claim and the commit that succeeded."""
    list_pages: float
    """Per shard, further pages of lists that are longer than one."""
    evictions: int
    kinds: dict[str, float]
    """Per shard, what the other requests were."""


class _Plan:
    def __init__(self, sizes: Sequence[int]) -> None:
        self.shard_bytes = sizes

    def shard(self, number: int) -> Shard:
        item = Item(number, f"{number}.csv", f"s3://b/{number}.csv", self.shard_bytes[number])
        return Shard(number, item.size, (MiniBatch(number, (item,)),))


class _Slot:
    """One slot: it scores for as long as the shard takes."""

    count = 1

    def __init__(self, process: Process, seconds: Sequence[float]) -> None:
        self._process = process
        self._seconds = seconds
        self._event: Event | None = None
        self._due = 0.0

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        if isinstance(work, SealWork):
            self._event, self._due = Sealed(slot, part="p", dead=None), self._process.world.now
        else:
            self._event = Scored(slot, stream=None, schema=None, rows=1)
            self._due = self._process.world.now + self._seconds[work.shard]

    def is_frozen(self, slot: int) -> bool:
        return False

    def kill(self, slot: int) -> None:
        self._event = None

    def wait(self, seconds: float) -> Sequence[Event]:
        self._process.step()
        world = self._process.world
        if self._event is None or self._due > world.now + seconds:
            world.sleep(max(seconds, 0.001))  # time passes, however little is asked for
            return [Started(0)]
        world.sleep(max(0.0, self._due - world.now))
        if self._due > world.now:  # woken by a signal
            return [Started(0)]
        event, self._event = self._event, None
        return [Started(0), event]


def run(load: Load, seed: int) -> Outcome:
    """Simulate one job."""
    dice = random.Random(seed)
    mu = math.log(load.mean_seconds) - load.sigma**2 / 2
    usual = [dice.lognormvariate(mu, load.sigma) for _ in range(load.shards)]
    seconds = [u * (load.straggler_factor if dice.random() < load.straggler_rate else 1) for u in usual]
    world, bucket = World(), Bucket()
    plan = _Plan([int(u * 1_000_000) for u in usual])
    ended: list[float] = []
    evictions = 0

    def work(instance: int) -> None:
        nonlocal evictions
        attempt = 0
        fate = random.Random(f"{seed} {instance}")  # of its own: what is compared are rules, not luck
        while True:
            attempt += 1
            process = Process(
                world, f"score {instance}", partial(_score, instance=instance, attempt=attempt), lambda *_: None
            )
            lives = fate.expovariate(load.evictions_per_hour / 3600)
            if process.wait(seconds=lives) == 0:
                ended.append(world.now)
                return
            evictions += 1
            # What Kubernetes does: an order to stop, then a while to obey it.
            process.request_stop()
            world.schedule(process.main, 0.0)
            if process.wait(seconds=load.grace_seconds) is None:
                process.kill()
            world.sleep(load.restart_seconds)

    def _score(me: Process, instance: int, attempt: int) -> int:
        store = Connection(world, bucket, me, StoreFaults(load.request_seconds), dice)
        rules = Rules(
            instance=instance, instances=load.workers, listed=load.shards, max_retries=1, timeout=1e6, init_timeout=1e6,
            error_threshold=0, lease=load.lease,
        )  # fmt: skip
        ledger = Ledger(store, job="job", incarnation=f"{instance}-{attempt}", submission="0")
        coordinator = Coordinator(
            plan=plan, ledger=ledger, slots=_Slot(me, seconds), clock=me, rules=rules, report=lambda _: None
        )
        me.request_stop = coordinator.request_stop
        try:
            coordinator.run()
        except StoppedError as error:
            return error.exit_code
        return 0

    for instance in range(load.workers):
        world.start(lambda instance=instance: work(instance))
    with patch.object(protocol, "LONGEST_WAIT", 1e6):  # a signal ends the wait here
        world.run(events=50_000_000)
    assert len([key for key in bucket.objects if "/commits/" in key]) == load.shards
    ideal = max(sum(seconds) / load.workers, max(seconds))
    requests = bucket.requests
    kinds = {
        "lost claims and commits": requests["lost"],
        "second claims": requests["created"] - 2 * load.shards,
        "lists": requests["list"],
        "reads": requests["read"],
        "heartbeats": requests["write"],
    }
    return Outcome(
        ratio=max(ended) / ideal,
        other_requests=sum(kinds.values()) / load.shards,
        list_pages=bucket.requests["further pages"] / load.shards,
        evictions=evictions,
        kinds={name: count / load.shards for name, count in kinds.items()},
    )


def describe(load: Load, outcomes: Sequence[Outcome]) -> str:
    """Say what came out of several seeds."""
    ratios = sorted(outcome.ratio for outcome in outcomes)
    others = sorted(outcome.other_requests for outcome in outcomes)
    p90 = ratios[min(len(ratios) - 1, math.ceil(0.9 * len(ratios)) - 1)]
    middle = outcomes[0].kinds
    kinds = ", ".join(f"{name} {statistics.median(o.kinds[name] for o in outcomes):.2f}" for name in middle)
    return (
        f"{load.workers} workers, {load.shards} shards, {len(ratios)} seeds: makespan / ideal median "
        f"{statistics.median(ratios):.3f}, p90 {p90:.3f}, worst {ratios[-1]:.3f}; other requests per shard median "
        f"{statistics.median(others):.2f}, worst {others[-1]:.2f} ({kinds}; further list pages "
        f"{statistics.median(o.list_pages for o in outcomes):.2f})"
    )
