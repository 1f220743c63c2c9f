"""Medians with their intervals, and ratios paired by round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

CONFIDENCE = 0.95
SITTING = timedelta(hours=1)
"""Runs of one round that began farther apart are not compared: a campaign may go on the next day, on a machine twice as fast."""


@dataclass(frozen=True)
class Median:
    """A median and an interval that holds the true one with 95 % confidence, or the whole range of too few values."""

    middle: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Median:
        """Take the interval from order statistics: it supposes nothing of the distribution.

        :param values: at least one.
        """
        ordered = sorted(values)
        cut = _cut(len(ordered))
        return cls(statistics.median(ordered), ordered[cut], ordered[-1 - cut], len(ordered))

    def text(self, digits: int = 2) -> str:
        """Return it as ``1.02 (1.01-1.04)``."""
        return f"{self.middle:,.{digits}f} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


def _cut(count: int) -> int:
    """How many values may be left out at each end: the number of values below the true median is binomial."""
    cut = 0
    while 2 * sum(math.comb(count, below) for below in range(cut + 2)) / 2**count <= 1 - CONFIDENCE:
        cut += 1
    return cut


def paired(results: Sequence[Mapping[str, Any]], contestant: str, reference: str, figure: str) -> Median | None:
    """Return the ratio of two contestants, each round's own; ``None`` when no round has both in one sitting.

    :param figure: what to divide: ``cpu``, ``wall`` or ``memory``.
    """
    by_round: dict[int, dict[str, Mapping[str, Any]]] = {}
    for result in results:
        by_round.setdefault(result["round"], {})[result["contestant"]] = result
    pairs = [(row[contestant], row[reference]) for row in by_round.values() if {contestant, reference} <= row.keys()]
    ratios = [own[figure] / other[figure] for own, other in pairs if abs(_began(own) - _began(other)) <= SITTING]
    return Median.of(ratios) if ratios else None


def _began(result: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(result["at"])
