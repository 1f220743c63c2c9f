"""What every scorer offers, and what comes out of it."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from airflow_batch_endpoints.planning.items import Item, RowRange

if TYPE_CHECKING:
    import pyarrow as pa


class ScoringError(Exception):
    """A mini-batch failed as a whole; the message says why."""


@dataclass(frozen=True)
class ScriptCall:
    """How a scoring script is called, beyond the mini-batches: a step of a pipeline has arguments, inputs and outputs."""

    arguments: tuple[str, ...] = ()
    """What it finds in ``sys.argv``; with expressions for its inputs and outputs."""
    inputs: dict[str, str] = field(default_factory=dict)
    """What stands for its inputs, by name: literals and local paths."""
    outputs: tuple[str, ...] = ()
    """Names of its outputs: each slot has a folder for each of them."""


@dataclass(frozen=True)
class ItemFailure:
    """Items of a mini-batch that failed while the others did not."""

    error_type: str
    message: str
    traceback: str = ""
    item: str | None = None
    """Path of the item; ``None`` when only the number is known."""
    range: RowRange | None = None
    """Which rows of it, when the item is a row range."""
    count: int = 1
    candidates: tuple[str, ...] = ()
    """Where to look when the items are not known."""

    @classmethod
    def of(cls, item: Item, error: BaseException) -> ItemFailure:
        """Describe why one item failed."""
        trace = "".join(tracebacks.format_exception(error, limit=-8))
        return cls(type(error).__name__, str(error), trace, item=item.path, range=item.range)


@dataclass
class ScoredBatch:
    """What a mini-batch gave."""

    table: pa.Table | None
    failures: list[ItemFailure] = field(default_factory=list)
    files: list[tuple[str, Path]] = field(default_factory=list)
    """Files the script wrote: their name in the output, and where they are now."""

    @property
    def rows(self) -> int:
        """Rows that go into the output."""
        return 0 if self.table is None else int(self.table.num_rows)


class Scorer(Protocol):
    """Scores mini-batches in one process."""

    def load(self) -> None:
        """Load what forked slots can share; called once per process tree, before any slot is forked."""
        ...

    def init(self, slot: int) -> None:
        """Get ready in a slot; called once in each slot's process."""
        ...

    def score(self, items: Sequence[Item]) -> ScoredBatch:
        """Score a mini-batch; whatever is raised fails it as a whole."""
        ...

    def close(self) -> None:
        """Clean up before an orderly end."""
        ...
