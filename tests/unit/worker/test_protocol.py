from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_batch_endpoints.exceptions import InfrastructureError, ModelError, StoppedError, ThresholdExceededError
from airflow_batch_endpoints.jobs import layout
from tests.unit.worker.simulation import Crash, SimulatedPlan, SimulatedSlots, World, coordinator

PLANS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=5)


def commits(world: World) -> dict[int, dict[str, Any]]:
    found = {}
    for key in world.store.list(layout.COMMITS):
        commit = json.loads(world.store.objects[key])
        found[commit["shard"]] = commit
    return found


def rows(world: World) -> list[int]:
    """The items in the published order: shards by number, each one's part in its own order."""
    return [item for _, commit in sorted(commits(world).items()) for item in world.sealed[commit["part"]]]


def assert_nothing_lost_nothing_twice(world: World, plan: SimulatedPlan, bad: set[int]) -> None:
    assert rows(world) == [item for item in range(plan.items) if item not in bad]
    done = commits(world).values()
    assert sum(commit["failed"] for commit in done) == len(bad)
    assert sum(commit["items"] for commit in done) == plan.items
    assert all(commit["items"] == commit["succeeded"] + commit["failed"] for commit in done)


@settings(max_examples=60, deadline=None)
@given(shards=PLANS, data=st.data())
def test_every_item_ends_once_whatever_the_items_do(shards: list[list[int]], data: st.DataObject) -> None:
    plan = SimulatedPlan(shards)
    behaviour = data.draw(st.dictionaries(st.integers(0, plan.items - 1), st.sampled_from(["raise", "die", "hang"])))
    world = World(behaviour=behaviour)
    coordinator(world, plan, max_retries=data.draw(st.integers(0, 2))).run()
    assert_nothing_lost_nothing_twice(world, plan, set(behaviour))


@settings(max_examples=150, deadline=None)
@given(
    shards=PLANS,
    crashes=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=4),
    slots=st.integers(1, 3),
    behaviour=st.dictionaries(st.integers(0, 10), st.sampled_from(["raise", "die"]), max_size=3),
)
def test_a_job_survives_incarnations_that_crash_at_any_request(
    shards: list[list[int]], crashes: list[tuple[int, bool]], slots: int, behaviour: dict[int, str]
) -> None:
    plan = SimulatedPlan(shards)
    world = World(behaviour={item: does for item, does in behaviour.items() if item < plan.items})
    for number, (requests, has_effect) in enumerate(crashes):
        crash_after(world, requests, has_effect)
        try:
            coordinator(world, plan, incarnation=f"0-{number}", slots=SimulatedSlots(world, slots)).run()
        except Crash:
            continue
    crash_after(world, -1, False)
    coordinator(world, plan, incarnation="0-last", slots=SimulatedSlots(world, slots)).run()
    assert_nothing_lost_nothing_twice(world, plan, set(world.behaviour))


def crash_after(world: World, requests: int, has_effect: bool) -> None:
    """Crash at a write, before or after its effect."""
    left = iter(range(requests)) if requests >= 0 else None

    def maybe(operation: str, key: str) -> None:
        if left is not None and operation in ("create", "write") and next(left, None) is None:
            raise Crash

    world.store.before = (lambda *_: None) if has_effect else maybe
    world.store.after = maybe if has_effect else (lambda *_: None)


def test_a_failing_mini_batch_is_retried_then_bisected_to_the_guilty_item() -> None:
    plan, world = SimulatedPlan([[4]]), World(behaviour={2: "raise"})
    coordinator(world, plan, max_retries=1, slots=SimulatedSlots(world, 1)).run()
    assert world.runs == [(0, 1, 2, 3), (0, 1, 2, 3), (0, 1), (2, 3), (2,), (3,)]


def test_a_hanging_run_is_killed_at_its_timeout() -> None:
    plan, world = SimulatedPlan([[1]]), World(behaviour={0: "hang"})
    slots = SimulatedSlots(world, 1)
    before = world.clock.now
    coordinator(world, plan, max_retries=1, timeout=30.0, slots=slots).run()
    assert slots.killed == [0, 0]
    assert world.clock.now - before >= 60


def test_a_slot_that_somebody_froze_costs_no_item_its_tries() -> None:
    plan, world = SimulatedPlan([[2]]), World(behaviour={0: "freeze", 1: "raise"})

    class Thawing(SimulatedSlots):
        def kill(self, slot: int) -> None:
            super().kill(slot)
            world.behaviour.pop(0, None)

    slots = Thawing(world, 1)
    slots.freezes_in_seals = 2
    coordinator(world, plan, max_retries=0, slots=slots).run()
    assert slots.killed == [0, 0, 0]
    assert_nothing_lost_nothing_twice(world, plan, {1})


def test_an_item_that_kills_its_slot_is_condemned_after_three_deaths_alone() -> None:
    plan, world = SimulatedPlan([[2]]), World(behaviour={1: "die"})
    coordinator(world, plan, max_retries=0, slots=SimulatedSlots(world, 1)).run()
    assert world.runs.count((1,)) == 3
    assert_nothing_lost_nothing_twice(world, plan, {1})


def test_an_item_that_kills_whole_instances_ends_as_one_dead_letter() -> None:
    plan, world = SimulatedPlan([[2, 2], [3], [1]]), World(behaviour={5: "crash"})
    for number in range(12):
        try:
            coordinator(world, plan, incarnation=f"0-{number}").run()
        except Crash:
            continue
        break
    assert_nothing_lost_nothing_twice(world, plan, {5})
    assert world.runs.count((5,)) == 3


def test_killing_instances_condemns_nobody() -> None:
    plan, world = SimulatedPlan([[2], [2], [2]]), World()
    for number in range(3):
        crash_after(world, 3, True)
        with pytest.raises(Crash):
            coordinator(world, plan, incarnation=f"0-{number}").run()
    crash_after(world, -1, False)
    coordinator(world, plan, incarnation="0-last").run()
    assert_nothing_lost_nothing_twice(world, plan, set())


def test_a_living_owner_keeps_its_shard_and_a_silent_one_loses_it_after_a_lease() -> None:
    plan, world = SimulatedPlan([[1]]), World(behaviour={0: "crash"})
    with pytest.raises(Crash):
        coordinator(world, plan, incarnation="0-dead").run()
    world.behaviour.clear()
    before = world.clock.now
    coordinator(world, plan, incarnation="1-alive", lease=60.0).run()
    assert world.clock.now - before > 60
    assert rows(world) == [0]


def end_while_it_runs(world: World, plan: SimulatedPlan, *, is_killed: bool, **rules: object) -> None:
    """Have an instance end after its first heartbeat, with item 0 in hand."""
    world.behaviour[0] = "hang"
    slots = SimulatedSlots(world, 1)
    first = coordinator(world, plan, slots=slots, timeout=1e6, **rules)  # type: ignore[arg-type]
    wait, begin = slots.wait, world.clock.now

    def end_after_a_heartbeat(seconds: float) -> Any:
        if world.clock.now - begin > 60:
            if is_killed:
                raise Crash
            first.request_stop()
        return wait(seconds)

    slots.wait = end_after_a_heartbeat  # type: ignore[method-assign]
    with pytest.raises(Crash if is_killed else StoppedError):
        first.run()
    world.behaviour.clear()
    world.runs.clear()


@pytest.mark.parametrize("is_killed", [True, False])
def test_an_instance_goes_on_with_what_its_predecessor_was_running(is_killed: bool) -> None:
    """Left until all else is done, a shard that takes long would make the job as much longer."""
    plan, world = SimulatedPlan([[2], *[[1]] * 200]), World()
    end_while_it_runs(world, plan, is_killed=is_killed)
    coordinator(world, plan, incarnation="0-second", slots=SimulatedSlots(world, 1)).run()
    if is_killed:
        assert 0 < world.runs.index((0,)) < 150, "once it has been silent for a lease, and item by item"
    else:
        assert world.runs[0] == (0, 1), "at once, and as ever: nobody died of it"
    assert_nothing_lost_nothing_twice(world, plan, set())


def test_of_many_instances_with_nothing_to_do_a_few_wait_for_what_others_have_in_hand() -> None:
    plan, world = SimulatedPlan([[1]]), World(behaviour={0: "crash"})
    with pytest.raises(Crash):
        coordinator(world, plan, incarnation="0-dead", instances=9).run()
    world.behaviour.clear()
    before = world.clock.now
    coordinator(world, plan, incarnation="8-spare", instance=8, instances=9).run()
    assert world.clock.now == before
    assert not commits(world)
    coordinator(world, plan, incarnation="3-waits", instance=3, instances=9).run()
    assert rows(world) == [0]


def test_an_instance_waits_for_what_its_predecessor_had_in_hand_however_many_others_there_are() -> None:
    plan, world = SimulatedPlan([[1]]), World()
    end_while_it_runs(world, plan, is_killed=True, incarnation="8-first", instance=8, instances=9)
    coordinator(world, plan, incarnation="8-second", instance=8, instances=9).run()
    assert rows(world) == [0]


def test_stopping_releases_claims_at_once() -> None:
    plan, world = SimulatedPlan([[1], [1]]), World()
    first = coordinator(world, plan, incarnation="0-first")
    first.request_stop()
    with pytest.raises(StoppedError):
        first.run()
    before = world.clock.now
    coordinator(world, plan, incarnation="0-second").run()
    assert world.clock.now - before < 10
    assert rows(world) == [0, 1]


@pytest.mark.parametrize(
    ("threshold", "exceeded"), [(-1, False), (0, True), (1, True), (2, False), ("49%", True), ("50%", False)]
)
def test_the_threshold_stops_the_job(threshold: int | str, exceeded: bool) -> None:
    plan, world = SimulatedPlan([[1], [1], [1], [1]]), World(behaviour={0: "raise", 1: "raise"})
    job = coordinator(world, plan, error_threshold=threshold)
    if not exceeded:
        job.run()
        return
    with pytest.raises(ThresholdExceededError, match="2 of 4|1 of 4"):
        job.run()
    with pytest.raises(ThresholdExceededError):
        coordinator(world, plan, incarnation="1-other", error_threshold=threshold).run()


def test_init_that_fails_twice_is_the_deployments_fault() -> None:
    plan, world = SimulatedPlan([[1]]), World()
    with pytest.raises(ModelError, match="no model"):
        coordinator(world, plan, slots=SimulatedSlots(world, 1, init_failures=2)).run()
    world = World()
    coordinator(world, plan, slots=SimulatedSlots(world, 1, init_failures=1)).run()
    assert rows(world) == [0]


def test_a_store_that_fails_is_infrastructure_and_leaves_no_order_to_stop() -> None:
    plan, world = SimulatedPlan([[1]]), World()

    def fail(operation: str, key: str) -> None:
        if key.startswith(layout.COMMITS) and operation == "create":
            raise InfrastructureError("the store is away")

    world.store.before = fail
    with pytest.raises(InfrastructureError):
        coordinator(world, plan).run()
    assert not any("stop-" in key for key in world.store.objects)


def test_inputs_that_cannot_be_fetched_end_the_instance_and_only_in_the_end_the_item() -> None:
    plan, world = SimulatedPlan([[3], [1]]), World(behaviour={0: "outage"})
    for incarnation in ("0-a", "0-b"):
        with pytest.raises(InfrastructureError, match="the store of the input is away"):
            coordinator(world, plan, incarnation=incarnation, slots=SimulatedSlots(world, 1)).run()
        assert world.runs.count((0, 1, 2)) == 2  # its retry, and no bisection
        world.runs.clear()
    coordinator(world, plan, incarnation="0-c", slots=SimulatedSlots(world, 1)).run()
    assert_nothing_lost_nothing_twice(world, plan, {0})


def test_an_outage_of_the_inputs_costs_nothing_but_time() -> None:
    plan, world = SimulatedPlan([[2]]), World(behaviour={0: "outage", 1: "outage"})
    with pytest.raises(InfrastructureError):
        coordinator(world, plan, incarnation="0-a", slots=SimulatedSlots(world, 1)).run()
    world.behaviour.clear()
    before = world.clock.now
    coordinator(world, plan, incarnation="1-b", instance=1, instances=2, slots=SimulatedSlots(world, 1)).run()
    assert world.clock.now - before < 5.0  # what it had in hand is not waited for
    assert_nothing_lost_nothing_twice(world, plan, set())


def test_static_instances_do_their_own_shards_without_claims() -> None:
    plan, world = SimulatedPlan([[1], [1], [1]]), World()
    for instance in range(2):
        coordinator(world, plan, incarnation=f"{instance}-x", instance=instance, instances=2, static=True).run()
    assert rows(world) == [0, 1, 2]
    assert not world.store.list(layout.CLAIMS)
