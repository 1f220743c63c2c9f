"""Runs a command and takes care that nothing of it outlives the worker, or the command. A program of its own; stdlib only.

Called as ``guard.py <process number of the worker> <program> <arguments ...>``. It adopts what the
command leaves behind, kills all of it when the command has ended or the worker has, and ends as the command ended. SIGTERM is the
command's affair: the worker sends it to the whole process group, and the guard waits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SECONDS = 5.0
"""How long it goes on killing what does not end."""


def main(worker: int, command: list[str]) -> None:
    """Run a command to its end, or to the worker's."""
    watched = {signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGHUP))
    if os.getppid() != worker:
        return
    child = os.posix_spawn(command[0], command, os.environ, setsigmask=[], setsigdef=[signal.SIGPIPE])
    code = None
    while code is None and signal.sigwait(watched) != signal.SIGHUP:
        code = _reap().get(child)
    _kill_all()
    _end(1 if code is None else code)


def _reap() -> dict[int, int]:
    """Return what has ended, and how."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended


def _kill_all() -> None:
    deadline = time.monotonic() + _SECONDS
    while (left := _descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
        _reap()


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in map(int, file.read().split()):
                    found += [child, *_descendants(child)]
    return found


def _end(code: int) -> NoReturn:
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):  # SIGKILL has no disposition to reset
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
