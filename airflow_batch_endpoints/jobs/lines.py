"""The lines a worker writes: what people are to read, with its level, and the lines that say how far it is."""

from __future__ import annotations

import json
import logging
from typing import Any, NamedTuple

PROGRESS_PREFIX = "::progress:: "
MAX_LINE = 16_384
"""Characters of a line that reach the task log."""
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARNING": logging.WARNING, "ERROR": logging.ERROR}


class Line(NamedTuple):
    """One line."""

    level: int
    text: str
    progress: dict[str, int] | None = None
    """How far the instance is; such a line is not for people."""


def read(text: str) -> Line:
    """Read a line. A script may write anything, also what looks like ours but is not."""
    if text.startswith(PROGRESS_PREFIX):
        return Line(logging.DEBUG, "", _numbers(text[len(PROGRESS_PREFIX) :]))
    text = text[:MAX_LINE]
    level, _, rest = text.partition(" ")
    return Line(_LEVELS[level], rest) if level in _LEVELS else Line(logging.INFO, text)


def _numbers(text: str) -> dict[str, int]:
    try:
        content: Any = json.loads(text)
    except ValueError:
        return {}
    return (
        {name: value for name, value in content.items() if isinstance(value, int)} if isinstance(content, dict) else {}
    )
