"""The long form: ten thousand schedules, then the numbers of the claim code. Any failure names its seed."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
import traceback

from tests.campaigns.simulation import campaign, makespan
from tests.campaigns.simulation.airflow import simulate
from tests.campaigns.simulation.checks import check
from tests.campaigns.simulation.schedules import draw


def main() -> int:
    """Run what is asked for; the exit code tells whether every schedule kept the promises."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many schedules to try")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one")
    parser.add_argument("--seed", type=int, help="try this one alone, and show what happens in it")
    parser.add_argument("--makespan-seeds", type=int, default=30, help="how many big jobs to simulate for the numbers")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.seed is not None:
        return _show(options.seed)
    logging.disable(logging.ERROR)
    begin = time.monotonic()
    failures = 0
    with multiprocessing.get_context("spawn").Pool(options.processes, initializer=campaign.silence) as pool:
        seeds = range(options.first, options.first + options.schedules)
        for failure in pool.imap_unordered(campaign.attempt, seeds, chunksize=25):
            if failure:
                failures += 1
                print(failure, flush=True)
        print(f"{options.schedules} schedules, {failures} failures, {time.monotonic() - begin:.0f} s", flush=True)
        outcomes = []
        for outcome in pool.imap(campaign.work, range(options.makespan_seeds)):
            outcomes.append(outcome)
        if outcomes:
            print(makespan.describe(makespan.Load(), outcomes))
    return 1 if failures else 0


def _show(seed: int) -> int:
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
    schedule = draw(seed)
    print(schedule)
    history = simulate(schedule)
    for process in history.world.processes:
        print(process.number, process.name, "ended with", process.exit_code, process.error or "")
    for error in history.errors:
        print("a submission ended with", type(error).__name__, error)
    try:
        check(history)
    except AssertionError:
        traceback.print_exc()
        return 1
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
