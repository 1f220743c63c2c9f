"""What a plan is made of: items, mini-batches and shards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One input file."""

    number: int
    """Position in the plan's order, from 0."""
    path: str
    """Relative to the input; bytes that are not UTF-8 are kept as surrogates."""
    uri: str
    size: int
    """Bytes, as listed."""


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
