"""How much memory a process and what it started use."""

from __future__ import annotations

import os
from pathlib import Path


def of_session(leader: int) -> int:
    """Return the proportional memory of a process and of what it started, in bytes.

    Pages shared with others (a model loaded before the fork) count by share, so that four slots with one model are not
    taken for four models.

    :param leader: process number; a slot leads a process group of its own.
    """
    total = 0
    for pid in [leader, *_descendants(leader)]:
        total += _proportional(pid)
    return total


def _descendants(pid: int) -> list[int]:
    found = []
    try:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += [int(child), *_descendants(int(child))]
    except OSError:
        return found
    return found


def _proportional(pid: int) -> int:
    """Proportional set size where the kernel tells (reading it is not free), else the resident size."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
