"""What a command costs: the CPU seconds of every process it starts, wall seconds, peak memory.

The command runs below a process of its own that the kernel makes the parent of every orphan (a *subreaper*). So it
reaps, and thereby counts, what the command's own processes do not reap, such as slots whose nursery was ended. Where
processes are reaped by nobody (the kernel forgets at once what Ray's children cost, which Ray ignores), what was seen
of each counts.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.places import ROOT

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.25
"""Between looks at the memory: they cost a little themselves."""
LEFT_BEHIND_SECONDS = 10.0
"""What outlives the command gets so long to end."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Every contestant is parallel by processes."""


@dataclass(frozen=True)
class Measurement:
    """What one run of a command cost."""

    exit_code: int
    cpu: float
    """Seconds, user and system, of the whole process tree."""
    wall: float
    memory: float
    """Peak of the proportional set sizes of the tree, in MB."""
    settled_memory: float
    """Median of the same over the last third of the run."""
    load: float
    """Load average (1 minute) when the run began."""
    others: float
    """Processors that the rest of the machine kept busy meanwhile."""


class CommandFailedError(Exception):
    """A measured command did not end well."""


def measure(command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> Measurement:
    """Run a command and return what it cost.

    :param log: file that gets what it prints.
    :param environment: on top of this process's own and of :data:`ONE_THREAD`.
    :raises CommandFailedError: with the end of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        observer = subprocess.run(
            [sys.executable, "-m", "benchmarks.measuring", *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **ONE_THREAD, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            check=False,
        )
    if observer.returncode == 0:
        measurement = Measurement(**json.loads(observer.stdout))
        if measurement.exit_code == 0:
            return measurement
    raise CommandFailedError(
        f"{' '.join(map(str, command))} failed; {log} ends with:\n{log.read_text(errors='replace')[-2000:]}"
    )


def observe(command: Sequence[str]) -> Measurement:
    """Run a command as a child of this process, which must have no other, and wait for all it started."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become the parent of orphans")
    load, busy, start = os.getloadavg()[0], _busy_seconds(), time.monotonic()
    child = subprocess.Popen(command, stdout=sys.stderr)
    samples: list[float] = []
    seen: dict[tuple[int, str], float] = {}
    while child.poll() is None:
        pids = _descendants(os.getpid())
        samples.append(sum(_proportional(pid) for pid in pids) / 1e6)
        seen |= dict(filter(None, map(_seconds_of, pids)))
        time.sleep(SAMPLE_SECONDS)
    wall = time.monotonic() - start
    _reap_all()
    usage, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    cpu = max(usage.ru_utime + usage.ru_stime, sum(seen.values()))
    elapsed = time.monotonic() - start
    elsewhere = _busy_seconds() - busy - cpu - own.ru_utime - own.ru_stime
    return Measurement(
        exit_code=child.returncode,
        cpu=cpu,
        wall=wall,
        memory=max(samples, default=0.0),
        settled_memory=statistics.median(samples[-max(1, len(samples) // 3) :]) if samples else 0.0,
        load=load,
        others=max(0.0, elsewhere / elapsed),
    )


def _reap_all() -> None:
    """Wait for orphans; end those that do not end by themselves."""
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > deadline:
                for orphan in _descendants(os.getpid()):
                    os.kill(orphan, signal.SIGKILL)
            time.sleep(0.02)


def _descendants(pid: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            numbers = children.read_text().split()
        except OSError:
            continue
        for child in numbers:
            found += [int(child), *_descendants(int(child))]
    return found


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0


def _seconds_of(pid: int) -> tuple[tuple[int, str], float] | None:
    """Return a process, by number and start, and what it has cost by itself; nothing when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Without number and name, which come first: user and system time are fields 14 and 15 of proc(5), the start is 22.
    return (pid, fields[19]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy_seconds() -> float:
    """CPU seconds that the machine has spent on anything since it started."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps(asdict(observe(sys.argv[1:]))))
