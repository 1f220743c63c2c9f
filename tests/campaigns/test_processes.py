"""Faults on real processes: killed, stopped, told to stop; a full disk; a store that cannot be written; clocks that differ."""

from __future__ import annotations

import ast
import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import airflow_batch_endpoints
from tests.worker.conftest import Job, eventually

FILES = 40
SCRIPT = """
import os, time
def init():
    pass
def run(mini_batch):
    time.sleep(0.08)
    if any("07.csv" in path for path in mini_batch):
        raise ValueError("seven is bad")
    return [os.path.basename(path) + ":" + open(path).read() for path in mini_batch]
"""
EXPECTED = ["prediction", *(f'"{number:02}.csv:{number}"' for number in range(FILES) if number != 7)]


@pytest.fixture
def busy(make_job: Callable[..., Job]) -> Job:
    job = make_job("busy", instance_count=3).script(SCRIPT)
    return job.files({f"{number:02}.csv": str(number) for number in range(FILES)})


def planned(job: Job) -> Job:
    job.do("plan", mini_batch_size=2, max_concurrency_per_instance=2, retry_settings={"max_retries": 2, "timeout": 30})
    return job


def assert_undisturbed(job: Job) -> None:
    result = job.do("publish")
    assert (result["listed"], result["succeeded"], result["failed"]) == (FILES, FILES - 1, 1)
    assert job.predictions().decode().splitlines() == EXPECTED
    assert [letter["item"] for letter in job.dead_letters()] == ["07.csv"]


@pytest.mark.parametrize("seed", range(3))
def test_slots_and_coordinators_hit_at_random(busy: Job, seed: int) -> None:
    """Two processes believe they are instance 0; all are killed, stopped and told to stop until the work is done."""
    dice = random.Random(seed)
    planned(busy)
    workers = {number: busy.start("score", "--instance", str(max(0, number - 1))) for number in range(4)}
    stopped: list[int] = []
    for _ in range(14):
        time.sleep(dice.uniform(0.05, 0.4))
        number = dice.choice(list(workers))
        worker = workers[number]
        if worker.poll() is not None:
            if worker.returncode != 0:
                workers[number] = busy.start("score", "--instance", str(max(0, number - 1)))
            continue
        target = dice.choice([worker.pid, *busy.slots(worker.pid)])
        what = dice.choice([signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, what)
            if what == signal.SIGSTOP:
                stopped.append(target)
    for pid in stopped[::2]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    # The faults are over, but some stay stopped for good: one healthy instance ends the job.
    busy.do("score", "--instance", "2")
    assert_undisturbed(busy)
    before = busy.predictions()
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    for worker in workers.values():
        worker.communicate(timeout=60)
    assert busy.predictions() == before
    assert_undisturbed(busy)


def test_a_coordinator_that_slept_through_a_timeout_blames_nobody(make_job: Callable[..., Job]) -> None:
    job = make_job("sleepy").files({"a.csv": "a", "b.csv": "b"}).script(SCRIPT.replace("0.08", "1.0"))
    job.do("plan", mini_batch_size=1, retry_settings={"max_retries": 0, "timeout": 2})
    worker = job.start("score", "--instance", "0")
    eventually(lambda: list((job.output / "_batch" / "claims").glob("*")))
    time.sleep(0.5)
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(4.0)
    os.kill(worker.pid, signal.SIGCONT)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, output
    assert job.do("publish")["failed"] == 0


def test_a_slot_that_was_frozen_costs_nothing_but_time(make_job: Callable[..., Job]) -> None:
    job = make_job("sleepy").files({"a.csv": "a", "b.csv": "b"}).script(SCRIPT.replace("0.08", "1.0"))
    job.do("plan", mini_batch_size=1, retry_settings={"max_retries": 0, "timeout": 4})
    worker = job.start("score", "--instance", "0")
    eventually(lambda: list((job.output / "_batch" / "claims").glob("*")))
    eventually(lambda: job.slots(worker.pid))
    time.sleep(0.3)
    os.kill(job.slots(worker.pid)[0], signal.SIGSTOP)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, output
    assert job.do("publish")["failed"] == 0


# -- a store that cannot take it ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_a_sentence_and_the_job_goes_on_when_there_is_room(busy: Job, small_disk: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "output", property(lambda self: small_disk / "out"))
        planned(busy)
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        error = busy.do("score", "--instance", "0", code=1)["error"]
        assert error["type"] == "InfrastructureError"
        assert "no space left" in error["message"]
        assert "make room" in error["message"]
        assert "Traceback" not in busy.log
        ballast.unlink()
        busy.do("score", "--instance", "0")
        assert_undisturbed(busy)


def test_a_read_only_store_is_a_sentence(busy: Job, small_disk: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "output", property(lambda self: small_disk / "out"))
        planned(busy)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        error = busy.do("score", "--instance", "0", code=2)["error"]
        assert "permission denied" in error["message"]
        assert "Traceback" not in busy.log
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        busy.do("score", "--instance", "0")
        assert_undisturbed(busy)


# -- clocks -------------------------------------------------------------------------------------------------------------


def test_instances_on_hosts_whose_clocks_differ_by_hours(busy: Job) -> None:
    """One instance lives in a time name space whose monotonic clock is hours ahead, and is killed there."""
    probe = subprocess.run(
        ["unshare", "--time", "--fork", "--monotonic", "7200", "true"], capture_output=True, text=True
    )
    if probe.returncode != 0:
        pytest.skip(f"time name spaces cannot be made here: {probe.stderr.strip()}")
    planned(busy)
    ahead = busy.start(
        "score", "--instance", "1", wrapper=["unshare", "--time", "--fork", "--kill-child", "--monotonic", "7200"]
    )
    eventually(lambda: list((busy.output / "_batch" / "commits").glob("*.json")))
    beside = busy.start("score", "--instance", "0")
    time.sleep(0.3)
    os.killpg(ahead.pid, signal.SIGKILL)
    output, _ = beside.communicate(timeout=60)
    assert beside.returncode == 0, output
    assert_undisturbed(busy)


def test_no_wall_clock_decides_anything() -> None:
    """Neither the time of day nor a file's time stamp is ever asked for by what runs on a compute.

    With two exceptions: where a store has no better mark of a file's content, the time of its last change is compared for
    equality; and a server that shows a job's directory reads when its objects were made.
    """
    package = Path(airflow_batch_endpoints.__file__).parent
    wall = {"time", "time_ns", "now", "utcnow", "today", "getmtime", "getctime", "st_mtime", "st_ctime", "st_mtime_ns"}
    found = []
    for part in ("worker", "planning", "storage"):
        for path in sorted((package / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in wall:
                    found.append(f"{path.relative_to(package)}:{node.lineno}: {node.attr}")
    assert [where.partition(":")[0] for where in found] == ["storage/contents.py", "storage/local.py"], found
