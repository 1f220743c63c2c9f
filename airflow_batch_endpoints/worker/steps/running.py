"""Running a step's command: in processes of its own that end with the worker, within its limits, its output passed on."""

from __future__ import annotations

import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_batch_endpoints.exceptions import InfrastructureError, UserError
from airflow_batch_endpoints.worker import memory
from airflow_batch_endpoints.worker.output import OutputBudget, OutputPipe
from airflow_batch_endpoints.worker.processes import ending
from airflow_batch_endpoints.worker.steps import guard

GRACE_SECONDS = 5.0
"""Time for a command to end by itself after SIGTERM; less than a worker has."""
_KILL_SECONDS = 10.0
_POLL = 0.1
"""Seconds between looks at the clock and at the memory."""
LAST_LINES = 8
"""Lines of output that stand in the sentence of a failure."""
MAX_LAST = 700
"""Characters of them."""


def shell() -> str:
    """Return the shell that reads command lines: bash where there is one."""
    found = shutil.which("bash") or shutil.which("sh")
    if found is None:
        raise InfrastructureError(
            "there is no shell here to run commands with (neither bash nor sh); put one into the image"
        )
    return found


class Command:
    """A command that is run once.

    :param text: what the shell reads.
    :param folder: where it runs.
    :param environment: all its variables; nothing is inherited.
    :param timeout: seconds; ``None`` for no limit.
    :param memory_bytes: most memory of all its processes; ``None`` for no limit.
    """

    def __init__(
        self,
        text: str,
        *,
        folder: Path,
        environment: Mapping[str, str],
        timeout: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._arguments = [shell(), "-c", text]
        self._folder = folder
        self._environment = environment
        self._timeout = timeout
        self._memory_bytes = memory_bytes
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._budget = OutputBudget(logging.getLogger("command"))

    def run(self) -> None:
        """Run it to its end; whatever ends this call early ends the command, and all it has started.

        :raises UserError: it failed, took too long or used too much memory; with its last lines.
        """
        read_end, write_end = os.pipe()
        output = OutputPipe(read_end, self._say)
        try:
            process = self._start(write_end)
        except OSError as error:
            output.close()
            raise UserError(
                f"the command cannot be started: {error.strerror}; its values and environment variables may be too long"
            ) from None
        finally:
            os.close(write_end)
        try:
            self._follow(process, output)
        finally:
            self._end(process, output)
            output.close()
        if process.returncode != 0:
            raise UserError(f"the command {ending(process.returncode)}{self._said()}")

    def _start(self, output: int) -> subprocess.Popen[bytes]:
        # Isolated and without site packages: the guard needs none, and starts in a few milliseconds.
        program: Sequence[str] = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid())]
        return subprocess.Popen(
            [*program, *self._arguments],
            cwd=self._folder,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def _follow(self, process: subprocess.Popen[bytes], output: OutputPipe) -> None:
        """Pass the output on until the command ends."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while process.poll() is None:
                if selector.get_map():
                    if selector.select(_POLL) and not output.drain():
                        selector.unregister(output)
                else:
                    time.sleep(_POLL / 10)
                if deadline is not None and time.monotonic() > deadline:
                    raise UserError(
                        f"the command took longer than its timeout of {self._timeout:g} s allows; give it more, or less to do"
                        + self._said()
                    )
                self._enforce_memory(process.pid)

    def _enforce_memory(self, pid: int) -> None:
        if self._memory_bytes is None:
            return
        used = memory.of_session(pid)
        if used > self._memory_bytes:
            _signal(pid, signal.SIGHUP)  # the guard kills all of it at once
            limit, size = (f"{value / 2**20:.0f} MiB" for value in (self._memory_bytes, used))
            raise UserError(
                f"the command ran out of memory: it used {size}, and the compute allows {limit} (OOMKilled){self._said()}"
            )

    def _end(self, process: subprocess.Popen[bytes], output: OutputPipe) -> None:
        """End it: politely, then by its guard, then by force."""
        for number, target, seconds in (
            (signal.SIGTERM, -process.pid, GRACE_SECONDS),
            (signal.SIGHUP, process.pid, _KILL_SECONDS),
            (signal.SIGKILL, -process.pid, _KILL_SECONDS),
        ):
            if process.poll() is not None:
                break
            _signal(target, number)
            deadline = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < deadline:
                output.drain()
                time.sleep(0.01)
        # Its guard may have been killed by somebody else.
        _signal(-process.pid, signal.SIGKILL)

    def _say(self, line: str) -> None:
        self._budget.say(line)
        if line.strip():
            self._last.append(line)

    def _said(self) -> str:
        """Return the end of the output, for a sentence."""
        said = " | ".join(self._last)
        if not said:
            return "; it printed nothing"
        return f"; its last words: {said if len(said) <= MAX_LAST else '...' + said[-MAX_LAST:]}"


def _signal(target: int, number: signal.Signals) -> None:
    """Send a signal to a process, or to a process group by its negative number."""
    try:
        os.killpg(-target, number) if target < 0 else os.kill(target, number)
    except (ProcessLookupError, PermissionError):
        return
