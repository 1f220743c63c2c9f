"""Scoring processes: what they do is decided by the items, how a shard is sealed is the real code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_batch_endpoints.exceptions import BatchEndpointsError
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.worker.scoring.base import ItemFailure, ScoredBatch
from airflow_batch_endpoints.worker.slots import sealing
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
from tests.campaigns.simulation.world import Process, Task, current

BEHAVIOURS = ("raise", "short", "die", "hang", "crash")
"""``run()`` raises; returns too little; kills its process; never ends; takes the whole instance along."""


def rows_of(item: int) -> list[str]:
    """What scoring an item gives: some items give more rows than one, some none."""
    return [f"row-{item}-{row}" for row in range((item * 7 + 1) % 3)] if item % 5 else [f"row-{item}"]


@dataclass
class Model:
    """What scoring does and takes."""

    behaviour: Mapping[int, str] = field(default_factory=dict)
    """Item -> what it does; others are scored."""
    durations: Mapping[int, float] = field(default_factory=dict)
    """Item -> seconds; one second for others."""
    init_seconds: float = 3.0
    init_failures: int = 0
    """So many of the next starts fail."""
    is_broken: bool = False
    """Every start fails, until somebody mends the script."""
    deaths_alone: Counter[int] = field(default_factory=Counter)
    """Item -> how often something from outside ended or silenced an instance that tried it alone."""
    deaths_in_slot: Counter[int] = field(default_factory=Counter)
    """Item -> how often something from outside ended the slot that tried it."""


class SimulatedSlots:
    """Implements :class:`~airflow_batch_endpoints.worker.protocol.coordinator.Slots`."""

    def __init__(
        self, process: Process, count: int, model: Model, spec: JobSpec, incarnation: str, scratch: Path
    ) -> None:
        self.count = count
        self._process = process
        self._world = process.world
        self._model = model
        self._spec = spec
        self._incarnation = incarnation
        self._scratch = scratch
        self._started: set[int] = set()
        self._busy: dict[int, Task] = {}
        self.in_run: dict[int, tuple[int, ...]] = {}
        """Slot -> the items that it runs now."""
        self._events: list[Event] = []
        self._is_waited_for = False
        self._frozen: set[int] = set()

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        assert slot not in self._busy, "a slot does one thing at a time"
        body = self._seal if isinstance(work, SealWork) else self._score
        self._busy[slot] = self._process.fork(lambda: body(slot, work))  # type: ignore[arg-type]

    def is_frozen(self, slot: int) -> bool:
        return slot in self._frozen

    def kill(self, slot: int) -> None:
        self._frozen.discard(slot)
        self._started.discard(slot)
        self.in_run.pop(slot, None)
        task = self._busy.pop(slot, None)
        if task is not None:
            task.kill()
        self._events = [event for event in self._events if event.slot != slot]

    def kill_from_outside(self, slot: int) -> None:
        """What the kernel's memory killer does: the coordinator hears of it."""
        task = self._busy.get(slot)
        if task is not None:
            self._model.deaths_in_slot.update(self.in_run.get(slot, ()))
            self._started.discard(slot)
            self._frozen.discard(slot)
            self._tell(Died(slot, "was killed by SIGKILL"))
            task.kill()

    def freeze_from_outside(self, slot: int) -> None:
        """What ``SIGSTOP`` does to a slot at work: nobody hears of it."""
        if slot in self._busy and slot in self._started:
            self._model.deaths_in_slot.update(self.in_run.get(slot, ()))
            self._frozen.add(slot)
            self._busy[slot].kill()  # does not return when it is the slot itself that is at this point

    def wait(self, seconds: float) -> Sequence[Event]:
        self._process.step()
        if not self._events:
            self._is_waited_for = True
            self._world.sleep(max(seconds, 0.001))  # time passes, however little is asked for
            self._is_waited_for = False
        self._process.step()
        events, self._events = self._events, []
        return events

    def _tell(self, event: Event) -> None:
        if not isinstance(event, Started):
            self._busy.pop(event.slot, None)
            self.in_run.pop(event.slot, None)
        self._events.append(event)
        if self._is_waited_for:
            self._world.schedule(self._process.main, 0.0)

    # -- what goes on in a slot ---------------------------------------------------------------------------------

    def _score(self, slot: int, work: ScoreWork) -> None:
        if slot not in self._started:
            self._world.sleep(self._model.init_seconds)
            self._process.step()
            if self._model.is_broken or self._model.init_failures > 0:
                self._model.init_failures -= 1
                self._tell(InitFailed(slot, Failure("ValueError", "no model")))
                return
            self._started.add(slot)
        self._tell(Started(slot))
        items = tuple(item.number for item in work.items)
        self.in_run[slot] = items
        does = {self._model.behaviour.get(item, "ok") for item in items}
        self._world.sleep(sum(self._model.durations.get(item, 1.0) for item in items))
        self._process.step()
        if "crash" in does:
            self._process.kill()
        elif "hang" in does:
            current().block()
        elif "die" in does:
            self._started.discard(slot)
            self._tell(Died(slot, "was killed by SIGSEGV"))
        elif "raise" in does:
            self._tell(Failed(slot, Failure("ValueError", "bad item")))
        else:
            self._tell(self._scored(slot, work.items))

    def _scored(self, slot: int, items: Sequence[Item]) -> Scored:
        short = [item for item in items if self._model.behaviour.get(item.number) == "short"]
        rows = [row for item in items if item not in short for row in rows_of(item.number)]
        failures = [ItemFailure("MissingResult", "too few", item=item.path) for item in short]
        kept = sealing.keep(ScoredBatch(pa.table({"prediction": pa.array(rows, pa.string())}), failures), self._scratch)
        return Scored(
            slot,
            kept["stream"],
            kept["schema"],
            kept["rows"],
            tuple(map(Failure.of_message, kept["failures"])),
        )

    def _seal(self, slot: int, work: SealWork) -> None:
        try:
            sealed: dict[str, Any] = sealing.seal(asdict(work), self._spec, self._incarnation)
        except (BatchEndpointsError, OSError) as error:
            self._tell(Failed(slot, Failure(type(error).__name__, str(error))))
            return
        self._tell(Sealed(slot, **{**sealed, "files": tuple(sealed["files"]), "schemas": tuple(sealed["schemas"])}))
