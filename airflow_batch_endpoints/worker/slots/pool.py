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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.worker.slots import memory
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
from airflow_batch_endpoints.worker.slots.output import OutputBudget, OutputPipe

log = logging.getLogger(__name__)

_EXIT_GRACE = 2.0
"""Seconds to wait for the word of how a process ended, once its socket is closed."""
MEMORY_POLL = 0.1
"""Seconds between looks at how much memory the slots use, when it is limited."""


@dataclass(frozen=True)
class SlotSetup:
    """What a slot process must know before it gets any work. No secrets: it is an argument of the process."""

    spec: dict[str, Any]
    model_path: str
    code_path: str | None
    scratch: str
    incarnation: str
    parent: int


@dataclass
class _Slot:
    number: int
    channel: Channel
    output: OutputPipe
    pid: int
    busy: bool = False


class SlotPool:
    """Implements :class:`~airflow_batch_endpoints.worker.protocol.Slots` with processes.

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
        self._nursery: tuple[subprocess.Popen[bytes], Channel, socket.socket] | None = None
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._exits: dict[int, int] = {}
        self._killed_for: dict[int, str] = {}
        self._pending: list[Event] = []
        self._budget = OutputBudget()
        self._nursery_output: OutputPipe | None = None

    # -- the protocol's side ------------------------------------------------------------------------------------

    def submit(self, slot: int, work: ScoreWork | SealWork) -> None:
        """Give work to an idle slot, starting its process if there is none."""
        process = self._slots.get(slot)
        if process is None:
            process = self._start(slot)
            if process is None:
                return
        process.busy = True
        # It may be dead already; then its closed socket tells, with the reason.
        with contextlib.suppress(OSError):
            process.channel.send(_message(work))

    def kill(self, slot: int) -> None:
        """End a slot's process."""
        process = self._slots.pop(slot, None)
        if process is not None:
            self._kill_process(process.pid)
            self._discard(process)
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
        process = _Slot(slot, Channel(ours), OutputPipe(slot, read_end, self._budget), pid)
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
        channel = self._ready_nursery(slot)
        if channel is None:
            return None
        assert self._nursery is not None  # noqa: S101 - made ready just above
        with contextlib.suppress(OSError):  # it may be dead already; then there is no answer either
            channel.send({"fork": slot})
            socket.send_fds(self._nursery[2], [b"f"], [theirs.fileno(), write_end])
        while (answer := channel.receive_one()) is not None:
            if "pid" in answer:
                return int(answer["pid"])
            self._note_exit(answer)
        self._end_nursery()
        self._pending.append(Died(slot, "the process that forks the slots ended"))
        return None

    def _ready_nursery(self, slot: int) -> Channel | None:
        """Return the channel of a nursery that has loaded the model; ``None`` (and an event) when it can't."""
        if self._nursery is None:
            ours, theirs = socket.socketpair()
            fds_ours, fds_theirs = socket.socketpair()
            read_end, write_end = os.pipe()
            arguments = ["--socket", str(theirs.fileno()), "--descriptors", str(fds_theirs.fileno())]
            child = self._popen(arguments, theirs.fileno(), write_end, fds_theirs.fileno())
            for end in (theirs, fds_theirs):
                end.close()
            os.close(write_end)
            self._nursery = (child, Channel(ours), fds_ours)
            self._nursery_output = output = OutputPipe(slot, read_end, self._budget)
            self._selector.register(output, selectors.EVENT_READ, lambda: self._listen(output))
            answer = self._nursery[1].receive_one()
            if answer is None or "failure" in answer:
                child.wait()
                failure = (
                    Failure.of_message(answer["failure"])
                    if answer is not None
                    else Failure("WorkerDied", f"the process {_ending(child.returncode)} while it loaded the model")
                )
                self._end_nursery()
                self._pending.append(InitFailed(slot, failure))
                return None
        return self._nursery[1]

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
        child, channel, descriptors = self._nursery
        self._nursery = None
        child.kill()
        child.wait()
        channel.close()
        descriptors.close()
        if self._nursery_output is not None:
            if self._nursery_output in self._selector.get_map():  # a nursery that died has closed its end
                self._selector.unregister(self._nursery_output)
            self._nursery_output.close()
            self._nursery_output = None

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
                self.kill_quietly(process)
                return
        if not alive:
            was_busy = process.busy
            reason = self._ending_of(process.pid)
            self._slots.pop(process.number, None)
            self._kill_process(process.pid)
            self._discard(process)
            if was_busy:
                self._pending.append(Died(process.number, reason))

    def kill_quietly(self, process: _Slot) -> None:
        """End a slot that has said all there is to say."""
        self._slots.pop(process.number, None)
        self._kill_process(process.pid)
        self._discard(process)

    def _listen(self, output: OutputPipe) -> None:
        if not output.drain():
            self._selector.unregister(output)

    def _discard(self, process: _Slot) -> None:
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
                return _ending(self._spawned[pid].wait(_EXIT_GRACE))
            except subprocess.TimeoutExpired:
                return "closed its connection"
        deadline = time.monotonic() + _EXIT_GRACE
        while pid not in self._exits and self._nursery is not None and time.monotonic() < deadline:
            child, channel, _ = self._nursery
            with selectors.DefaultSelector() as selector:
                selector.register(channel, selectors.EVENT_READ)
                if not selector.select(deadline - time.monotonic()):
                    break
            messages, alive = channel.receive_ready()
            for message in messages:
                self._note_exit(message)
            if not alive:
                self._end_nursery()
                return f"lost the process it was forked from, which {_ending(child.returncode)}"
        return _ending(self._exits.pop(pid)) if pid in self._exits else "closed its connection"

    def _note_exit(self, message: dict[str, Any]) -> None:
        if "exited" in message:
            self._exits[int(message["exited"])] = int(message["code"])

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


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


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
