"""What the processes of the long form do. In a module of its own: what ``__main__`` holds they cannot import."""

from __future__ import annotations

import logging

from tests.campaigns.simulation import makespan
from tests.campaigns.simulation.airflow import simulate
from tests.campaigns.simulation.checks import check
from tests.campaigns.simulation.schedules import draw


def silence() -> None:
    """Keep quiet about the faults that are made."""
    logging.disable(logging.ERROR)


def attempt(seed: int) -> str | None:
    """Try a schedule; return what went wrong."""
    try:
        check(simulate(draw(seed)))
    except Exception as error:
        return f"seed {seed}: {type(error).__name__}: {error}"
    return None


def work(seed: int) -> makespan.Outcome:
    """Simulate a big job."""
    return makespan.run(makespan.Load(), seed)
