"""Counting items, and the one rule that decides when too many of them failed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

IGNORE_FAILURES = -1


@dataclass(frozen=True)
class Counts:
    """Items of a job. ``listed == succeeded + failed`` holds for every finished job."""

    listed: int
    succeeded: int = 0
    failed: int = 0
    rows: int = 0


def is_threshold_exceeded(threshold: int | str, *, failed: int, listed: int) -> bool:
    """Tell whether a job with this many failed items must end.

    The rule is Azure's (``error_threshold`` of the batch deployment reference): ``-1`` ignores failures, ``n``
    ends the job as soon as *more than* ``n`` items failed. ``"5%"`` is ours: more than that share of the listed items.

    An item is a file, or a row range of one. The truth table is in docs/concepts.md; tests hold this function to it.

    :param threshold: ``-1``, a count, or a percentage such as ``"5%"`` or ``"0.5%"``.
    :param failed: items that failed for good.
    :param listed: items in the plan.
    """
    if isinstance(threshold, str):
        # Exactly: as floats, 57 of 10,000 would be more than "0.57%".
        return failed * 100 > Fraction(threshold.removesuffix("%")) * listed
    return threshold != IGNORE_FAILURES and failed > threshold
