"""What a job is like and what goes wrong in it: drawn from a seed, and written out in full when it fails."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.campaigns.simulation.slots import BEHAVIOURS

LEASE = 60.0


@dataclass(frozen=True)
class Hit:
    """Something that happens to a process at one of its steps."""

    process: int
    """In the order of their starts, over the whole life of the job."""
    step: int
    kind: str
    """``kill``, ``terminate`` (SIGTERM), ``pause`` (silent for longer than a lease, then it goes on), ``kill-slot``,
    ``freeze-slot``."""


@dataclass(frozen=True)
class Schedule:
    """One job and its fate."""

    seed: int
    items: int = 6
    mini_batch_size: int = 2
    shards_per_slot: int = 2
    """Bounds the number of shards, so that shards of several mini-batches occur."""
    instances: int = 2
    slots: int = 1
    max_retries: int = 1
    error_threshold: int | str = -1
    behaviour: dict[int, str] = field(default_factory=dict)
    durations: dict[int, float] = field(default_factory=dict)
    hits: tuple[Hit, ...] = ()
    pauses: float = 200.0
    store_rate: float = 0.0
    store_failures: int = 0
    request_seconds: tuple[float, float] = (0.005, 0.05)
    one_host: bool = False
    """Whether instances can tell of each other that a process is gone."""
    twins: tuple[tuple[float, int], ...] = ()
    """At these seconds a second process starts as that instance, and nobody knows of the other."""
    planners: int = 1
    publishers: int = 1
    cancel_after: float | None = None
    """Seconds until the first submission is cancelled; then it is cleared."""
    init_failures: int = 0
    is_broken: bool = False
    """The script cannot start in the first submission."""
    replaces: bool = False
    """Another job's output is there, to be replaced."""
    keep_working_state: bool = False


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    dice = random.Random(seed)
    items = dice.randint(1, 14)
    bad = dice.choice([0, 0, 0, 1, 1, 2, 3])
    behaviour = {item: dice.choice(BEHAVIOURS) for item in dice.sample(range(items), min(bad, items))}
    hits = tuple(
        Hit(
            process=min(dice.randint(0, 9), dice.randint(0, 9)),
            step=dice.randint(1, dice.choice([10, 40, 120])),
            kind=dice.choice(["kill", "kill", "terminate", "pause", "pause", "kill-slot", "freeze-slot"]),
        )
        for _ in range(dice.choice([0, 1, 1, 2, 3, 5]))
    )
    stormy = dice.random() < 0.4
    return Schedule(
        seed=seed,
        items=items,
        mini_batch_size=dice.randint(1, 4),
        shards_per_slot=dice.randint(1, 4),
        instances=dice.randint(1, 6),
        slots=dice.randint(1, 3),
        max_retries=dice.randint(0, 2),
        error_threshold=dice.choice([-1, -1, -1, 0, 1, 2, "20%", "50%"]),
        behaviour=behaviour,
        durations={item: dice.choice([0.1, 5.0, 15.0, 35.0]) for item in range(items) if dice.random() < 0.3},
        hits=hits,
        pauses=dice.choice([3.0, 70.0, 200.0, 2000.0]),
        store_rate=dice.choice([0.02, 0.1, 0.3]) if stormy else 0.0,
        store_failures=dice.randint(1, 8) if stormy else 0,
        request_seconds=dice.choice([(0.0, 0.0), (0.005, 0.05), (0.5, 3.0)]),
        one_host=dice.random() < 0.4,
        twins=tuple((dice.uniform(0, 60), dice.randint(0, 3)) for _ in range(dice.choice([0, 0, 0, 1, 2]))),
        planners=dice.choice([1, 1, 1, 2]),
        publishers=dice.choice([1, 1, 1, 2, 3]),
        cancel_after=dice.uniform(0, 90) if dice.random() < 0.15 else None,
        init_failures=dice.choice([0, 0, 0, 0, 1, 2, 3]),
        is_broken=dice.random() < 0.05,
        replaces=dice.random() < 0.15,
        keep_working_state=dice.random() < 0.1,
    )
