"""What decides how an instance behaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

DEATHS_TO_CONDEMN = 3
"""An item becomes a dead letter when it has killed its process this often with nothing else in it."""
ATTEMPTS_AT_OUTAGES = 3
"""An item that cannot be fetched is a dead letter at this attempt at its shard; before, the store is to blame."""
SHORTEST_PAUSE = 0.05
"""Seconds per instance before the second look at what the others do."""


class Clock(Protocol):
    """The time on this host."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow, since some moment."""
        ...


@dataclass(frozen=True)
class Rules:
    """The settings of a job that decide how an instance behaves."""

    instance: int
    instances: int
    listed: int
    """Items in the plan."""
    max_retries: int
    timeout: float
    """Seconds for one ``run()``."""
    init_timeout: float
    """Seconds for a slot to be ready."""
    error_threshold: int | str
    lease: float
    """Seconds without a new heartbeat after which an incarnation counts as dead, in a job of up to 16 instances."""
    static: bool = False

    @property
    def heartbeat(self) -> float:
        """Seconds between heartbeats: the more instances, the longer, so that the store hears about the same."""
        return self.lease / 4 * min(max(1.0, self.instances / 16), 8.0)

    @property
    def shortest_pause(self) -> float:
        """Seconds between the first looks of an instance with nothing left to claim."""
        return min(SHORTEST_PAUSE * self.instances, self.longest_pause)

    @property
    def longest_pause(self) -> float:
        """Seconds between the later ones: so late may the end of the job be noticed."""
        return self.lease / 4

    @property
    def silence(self) -> float:
        """Seconds without a new heartbeat after which an incarnation counts as dead: at least a lease."""
        return max(self.lease, 2.5 * self.heartbeat)
