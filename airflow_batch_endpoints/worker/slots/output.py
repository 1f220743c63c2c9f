"""What scripts print, on its way to the log: line by line, and bounded."""

from __future__ import annotations

import logging
import os

log = logging.getLogger("slot")

MAX_LINE = 2_000
"""Characters of a line that are kept."""
MAX_TOTAL = 2_000_000
"""Characters one instance passes on in all."""


class OutputBudget:
    """How much the slots of an instance may still say."""

    def __init__(self, characters: int = MAX_TOTAL) -> None:
        self._left = characters

    def say(self, slot: int, line: str) -> None:
        """Pass a line on, shortened or not at all when the budget is spent."""
        if self._left <= 0:
            return
        if len(line) > MAX_LINE:
            line = f"{line[:MAX_LINE]}... (cut)"
        self._left -= len(line) + 1
        log.info("slot %d | %s", slot, line)
        if self._left <= 0:
            log.warning("the scripts have printed enough for one log; further output is dropped")


class OutputPipe:
    """The reading end of a slot's standard output and error."""

    def __init__(self, slot: int, descriptor: int, budget: OutputBudget) -> None:
        self._slot = slot
        self._descriptor = descriptor
        self._budget = budget
        self._pending = b""
        self._is_cutting = False
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._descriptor

    def drain(self) -> bool:
        """Read what is there; ``False`` when the other end is closed."""
        data = self._read()
        if data:
            self._take(data)
        return data != b""

    def close(self) -> None:
        """Say what is left and close."""
        while data := self._read():
            self._take(data)
        if self._pending and not self._is_cutting:
            self._say(self._pending)
        os.close(self._descriptor)

    def _read(self) -> bytes | None:
        """Return what is there; nothing when the other end is closed, ``None`` when it has nothing to say now."""
        try:
            return os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return None

    def _take(self, data: bytes) -> None:
        *lines, rest = (self._pending + data).split(b"\n")
        for line in lines:
            if not self._is_cutting:
                self._say(line.rstrip(b"\r"))
            self._is_cutting = False
        if len(rest) > MAX_LINE and not self._is_cutting:
            # A line without end: say its beginning once, then skip to the next line.
            self._say(rest)
            self._is_cutting = True
        self._pending = b"" if self._is_cutting else rest

    def _say(self, line: bytes) -> None:
        self._budget.say(self._slot, line.decode(errors="backslashreplace"))
