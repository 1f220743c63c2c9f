"""What a job's directory tells somebody who looks at it from outside, while real workers are at it."""

from __future__ import annotations

import os
import signal

import pytest

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.services.directory import look, recall
from airflow_batch_endpoints.services.resources import Progress
from airflow_batch_endpoints.storage.local import LocalStore
from tests.worker.conftest import Job, eventually

# Waits for the gate, so that a test decides when a shard is done.
GATED = """
import os, time
def init():
    pass
def run(mini_batch):
    while not os.path.exists("{gate}"):
        time.sleep(0.02)
    if any("3.csv" in path for path in mini_batch):
        raise ValueError("no threes")
    return [os.path.basename(path) for path in mini_batch]
"""


def at(job: Job, *, is_over: bool = False) -> Progress:
    found = look(LocalStore(str(job.output)), "e", job.name, is_over=is_over)
    assert found is not None
    return found


@pytest.fixture
def gated(job: Job) -> Job:
    job.files({f"{number}.csv": f"{number}\n" for number in range(6)}).script(
        GATED.replace("{gate}", str(job.folder / "gate"))
    )
    return job


def test_progress_of_a_job_that_loses_an_instance(gated: Job) -> None:
    job = gated
    assert look(LocalStore(str(job.output)), "e", job.name, is_over=False) is None
    settings = {"mini_batch_size": 1, "retry_settings": {"max_retries": 0}, "keep_working_state": True}
    job.do("plan", **settings, error_threshold=-1)
    planned = at(job)
    assert (planned.items, planned.items_done, planned.mini_batches, planned.mini_batches_done) == (6, 0, 6, 0)
    assert (planned.instances, planned.spans, planned.seconds_left) == ([], [], None)

    first = job.start("score", "--instance", "0")
    held = eventually(lambda: [span for span in at(job).spans if span.state == "held"])
    assert {(span.instance, span.attempt, span.ended) for span in held} == {(0, 1, None)}
    (live,) = at(job).instances
    assert (live.instance, live.state) == (0, "running")
    assert set(live.working_on) <= {span.shard for span in at(job).spans}
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    # Who only looks at the directory cannot tell; the run can.
    assert {span.state for span in at(job).spans} == {"held"}
    assert {span.state for span in at(job, is_over=True).spans} == {"lost"}

    (job.folder / "gate").touch()
    job.do("score", "--instance", "1")
    done = at(job)
    assert (done.items_done, done.items_failed, done.mini_batches_done, done.shards_done) == (6, 1, 6, done.shards)
    committed = [span for span in done.spans if span.state == "committed"]
    assert sorted(span.shard for span in committed) == list(range(done.shards or 0))
    assert {span.instance for span in committed} == {1}
    assert all(span.started and span.ended and span.started <= span.ended for span in committed)
    lost = [span for span in done.spans if span.state == "lost"]
    assert {(span.instance, span.attempt) for span in lost} == {(0, 1)}
    assert {span.shard for span in lost} == {span.shard for span in held}
    assert {instance.instance: instance.state for instance in done.instances}[1] == "finished"
    assert {instance.instance: instance.shards_done for instance in done.instances} == {0: 0, 1: done.shards}
    job.do("publish")
    assert at(job, is_over=True).shards_done == done.shards
    kept = recall(LocalStore(str(job.output)), "e", job.name)
    assert kept is not None
    assert (kept.spans, kept.is_cut) == (done.spans, False)
    told = {one.instance: (one.state, one.shards_done, one.succeeded, one.failed, one.rows) for one in kept.instances}
    assert told == {0: ("lost", 0, 0, 0, 0), 1: ("finished", done.shards, 5, 1, 5)}


def test_what_stays_of_a_published_job(gated: Job) -> None:
    store = LocalStore(str(gated.output))
    assert recall(store, "e", gated.name) is None
    (gated.folder / "gate").touch()
    gated.run(mini_batch_size=1, max_concurrency_per_instance=2, error_threshold=-1)
    assert look(store, "e", gated.name, is_over=True) is None
    kept = recall(store, "e", gated.name)
    assert kept is not None
    assert [span.state for span in kept.spans] == ["committed"] * len(kept.spans)
    assert sorted(span.shard for span in kept.spans) == list(range(len(kept.spans)))
    (only,) = kept.instances
    assert (only.state, only.shards_done, only.succeeded, only.failed) == ("finished", len(kept.spans), 5, 1)
    with pytest.raises(InfrastructureError, match="another job has published"):
        recall(store, "e", "other")
    (gated.output / "_timeline.json").write_text("{}")
    with pytest.raises(InfrastructureError, match="not one of this version"):
        recall(store, "e", gated.name)


def test_a_job_that_replaces_another_leaves_its_own_timeline(gated: Job) -> None:
    (gated.folder / "gate").touch()
    gated.run(error_threshold=-1)
    gated.name = "job-2"
    gated.run(error_threshold=-1, output_exists="replace")
    kept = recall(LocalStore(str(gated.output)), "e", "job-2")
    assert kept is not None
    assert kept.spans


def test_the_directory_of_another_job(gated: Job) -> None:
    gated.do("plan")
    with pytest.raises(InfrastructureError, match="another job"):
        look(LocalStore(str(gated.output)), "e", "other", is_over=False)
    (gated.output / "_batch" / "job.json").write_text("{}")
    with pytest.raises(InfrastructureError, match="not one of this version"):
        look(LocalStore(str(gated.output)), "e", gated.name, is_over=False)


def test_odd_names_in_the_directory_are_no_error(gated: Job) -> None:
    gated.do("plan")
    for name in ("claims/x.y", "claims/12", "commits/odd.json", "parts/odd", "failures/1.2.3", "instances/odd.json"):
        path = gated.output / "_batch" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("odd")
    found = at(gated)
    assert (found.shards_done, found.items_failed, found.spans, found.instances) == (0, 0, [], [])
