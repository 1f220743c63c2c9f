"""The short form of the simulation; ``make campaign`` runs the long one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.campaigns.simulation import makespan
from tests.campaigns.simulation.airflow import simulate
from tests.campaigns.simulation.checks import check
from tests.campaigns.simulation.schedules import Hit, Schedule, draw

SHORT = 1_200
"""Schedules in ``make test``."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    yield
    logging.disable(before)


@pytest.mark.parametrize("first", range(0, SHORT, 100))
def test_every_schedule_keeps_the_promises(first: int) -> None:
    for seed in range(first, first + 100):
        schedule = draw(seed)
        try:
            check(simulate(schedule))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}\n{schedule}") from error


def test_a_seed_reproduces_its_history() -> None:
    for seed in (3, 77, 1234):
        first, second = simulate(draw(seed)), simulate(draw(seed))
        assert first.bucket.requests == second.bucket.requests
        assert first.world.now == second.world.now
        assert [process.steps for process in first.world.processes] == [p.steps for p in second.world.processes]


JOB = Schedule(
    seed=0, items=5, mini_batch_size=2, shards_per_slot=1, instances=2, slots=1, behaviour={3: "raise"}, publishers=2
)


@pytest.mark.parametrize("kind", ["kill", "terminate", "pause"])
@pytest.mark.parametrize("process", range(5))
def test_whatever_hits_any_process_at_any_of_its_steps(process: int, kind: str) -> None:
    """Process 0 plans, 1 and 2 score, 3 and 4 publish at the same time."""
    step = 0
    while True:
        step += 1
        history = simulate(replace(JOB, hits=(Hit(process, step, kind),)))
        try:
            check(history)
        except AssertionError as error:
            raise AssertionError(f"{kind} at step {step} of process {process}: {error}") from error
        if history.world.processes[process].steps < step:
            break
    assert step > 10, "the process takes more steps than that"


def test_an_instance_hit_at_each_of_its_steps_while_it_tries_poison() -> None:
    poisoned = replace(JOB, behaviour={1: "crash"}, one_host=True)
    for process in range(1, 6):
        for step in range(1, 60, 2):
            check(simulate(replace(poisoned, hits=(Hit(process, step, "kill"),))))


def test_work_is_shared_out_well_and_the_store_is_asked_little() -> None:
    outcome = makespan.run(makespan.Load(workers=32, shards=1_000, evictions_per_hour=0.5), seed=4)
    assert outcome.evictions
    assert outcome.ratio < 1.3
    assert outcome.kinds["lost claims and commits"] < 0.2
