"""What a plan is made of: items, mini-batches and shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RowRange:
    """Rows of a file that follow one another: of text the bytes, of Parquet the row groups from ``start`` to ``end``."""

    start: int
    end: int
    first_row: int
    """Number of its first row in the file, from 0."""
    rows: int
    """Rows in it, as planning counted them."""
    header: int
    """Bytes at the start of the file that hold the column names, when the range does not."""
    file_size: int
    """Bytes of the whole file, as listed: a file that has changed cannot be read by this range."""

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> RowRange:
        """Return a range that travelled as a JSON object.

        :raises TypeError, ValueError: when it is none.
        """
        span = cls(**message)
        if not all(type(value) is int and value >= 0 for value in vars(span).values()) or span.start >= span.end:
            raise ValueError(f"{message} is no row range")
        return span


@dataclass(frozen=True)
class Item:
    """One input file, or one row range of a file."""

    number: int
    """Position in the plan's order, from 0."""
    path: str
    """Relative to the input; bytes that are not UTF-8 are kept as surrogates."""
    uri: str
    size: int
    """Bytes, as listed or planned."""
    range: RowRange | None = None
    """``None`` for the whole file."""

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Item:
        """Return an item that travelled as a JSON object."""
        span = message.get("range")
        return cls(**{**message, "range": None if span is None else RowRange.of_message(span)})

    @property
    def first_row(self) -> int:
        """Number of the first row in the file."""
        return 0 if self.range is None else self.range.first_row

    @property
    def label(self) -> str:
        """What people read of it in a log."""
        if self.range is None:
            return self.path
        return f"{self.path} (rows {self.range.first_row} to {self.range.first_row + self.range.rows - 1})"


@dataclass(frozen=True)
class MiniBatch:
    """The items of one ``run()`` call: the unit of retry and timeout."""

    number: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Shard:
    """Mini-batches that follow one another: the unit of claim, commit and loss."""

    number: int
    bytes: int
    mini_batches: tuple[MiniBatch, ...]
