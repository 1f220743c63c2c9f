"""Virtual time, and processes that live in it.

Every process runs real, blocking code in a greenlet; where it would wait it hands control to the world, which
jumps to whatever is due next. Nothing depends on the speed of this machine, so a seed gives one history.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

MOST_EVENTS = 300_000
"""A job that needs more than this goes round in circles."""


class Killed(BaseException):
    """The process is gone and says nothing any more, not even in its ``finally`` clauses."""


class Endless(AssertionError):
    """The world did not come to rest."""


class Task:
    """One thread of control. Entries in the agenda carry a ticket; waking a task early makes its old one void."""

    def __init__(self, world: World, body: Callable[[], object], process: Process | None) -> None:
        self.world = world
        self.process = process
        self.has_ended = False
        self.ticket = 0
        self._is_killed = False
        self._greenlet = greenlet(lambda: self._run(body), parent=world.hub)
        self._greenlet.task = self  # type: ignore[attr-defined]

    def _run(self, body: Callable[[], object]) -> None:
        try:
            if not self._is_killed:
                body()
        except Killed:
            pass
        finally:
            self.has_ended = True

    def resume(self) -> None:
        """Go on until the task waits again."""
        if not self.has_ended:
            self._greenlet.switch()

    def block(self) -> None:
        """Hand control to the world until somebody schedules this task."""
        self.world.hub.switch()
        if self._is_killed:
            raise Killed

    def kill(self) -> None:
        """End the task where it stands."""
        if self.has_ended:
            return
        self._is_killed = True
        if getcurrent() is self._greenlet:
            raise Killed
        self.world.schedule(self, 0.0)


class World:
    """The agenda: who goes on when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = getcurrent()
        self.processes: list[Process] = []
        self._agenda: list[tuple[float, int, int, Task]] = []
        self._order = itertools.count()

    def schedule(self, task: Task, delay: float) -> None:
        """Let a task go on after a delay, and not when it was due before."""
        task.ticket += 1
        heapq.heappush(self._agenda, (self.now + delay, next(self._order), task.ticket, task))

    def start(self, body: Callable[[], object], process: Process | None = None, delay: float = 0.0) -> Task:
        """Start a thread of control."""
        task = Task(self, body, process)
        self.schedule(task, delay)
        return task

    def sleep(self, seconds: float) -> None:
        """Let the current task wait."""
        task = current()
        self.schedule(task, seconds)
        task.block()

    def run(self, events: int = MOST_EVENTS) -> None:
        """Let time pass until nothing is due any more.

        :param events: how many at most.
        """
        for _ in range(events):
            if not self._agenda:
                return
            due, _, ticket, task = heapq.heappop(self._agenda)
            if ticket == task.ticket and not task.has_ended:
                self.now = due
                task.resume()
        raise Endless(f"after {events} events, at {self.now:.0f} s of virtual time, the world still goes on")


def current() -> Task:
    """Return the task that runs now."""
    return getcurrent().task  # type: ignore[attr-defined,no-any-return]


class Process:
    """A worker command: its main thread of control, its children (slots), and what happens to it from outside.

    :param name: for messages, such as ``score 2``.
    :param main: what it runs; its return value is the exit code.
    :param on_step: called at every point where it may be hit by something, with the number of the step.
    """

    def __init__(
        self, world: World, name: str, main: Callable[[Process], int], on_step: Callable[[Process, int], None]
    ) -> None:
        self.world = world
        self.name = name
        self.number = len(world.processes)
        self.exit_code: int | None = None
        """``None`` while it runs, and -9 when it was killed."""
        self.error: BaseException | None = None
        self.request_stop: Callable[[], None] = lambda: None
        self.state: dict[str, Any] = {}
        """What belongs to this process alone: its connection to the store, its slots."""
        self.clock_offset = 7919.0 * self.number
        self.steps = 0
        self._main_body = main
        self._on_step = on_step
        self._children: list[Task] = []
        self._waiters: list[Task] = []
        world.processes.append(self)
        self.main = world.start(self._run, self)

    def _run(self) -> None:
        code = self._main_body(self)
        self._end(code)

    def _end(self, code: int) -> None:
        if self.exit_code is None:
            self.exit_code = code
            for task in self._waiters:
                self.world.schedule(task, 0.0)

    def step(self) -> None:
        """Mark a point between two actions: here the process may be killed, paused or signalled."""
        if self.exit_code is not None:
            raise Killed
        self.steps += 1
        self._on_step(self, self.steps)

    def fork(self, body: Callable[[], object]) -> Task:
        """Start a child, which ends with this process."""
        child = self.world.start(body, self)
        self._children.append(child)
        return child

    def kill(self) -> None:
        """End the process and its children at once."""
        if self.exit_code is not None:
            return
        self._end(-9)
        me = current()
        for task in [self.main, *self._children]:
            if task is not me:
                task.kill()
        if me in (self.main, *self._children):
            me.kill()

    def wait(self, seconds: float | None = None) -> int | None:
        """Let the current task wait for the end of this process.

        :return: the exit code, ``None`` when it still runs after ``seconds``.
        """
        if self.exit_code is None:
            task = current()
            self._waiters.append(task)
            if seconds is not None:
                self.world.schedule(task, seconds)
            task.block()
            self._waiters.remove(task)
        return self.exit_code

    def monotonic(self) -> float:
        """The clock of the host this process is on; no two hosts agree."""
        return self.world.now + self.clock_offset
