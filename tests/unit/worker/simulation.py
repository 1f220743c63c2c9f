"""A world for the real protocol: a store in memory, slots that do what the items say, a clock that jumps."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_batch_endpoints.planning.plan import Item, MiniBatch, Shard
from airflow_batch_endpoints.worker.ledger import Ledger
from airflow_batch_endpoints.worker.protocol.coordinator import Coordinator, Progress
from airflow_batch_endpoints.worker.protocol.rules import Rules
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


class Crash(BaseException):
    """The whole instance is gone, with no chance to say so."""


class MemoryStore:
    """A store as the protocol sees it; ``before`` may raise, to crash at any request."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.before: Callable[[str, str], None] = lambda operation, key: None
        self.after: Callable[[str, str], None] = lambda operation, key: None

    def _do(self, operation: str, key: str) -> None:
        self.before(operation, key)

    def create(self, key: str, content: bytes) -> bool:
        self.before("create", key)
        won = self.objects.setdefault(key, content) == content
        self.after("create", key)
        return won

    def write(self, key: str, content: bytes) -> None:
        self.before("write", key)
        self.objects[key] = content
        self.after("write", key)

    def read(self, key: str) -> bytes | None:
        self.before("read", key)
        return self.objects.get(key)

    def list(self, prefix: str) -> list[str]:
        self.before("list", prefix)
        return sorted(key for key in self.objects if key.rpartition("/")[0] == prefix)

    def delete(self, key: str) -> None:
        for name in [name for name in self.objects if name == key or name.startswith(f"{key}/")]:
            del self.objects[name]

    @contextmanager
    def writer(self, key: str) -> Iterator[io.BytesIO]:
        buffer = io.BytesIO()
        yield buffer
        self.write(key, buffer.getvalue())

    @contextmanager
    def reader(self, key: str) -> Iterator[io.BytesIO]:
        content = self.read(key)
        if content is None:
            raise FileNotFoundError(key)
        yield io.BytesIO(content)

    def walk(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.objects if key.startswith(f"{prefix}/"))


@dataclass
class VirtualClock:
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class World:
    """What the items do when they are scored, and what became of them."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)
    behaviour: dict[int, str] = field(default_factory=dict)
    """Item -> ``ok`` (default), ``raise``, ``die`` (its slot), ``hang``, ``freeze``, ``outage`` (it cannot be
    fetched), ``crash`` (the whole instance)."""
    runs: list[tuple[int, ...]] = field(default_factory=list)
    sealed: dict[str, list[int]] = field(default_factory=dict)
    waits: int = 0


class SimulatedSlots:
    def __init__(self, world: World, count: int, init_failures: int = 0) -> None:
        self.count = count
        self._world = world
        self._work: dict[int, ScoreWork | SealWork] = {}
        self._init_failures = init_failures
        self.killed: list[int] = []
        self.freezes_in_seals = 0

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        assert slot not in self._work, "a slot does one thing at a time"
        self._work[slot] = work

    def is_frozen(self, slot: int) -> bool:
        work = self._work.get(slot)
        if isinstance(work, SealWork):
            return self.freezes_in_seals > 0
        return work is not None and any(self._does(item.number) == "freeze" for item in work.items)

    def kill(self, slot: int) -> None:
        if isinstance(self._work.pop(slot, None), SealWork):
            self.freezes_in_seals -= 1
        self.killed.append(slot)

    def wait(self, seconds: float) -> Sequence[Event]:
        self._world.waits += 1
        assert self._world.waits < 3_000, "the protocol goes round in circles"
        for slot, work in list(self._work.items()):
            if isinstance(work, SealWork):
                if self.freezes_in_seals:
                    continue
                del self._work[slot]
                return [self._seal(slot, work)]
            events = self._score(slot, work)
            if events:
                del self._work[slot]
                self._world.clock.now += 0.5
                return events
        self._world.clock.now += max(seconds, 0.01)
        return [Started(slot) for slot in self._work]

    def _score(self, slot: int, work: ScoreWork) -> list[Event]:
        if self._init_failures:
            self._init_failures -= 1
            return [InitFailed(slot, Failure("ValueError", "no model"))]
        items = tuple(item.number for item in work.items)
        self._world.runs.append(items)
        does = {self._does(item) for item in items}
        if "crash" in does:
            raise Crash
        if "die" in does:
            return [Started(slot), Died(slot, "was killed by SIGSEGV")]
        if does & {"hang", "freeze"}:
            return []
        if "outage" in does:
            return [Started(slot), Failed(slot, Failure("InfrastructureError", "the store of the input is away"))]
        if "raise" in does:
            return [Started(slot), Failed(slot, Failure("ValueError", "bad item"))]
        stream = ",".join(map(str, items))
        return [Started(slot), Scored(slot, stream=stream, schema="s", rows=len(items))]

    def _does(self, item: int) -> str:
        return self._world.behaviour.get(item, "ok")

    def _seal(self, slot: int, work: SealWork) -> Sealed:
        part = f"part-{len(self._world.sealed)}"
        rows = [int(item) for scored in work.scored for item in str(scored.stream).split(",")]
        self._world.sealed[part] = rows
        dead = f"dead-{work.shard}" if work.failures else None
        return Sealed(slot, part=part, dead=dead)


class SimulatedPlan:
    """Shards of mini-batches of items, all of the given sizes."""

    def __init__(self, shards: Sequence[Sequence[int]]) -> None:
        self._shards, item, batch = [], 0, 0
        for number, sizes in enumerate(shards):
            batches = []
            for size in sizes:
                items = tuple(
                    Item(number=n, path=f"{n}.csv", uri=f"file:///{n}.csv", size=1) for n in range(item, item + size)
                )
                batches.append(MiniBatch(number=batch, items=items))
                item, batch = item + size, batch + 1
            self._shards.append(Shard(number=number, bytes=sum(sizes), mini_batches=tuple(batches)))
        self.items = item
        self.shard_bytes = [shard.bytes for shard in self._shards]

    def shard(self, number: int) -> Shard:
        return self._shards[number]


def coordinator(
    world: World,
    plan: SimulatedPlan,
    *,
    incarnation: str = "0-a",
    slots: SimulatedSlots | None = None,
    reports: list[Progress] | None = None,
    **rules: object,
) -> Coordinator:
    defaults: dict[str, object] = {
        "instance": 0, "instances": 1, "listed": plan.items, "max_retries": 1, "timeout": 30.0, "init_timeout": 600.0,
        "error_threshold": -1, "lease": 60.0,
    }  # fmt: skip
    return Coordinator(
        plan=plan,
        ledger=Ledger(
            world.store,
            job="job",
            incarnation=incarnation,
            submission="first",
            exclusive=not rules.get("static", False),
        ),
        slots=slots or SimulatedSlots(world, 2),
        clock=world.clock,
        rules=Rules(**{**defaults, **rules}),  # type: ignore[arg-type]
        report=(reports if reports is not None else []).append,
    )
