"""What scripts print, on its way to the log: line by line, and bounded."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

MAX_LINE = 2_000
"""Characters of a line that are kept."""
MAX_TOTAL = 2_000_000
"""Characters one instance passes on in all."""


class OutputBudget:
    """How much the scripts of an instance may still say.

    :param log: where it goes.
    """

    def __init__(self, log: logging.Logger, characters: int = MAX_TOTAL) -> None:
        self._log = log
        self._left = characters

    def say(self, line: str) -> None:
        """Pass a line on, or not when the budget is spent."""
        if self._left <= 0:
            return
        self._left -= len(line) + 1
        self._log.info("%s", line)
        if self._left <= 0:
            self._log.warning("enough is printed for one log; further output is dropped")


class OutputPipe:
    """The reading end of a process's standard output and error.

    :param descriptor: of the pipe; closed in the end.
    :param say: takes each line.
    """

    def __init__(self, descriptor: int, say: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._pass_on = say
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
        text = line.decode(errors="backslashreplace")
        self._pass_on(f"{text[:MAX_LINE]}... (cut)" if len(text) > MAX_LINE else text)
