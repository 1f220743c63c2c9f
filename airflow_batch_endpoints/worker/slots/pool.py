"""The real slots: processes, forked from one that has loaded the model, or each started afresh.

::

    coordinator ── nursery (imports and loads once) ─┬─ slot 0
                                                     └─ slot 1

The coordinator talks to each slot over its own socket. A slot is a session of its own, so that killing it takes along
whatever it started; a nursery dies with its coordinator and a slot with its nursery.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.worker import memory
from airflow_batch_endpoints.worker.output import OutputBudget, OutputPipe
from airflow_batch_endpoints.worker.processes import ending, is_frozen
from airflow_batch_endpoints.worker.scoring.base import ScriptCall
from airflow_batch_endpoints.worker.slots.channel import Channel
from airflow_batch_endpoints.worker.slots.events import (
    Died,
    Event,
    Failed,
    Failure,
    InitFailed,
    Scored,
    ScoreWork,
    Sealed,
    SealWork,
    Started,
)
from airflow_batch_endpoints.worker.slots.nursery import Nursery

log = logging.getLogger(__name__)

_EXIT_GRACE = 2.0
"""Seconds to wait for the word of how a process ended, once its socket is closed."""
MEMORY_POLL = 0.1
"""Seconds between looks at how much memory the slots use, when it is limited."""


@dataclass(frozen=True)
class SlotSetup:
    """What a slot process must know before it gets any work. No secrets: it is an argument of the process."""

    spec: dict[str, Any]
    model_path: str | None
    code_path: str | None
    scratch: str
    incarnation: str
    parent: int
    script: ScriptCall = field(default_factory=ScriptCall)


@dataclass
class _Slot:
    number: int
    channel: Channel
    output: OutputPipe
    pid: int
    busy: bool = False


class SlotPool:
    """Implements :class:`~airflow_batch_endpoints.worker.protocol.coordinator.Slots` with processes.

    :param count: how many slots.
    :param setup: what the processes need to know.
    :param environment: their whole environment; nothing is inherited.
    :param python: the interpreter they run in, with its options; the coordinator's own by default.
    :param start_method: ``fork`` (load once, then fork) or ``spawn`` (each slot loads by itself).
    :param memory_bytes: most memory of all slots together; beyond it the largest slot is killed.
    :param devices: an accelerator for each slot, as ``CUDA_VISIBLE_DEVICES`` names it; none by default.
    """

    def __init__(
        self,
        *,
        count: int,
        setup: SlotSetup,
        environment: dict[str, str],
        python: Sequence[str] = (sys.executable,),
        start_method: str = "fork",
        memory_bytes: int | None = None,
        devices: Sequence[str] = (),
    ) -> None:
        self.count = count
        self._setup = json.dumps(asdict(setup))
        self._scratch = Path(setup.scratch)
        self._environment = environment
        self._python = python
        # What has spoken to an accelerator cannot be forked, and each slot gets to see another one.
        self._forks = start_method == "fork" and not devices
        self._devices = devices
        self._memory_bytes = memory_bytes
        self._selector = selectors.DefaultSelector()
        self._slots: dict[int, _Slot] = {}
        self._nursery: Nursery | None = None
        self._waiting: dict[int, ScoreWork | SealWork] = {}
        """What slots are to do once the nursery is ready."""
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._killed_for: dict[int, str] = {}
        self._pending: list[Event] = []
        self._budget = OutputBudget(logging.getLogger("slot"))

    # -- the protocol's side ------------------------------------------------------------------------------------

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        """Give work to an idle slot, starting its process if there is none."""
        process = self._slots.get(slot)
        if process is None:
            if self._forks and not self._has_nursery():
                self._waiting[slot] = work
                return
            process = self._start(slot)
            if process is None:
                return
        process.busy = True
        # It may be dead already; then its closed socket tells, with the reason.
        with contextlib.suppress(OSError):
            process.channel.send(_message(work))

    def is_frozen(self, slot: int) -> bool:
        """Tell whether somebody has stopped a slot's process."""
        process = self._slots.get(slot)
        return process is not None and is_frozen(process.pid)

    def kill(self, slot: int) -> None:
        """End a slot's process."""
        if (process := self._slots.get(slot)) is not None:
            self._end(process)
        if self._waiting.pop(slot, None) is not None and not self._waiting:
            self._end_nursery()  # it takes too long to load
        self._pending = [event for event in self._pending if event.slot != slot]

    def wait(self, seconds: float) -> Sequence[Event]:
        """Return what happened; waits for the first event at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while not self._pending:
            left = deadline - time.monotonic()
            if self._memory_bytes is not None:
                left = min(left, MEMORY_POLL)
                self._enforce_memory()
            for key, _ in self._selector.select(max(0.0, left)):
                # What one event closes, the next one of the same round must not touch.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            if time.monotonic() >= deadline:
                break
        events, self._pending = self._pending, []
        return events

    def close(self) -> None:
        """End every process."""
        for slot in list(self._slots):
            self.kill(slot)
        self._end_nursery()
        self._selector.close()

    # -- processes ----------------------------------------------------------------------------------------------

    def _start(self, slot: int) -> _Slot | None:
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        try:
            pid = self._fork(slot, theirs, write_end) if self._forks else self._spawn(slot, theirs, write_end)
        finally:
            theirs.close()
            os.close(write_end)
        if pid is None:
            ours.close()
            os.close(read_end)
            return None
        process = _Slot(slot, Channel(ours), self._output(slot, read_end), pid)
        self._slots[slot] = process
        self._selector.register(process.channel, selectors.EVENT_READ, lambda: self._hear(process))
        self._selector.register(process.output, selectors.EVENT_READ, lambda: self._listen(process.output))
        return process

    def _spawn(self, slot: int, theirs: socket.socket, write_end: int) -> int:
        arguments = ["--socket", str(theirs.fileno()), "--slot", str(slot)]
        device = {"CUDA_VISIBLE_DEVICES": self._devices[slot]} if self._devices else {}
        child = self._popen(arguments, theirs.fileno(), write_end, environment=device)
        self._spawned[child.pid] = child
        return child.pid

    def _fork(self, slot: int, theirs: socket.socket, write_end: int) -> int | None:
        assert self._nursery is not None  # noqa: S101 - submit() has seen that it is ready
        pid = self._nursery.fork(slot, theirs.fileno(), write_end)
        if pid is None:
            self._end_nursery()
            self._pending.append(Died(slot, "the process that forks the slots ended"))
        return pid

    def _has_nursery(self) -> bool:
        """Tell whether there is a nursery that forks; if there is none, one begins to load."""
        if self._nursery is None:
            self._nursery = nursery = Nursery(self._popen, lambda descriptor: self._output(0, descriptor))
            self._selector.register(nursery.channel, selectors.EVENT_READ, self._hear_nursery)
            self._selector.register(nursery.output, selectors.EVENT_READ, lambda: self._listen(nursery.output))
        return self._nursery.is_ready

    def _hear_nursery(self) -> None:
        """Start what waits for a nursery that is ready now; of one that failed, tell a slot, and let the others try again."""
        assert self._nursery is not None  # noqa: S101 - its channel is listened to
        failure = self._nursery.hear()
        if failure is None and not self._nursery.is_ready:
            return
        waiting, self._waiting = self._waiting, {}
        if failure is None:
            self._selector.unregister(self._nursery.channel)
        else:
            self._end_nursery()
            first = next(iter(waiting))
            del waiting[first]
            self._pending.append(InitFailed(first, failure))
        for slot, work in waiting.items():
            self.submit(slot, work)

    def _popen(
        self, arguments: list[str], *descriptors: int, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a slot process; the second descriptor is its standard output and error."""
        command = [*self._python, "-m", "airflow_batch_endpoints.worker.slots.process", *arguments]
        return subprocess.Popen(
            command,
            env={**self._environment, **(environment or {}), "BATCH_ENDPOINTS_SLOT": self._setup},
            stdin=subprocess.DEVNULL,
            stdout=descriptors[1],
            stderr=descriptors[1],
            pass_fds=[descriptors[0], *descriptors[2:]],
            start_new_session=True,
        )

    def _end_nursery(self) -> None:
        if self._nursery is None:
            return
        for source in (self._nursery.channel, self._nursery.output):
            if source in self._selector.get_map():
                self._selector.unregister(source)
        self._nursery.close()
        self._nursery = None

    # -- events -------------------------------------------------------------------------------------------------

    def _hear(self, process: _Slot) -> None:
        try:
            messages, alive = process.channel.receive_ready()
        except (ValueError, TypeError) as error:
            log.warning("slot %d spoke nonsense and is replaced: %s", process.number, error)
            self._kill_process(process.pid)
            messages, alive = [], False
        for message in messages:
            event = _event(process.number, message)
            if not isinstance(event, Started):
                process.busy = False
            self._pending.append(event)
            if isinstance(event, InitFailed):
                self._end(process)
                return
        if not alive:
            was_busy = process.busy
            reason = self._ending_of(process.pid)
            self._end(process)
            if was_busy:
                self._pending.append(Died(process.number, reason))

    def _output(self, slot: int, descriptor: int) -> OutputPipe:
        return OutputPipe(descriptor, lambda line: self._budget.say(f"slot {slot} | {line}"))

    def _listen(self, output: OutputPipe) -> None:
        if not output.drain():
            self._selector.unregister(output)

    def _end(self, process: _Slot) -> None:
        """End a process, if it has not ended, and forget it."""
        self._slots.pop(process.number, None)
        self._kill_process(process.pid)
        self._selector.unregister(process.channel)
        if process.output in self._selector.get_map():
            self._selector.unregister(process.output)
        process.channel.close()
        process.output.close()
        child = self._spawned.pop(process.pid, None)
        if child is not None:
            child.wait()

    def _kill_process(self, pid: int) -> None:
        for send, target in ((os.killpg, pid), (os.kill, pid)):
            try:
                send(target, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue

    def _ending_of(self, pid: int) -> str:
        """Say how a process ended, as far as its parent tells."""
        if pid in self._killed_for:
            return self._killed_for.pop(pid)
        if pid in self._spawned:
            try:
                return ending(self._spawned[pid].wait(_EXIT_GRACE))
            except subprocess.TimeoutExpired:
                return "closed its connection"
        if self._nursery is None:
            return "closed its connection"
        reason = self._nursery.exit_of(pid, _EXIT_GRACE)
        if self._nursery.has_ended:
            self._end_nursery()
        return reason or "closed its connection"

    def _enforce_memory(self) -> None:
        used = {process.pid: memory.of_session(process.pid) for process in self._slots.values()}
        if self._memory_bytes is None or sum(used.values()) <= self._memory_bytes:
            return
        pid = max(used, key=lambda candidate: used[candidate])
        limit, size = (f"{value / 2**20:.0f} MiB" for value in (self._memory_bytes, used[pid]))
        self._killed_for[pid] = (
            f"out of memory: it used {size}, and the compute allows {limit} for all slots (OOMKilled)"
        )
        self._kill_process(pid)


def _message(work: ScoreWork | SealWork) -> dict[str, Any]:
    return {"seal" if isinstance(work, SealWork) else "score": asdict(work)}


def _event(slot: int, message: dict[str, Any]) -> Event:
    """Read what a slot says. Whatever does not fit ends as a failure of its work."""
    kinds: dict[str, type[Event]] = {"started": Started, "scored": Scored, "sealed": Sealed}
    (name, content), *_ = message.items()
    if name in kinds:
        content = dict(content)
        if name == "scored":
            content["failures"] = tuple(map(Failure.of_message, content["failures"]))
            content["files"] = tuple((file, path) for file, path in content["files"])
        elif name == "sealed":
            content["files"], content["schemas"] = tuple(content["files"]), tuple(content["schemas"])
        return kinds[name](slot=slot, **content)
    failure = Failure.of_message(content)
    return InitFailed(slot, failure) if name == "init_failed" else Failed(slot, failure)
