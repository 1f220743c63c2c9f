"""Local compute: a worker command as a process beside the Airflow task that launches it. Stdlib only."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PROGRESS_PREFIX = b"::progress:: "
MAX_LINE = 16_384
"""Characters of a line that reach the task log."""
GRACE_SECONDS = 10.0
"""Time for a worker to release its claims after SIGTERM."""
TICK_SECONDS = 5.0
"""Seconds between calls of ``on_tick``."""


@dataclass(frozen=True)
class WorkerExit:
    """How a worker command ended."""

    code: int
    """Exit code; negative when a signal ended it."""
    result: dict[str, Any]
    """What it left, empty when it left nothing (or nonsense: a script could have written it)."""

    @property
    def message(self) -> str:
        """What the worker says went wrong, or how it ended."""
        error = self.result.get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return str(error["message"])
        if self.code < 0:
            return f"the worker was killed by {signal.Signals(-self.code).name}"
        return f"the worker ended with exit code {self.code}"


class LocalWorker:
    """A worker command as a subprocess, in a session of its own.

    :param arguments: of ``python -m airflow_batch_endpoints.worker``.
    :param environment: its whole environment.
    :param on_progress: gets the content of each progress line.
    :param on_tick: called every few seconds while it runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_progress: Callable[[dict[str, Any]], None] = lambda _: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._on_progress = on_progress
        self._on_tick = on_tick
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> WorkerExit:
        """Run the command to its end; whatever ends this call early ends the command."""
        with tempfile.TemporaryDirectory(prefix="batch-endpoints-launch-") as folder:
            result = Path(folder, "result.json")
            environment = {
                **self._environment,
                "BATCH_ENDPOINTS_RESULT": str(result),
                # The worker asks the kernel to be told when this process ends, so that none is left behind.
                "BATCH_ENDPOINTS_PARENT": str(os.getpid()),
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow_batch_endpoints.worker", *self._arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self._follow(self._process)
                return WorkerExit(self._process.wait(), _read(result))
            finally:
                self.kill()

    def kill(self) -> None:
        """Ask the command to stop, and end it when it does not."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Pass lines on until the command closes its output."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        pending, next_tick = b"", time.monotonic() + TICK_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(max(0.0, next_tick - time.monotonic())):
                    data = os.read(process.stdout.fileno(), 1 << 16)
                    if not data:
                        break
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        self._pass_on(line)
                    pending = pending[:MAX_LINE]
                if time.monotonic() >= next_tick:
                    self._on_tick()
                    next_tick = time.monotonic() + TICK_SECONDS
        if pending:
            self._pass_on(pending)

    def _pass_on(self, line: bytes) -> None:
        if line.startswith(PROGRESS_PREFIX):
            try:
                progress = json.loads(line[len(PROGRESS_PREFIX) :])
            except ValueError:
                return
            if isinstance(progress, dict):
                self._on_progress(progress)
            return
        text = line[:MAX_LINE].decode(errors="backslashreplace")
        level, _, rest = text.partition(" ")
        number = {"WARNING": logging.WARNING, "ERROR": logging.ERROR, "DEBUG": logging.DEBUG}.get(level)
        log.log(number or logging.INFO, "%s", rest if number or level == "INFO" else text)


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_bytes()[:65_536])
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}
