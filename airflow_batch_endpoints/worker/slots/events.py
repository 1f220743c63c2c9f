"""What goes to a slot and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_batch_endpoints.planning.items import Item, RowRange


@dataclass(frozen=True)
class Failure:
    """Why items failed. Text only: what a script raised never leaves its process."""

    error_type: str
    message: str
    traceback: str = ""
    item: str | None = None
    """The guilty item's path; ``None`` when only their number is known."""
    range: RowRange | None = None
    """Which rows of it, when the item is a row range."""
    count: int = 1
    candidates: tuple[str, ...] = ()
    """The items among which the guilty ones are, when they are not known."""

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Failure:
        """Return a failure that travelled as a JSON object."""
        span = message.get("range")
        return cls(
            **{
                **message,
                "candidates": tuple(message.get("candidates", ())),
                "range": None if span is None else RowRange(**span),
            }
        )

    @property
    def summary(self) -> str:
        """Type and first line of the message."""
        return f"{self.error_type}: {self.message.splitlines()[0] if self.message else ''}"


@dataclass(frozen=True)
class ScoreWork:
    """Score these items with one ``run()``."""

    shard: int
    mini_batch: int
    items: tuple[Item, ...]
    attempt: int = 1
    """How often these items have been tried, by whomever, this time included."""


@dataclass(frozen=True)
class Event:
    """Something happened in a slot."""

    slot: int


@dataclass(frozen=True)
class Started(Event):
    """The slot is ready and has begun with its work."""


@dataclass(frozen=True)
class Scored(Event):
    """``run()`` returned; some of its items may have failed all the same."""

    stream: str | None
    """Local file with the rows as one Arrow IPC stream."""
    schema: str | None
    rows: int
    failures: tuple[Failure, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """Files the script wrote: name, local path."""


@dataclass(frozen=True)
class SealWork:
    """Put together what the mini-batches of a shard gave, and store it."""

    shard: int
    scored: tuple[Scored, ...]
    """Each distinct schema stands in the first that has it, and no failures stand in any."""
    failures: tuple[tuple[int, int, Failure], ...]
    """Mini-batch, attempts, failure."""


@dataclass(frozen=True)
class Sealed(Event):
    """The shard is stored and can be committed."""

    part: str | None
    dead: str | None
    files: tuple[dict[str, Any], ...] = ()
    bytes: int = 0
    sha256: str = ""
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed(Event):
    """The work raised; the slot lives."""

    failure: Failure


@dataclass(frozen=True)
class Died(Event):
    """The slot's process ended without being asked to."""

    reason: str


@dataclass(frozen=True)
class InitFailed(Event):
    """The slot could not load the model, or ``init()`` raised."""

    failure: Failure
