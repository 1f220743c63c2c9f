"""Telling whether a process of this host still exists, and tying a process to the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from airflow_batch_endpoints.worker.ledger import ProcessIdentity

_PR_SET_PDEATHSIG = 1


def identify() -> ProcessIdentity | None:
    """Return who this process is; ``None`` where the system does not tell (no ``/proc``)."""
    try:
        return ProcessIdentity(
            boot=_boot(), pid_namespace=_pid_namespace(), pid=os.getpid(), start_ticks=_start_ticks(os.getpid())
        )
    except OSError:
        return None


def is_gone(process: ProcessIdentity) -> bool:
    """Tell that a process has ended for good.

    :return: ``False`` also when it can't be known: another host, another container.
    """
    try:
        if process.boot != _boot() or process.pid_namespace != _pid_namespace():
            return False
    except OSError:
        return False
    try:
        return _start_ticks(process.pid) != process.start_ticks
    except OSError:
        return True


def is_frozen(pid: int) -> bool:
    """Tell whether a process was stopped by a signal and has not been continued. A debugger's is not."""
    try:
        return _state_and_later(pid)[0] == "T"
    except OSError:
        return False


def ending(code: int) -> str:
    """Say how a process ended, by its return code as :mod:`subprocess` gives it."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"


def signal_when_parent_ends(signal_number: signal.Signals, parent: int) -> bool:
    """Have the kernel send this process a signal when its parent ends, however that ends.

    :param parent: number of the process that must be the parent now.
    :return: ``False`` if the parent has ended already.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number))
    return os.getppid() == parent


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _state_and_later(pid: int) -> list[str]:
    # The second field is the command in parentheses, which may hold anything; count from behind it.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _start_ticks(pid: int) -> int:
    fields = _state_and_later(pid)
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[19])
