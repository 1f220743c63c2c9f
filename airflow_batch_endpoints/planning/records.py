r"""Where the records of a text file begin: what CSV and JSON lines may be cut at.

The rules are those of the reader that will read the pieces (Arrow's): a line ends with ``\n``, ``\r`` or both; empty lines are no
records; in CSV a quote opens a field only at its very beginning, and everything up to the closing quote belongs to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Positions = np.ndarray[Any, np.dtype[np.int64]]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LF, _CR, _QUOTE, _COMMA = b'\n\r",'
_OPENS_AFTER = np.zeros(256, dtype=bool)
_OPENS_AFTER[[_LF, _CR, _COMMA, _QUOTE]] = True
_NEUTRAL = ord("x")


class RecordScanner:
    """Finds the records of a file that is fed to it chunk by chunk, in memory that does not grow.

    :param quoted: whether quotes matter (CSV).
    :param offset: position in the file of what is fed first.
    """

    def __init__(self, *, quoted: bool, offset: int = 0) -> None:
        self._quoted = quoted
        self._offset = offset
        self._inside = 0
        """1 within quotes."""
        self._before = _LF
        """The byte before the chunk."""
        self._ended_line = True
        """Whether that byte ended a line."""

    def feed(self, chunk: bytes) -> Positions:
        """Return the positions in the file at which records begin in this chunk."""
        if not chunk:
            return np.empty(0, np.int64)
        data = np.frombuffer(chunk, np.uint8)
        ends = data == _LF
        if b"\r" in chunk:
            ends |= data == _CR
        positions = np.flatnonzero(ends)
        before, inside = self._before, self._inside
        self._before = int(data[-1])
        if self._quoted and (inside or b'"' in chunk):
            toggles = self._toggles(data, before)
            positions = positions[(np.searchsorted(toggles, positions) + inside) % 2 == 0]
            self._inside = (inside + len(toggles)) % 2
        starts = positions + 1
        if self._ended_line:
            starts = np.concatenate(([0], starts))
        self._ended_line = bool(len(starts)) and int(starts[-1]) == len(data)
        if self._ended_line:
            starts = starts[:-1]
        starts = starts[(data[starts] != _LF) & (data[starts] != _CR)] if len(starts) else starts
        offset, self._offset = self._offset, self._offset + len(data)
        return starts + offset

    def _toggles(self, data: Any, before: int) -> Positions:
        """Return the positions of the quotes that open or close a field."""
        quotes = np.flatnonzero(data == _QUOTE)
        opening = quotes[self._inside :: 2]
        preceding = data[opening - 1]
        if len(opening) and opening[0] == 0:
            preceding[0] = before
        if _OPENS_AFTER[preceding].all():
            return quotes
        return self._toggles_one_by_one(data, quotes, before)

    def _toggles_one_by_one(self, data: Any, quotes: Positions, before: int) -> Positions:
        """The same, slower, where a quote stands in the middle of a field and means itself."""
        inside = bool(self._inside)
        closed = -1 if before == _QUOTE else -2
        toggles = []
        for position in quotes.tolist():
            preceding = int(data[position - 1]) if position else before
            opens = preceding in (_LF, _CR, _COMMA) or position - 1 == closed
            if inside:
                inside, closed = False, position
            elif opens:
                inside = True
            else:
                continue
            toggles.append(position)
        if self._before == _QUOTE and (not toggles or toggles[-1] != len(data) - 1):
            self._before = _NEUTRAL
        return np.array(toggles, dtype=np.int64)
