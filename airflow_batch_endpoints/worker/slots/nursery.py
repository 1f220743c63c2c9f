"""The coordinator's side of the nursery: the process that loads the model once and forks slots from it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from airflow_batch_endpoints.worker.output import OutputPipe
from airflow_batch_endpoints.worker.processes import ending
from airflow_batch_endpoints.worker.slots.channel import Channel
from airflow_batch_endpoints.worker.slots.events import Failure


class Nursery:
    """A nursery that loads from the moment it is made. Nobody waits for it: its channel is readable when it has news.

    :param start: starts the process, given its arguments and the descriptors it inherits; the second is its output.
    :param listen: returns what reads its output, given the descriptor.
    """

    def __init__(self, start: Callable[..., subprocess.Popen[bytes]], listen: Callable[[int], OutputPipe]) -> None:
        ours, theirs = socket.socketpair()
        self._descriptors, given = socket.socketpair()
        read_end, write_end = os.pipe()
        arguments = ["--socket", str(theirs.fileno()), "--descriptors", str(given.fileno())]
        try:
            self._child = start(arguments, theirs.fileno(), write_end, given.fileno())
        finally:
            theirs.close()
            given.close()
            os.close(write_end)
        self.channel = Channel(ours)
        self.output = listen(read_end)
        self.is_ready = False
        """Whether it has loaded the model and forks."""
        self.has_ended = False
        """Whether it was found to have ended, by itself or by somebody's doing."""
        self._exits: dict[int, int] = {}

    def hear(self) -> Failure | None:
        """Take the news of a nursery that loads: it is ready then, or there is a reason why it cannot be."""
        messages, alive = self.channel.receive_ready()
        for message in messages:
            if "failure" in message:
                return Failure.of_message(message["failure"])
            self.is_ready = True
        if alive or self.is_ready:
            return None
        return Failure("WorkerDied", f"the process {self.ending()} while it loaded the model")

    def fork(self, slot: int, connection: int, output: int) -> int | None:
        """Fork a slot and return its process number; ``None`` when the nursery has ended."""
        with contextlib.suppress(OSError):  # it may be dead already; then there is no answer either
            self.channel.send({"fork": slot})
            socket.send_fds(self._descriptors, [b"f"], [connection, output])
        while (answer := self.channel.receive_one()) is not None:
            if "pid" in answer:
                return int(answer["pid"])
            self._note(answer)
        return None

    def exit_of(self, pid: int, seconds: float) -> str | None:
        """Say how a slot ended; ``None`` when the nursery does not tell in time."""
        deadline = time.monotonic() + seconds
        while pid not in self._exits:
            with selectors.DefaultSelector() as selector:
                selector.register(self.channel, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
            messages, alive = self.channel.receive_ready()
            for message in messages:
                self._note(message)
            if not alive:
                self.has_ended = True
                return f"lost the process it was forked from, which {self.ending()}"
        return ending(self._exits.pop(pid))

    def ending(self) -> str:
        """Say how the nursery ended."""
        return ending(self._child.wait())

    def close(self) -> None:
        """End it, and what the model has started while it was loaded: a nursery leads a process group of its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self.channel.close()
        self._descriptors.close()
        self.output.close()

    def _note(self, message: dict[str, Any]) -> None:
        if "exited" in message:
            self._exits[int(message["exited"])] = int(message["code"])
