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
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.computes.outcome import FINAL_EXIT_CODES, Outcome, Verdict, error_of
from airflow_batch_endpoints.jobs import lines

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""Time for a worker to release its claims after SIGTERM."""
TICK_SECONDS = 5.0
"""Seconds between calls of ``on_tick``."""


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
        on_progress: Callable[[dict[str, int]], None] = lambda _: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._on_progress = on_progress
        self._on_tick = on_tick
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> Outcome:
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
                return _outcome(self._process.wait(), _read(result))
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
                    *complete, pending = (pending + data).split(b"\n")
                    for line in complete:
                        self._pass_on(line)
                    pending = pending[: lines.MAX_LINE]
                if time.monotonic() >= next_tick:
                    self._on_tick()
                    next_tick = time.monotonic() + TICK_SECONDS
        if pending:
            self._pass_on(pending)

    def _pass_on(self, raw: bytes) -> None:
        line = lines.read(raw.decode(errors="backslashreplace"))
        if line.progress is None:
            log.log(line.level, "%s", line.text)
        elif line.progress:
            self._on_progress(line.progress)


def _outcome(code: int, result: dict[str, Any]) -> Outcome:
    if code == 0:
        return Outcome("done", result=result)
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    verdict: Verdict = "failed" if code in FINAL_EXIT_CODES else "lost"
    return Outcome(verdict, error_of(result) or f"the worker {ended}", result)


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_bytes()[:65_536])
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}
