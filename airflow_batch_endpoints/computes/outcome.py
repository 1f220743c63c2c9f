"""How a worker command ended, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["done", "failed", "lost", "wait"]
"""``failed``: the same again would end the same way, so it is not tried. ``lost``: another try may do it. ``wait``: there is
no place for it now."""
FINAL_EXIT_CODES = (2, 3, 5)
"""The worker's: user error, threshold exceeded, incomplete at publication."""


@dataclass(frozen=True)
class Outcome:
    """What became of a worker command."""

    verdict: Verdict
    sentence: str = ""
    """Why, for people."""
    result: dict[str, Any] = field(default_factory=dict)
    """What the worker left; empty when it left nothing (or nonsense: a script could have written it)."""


def error_of(result: dict[str, Any]) -> str:
    """Return what a worker says went wrong; empty when it says nothing."""
    error = result.get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""
