"""The life of a job as Airflow leads it: tasks with retries, a run that is cleared when it failed."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.documents.deployment import DeploymentSettings
from airflow_batch_endpoints.exceptions import (
    BatchEndpointsError,
    InfrastructureError,
    StoppedError,
    ThresholdExceededError,
)
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.worker.commands import plan, publish, score
from tests.campaigns.simulation.machine import OUTPUT, installed
from tests.campaigns.simulation.schedules import Schedule
from tests.campaigns.simulation.slots import Model, SimulatedSlots
from tests.campaigns.simulation.store import Bucket, Connection, StoreFaults
from tests.campaigns.simulation.world import Process, World, current

JOB = "job-1"
MOST_SUBMISSIONS = 6
MOST_RETRIES = 40
RESTART_SECONDS = 10.0
GRACE_SECONDS = 30.0


@dataclass
class History:
    """What became of a job."""

    schedule: Schedule
    bucket: Bucket
    world: World
    model: Model
    errors: list[BatchEndpointsError] = field(default_factory=list)
    """What each submission ended with, but for the last if that went well."""
    published: dict[str, Any] | None = None
    at_publication: dict[str, bytes] = field(default_factory=dict)
    """What readers found when ``publish`` had returned."""


class Job:
    """One job, from its first submission to rest."""

    def __init__(self, schedule: Schedule, scratch: Path) -> None:
        self.schedule = schedule
        self.world = World()
        self.bucket = Bucket()
        self.model = Model(
            schedule.behaviour, schedule.durations, init_failures=schedule.init_failures, is_broken=schedule.is_broken
        )
        self.history = History(schedule, self.bucket, self.world, self.model)
        self.dice = random.Random(schedule.seed + 1)
        self._faults = StoreFaults(schedule.request_seconds, schedule.store_rate, schedule.store_failures)
        self.scratch = scratch
        self.files = [(f"{number:03}.csv", 10 + number % 3) for number in range(schedule.items)]
        self._submission = 0
        if schedule.replaces:
            old = {
                "manifest.json": b'{"job": "job-0", "endpoint": "e", "plan": {}, "model_uri": "m", "keep_working_state": false,'
                b' "files": [{"name": "predictions.csv"}, {"name": "extra.bin"}], "dead_letters": {"name": "dead_letters.jsonl"}}',
                "predictions.csv": b"old",
                "extra.bin": b"old",
                "dead_letters.jsonl": b"old",
            }
            for key, content in old.items():
                self.bucket.put(key, content)
        self._spec = JobSpec(
            endpoint="e", deployment="d", deployment_revision="r", job=JOB, input_uri="s3://bucket/in", output_uri=OUTPUT,
            model_uri="s3://bucket/model", code_uri="s3://bucket/code", scoring_script="score.py",
            instance_count=schedule.instances,
            settings=DeploymentSettings(
                mini_batch_size=schedule.mini_batch_size,
                max_concurrency_per_instance=schedule.slots,
                error_threshold=schedule.error_threshold,
                retry_settings={"max_retries": schedule.max_retries, "timeout": 150},
                output_exists="replace" if schedule.replaces else "fail",
                keep_working_state=schedule.keep_working_state,
                logging_level="warning",
            ),
        )  # fmt: skip

    def run(self) -> History:
        """Let everything happen that will."""
        with installed(self):
            self.world.start(self._live)
            self.world.run()
        return self.history

    # -- Airflow's side -----------------------------------------------------------------------------------------

    def _live(self) -> None:
        for self._submission in range(MOST_SUBMISSIONS):
            error = self._submit()
            if error is None:
                return
            self.history.errors.append(error)
            self.model.is_broken = False  # the user has read the sentence
            if isinstance(error, ThresholdExceededError) or "no item succeeded" in str(error):
                return
        raise AssertionError(f"{MOST_SUBMISSIONS} submissions, and no end: {self.history.errors}")

    def _submit(self) -> BatchEndpointsError | None:
        """Run the tasks of one submission. ``None``: the job is completed."""
        planners = [self._command("plan") for _ in range(self.schedule.planners)]
        result = self._finish(planners, "plan")
        if isinstance(result, BatchEndpointsError):
            return result
        is_cancelled = self._score(result["instances"])
        if is_cancelled:
            return StoppedError("cancelled")
        publishers = [self._command("publish") for _ in range(self.schedule.publishers)]
        result = self._finish(publishers, "publish")
        if isinstance(result, BatchEndpointsError):
            return result
        self.history.published = result
        self.history.at_publication = readable(self.bucket)
        return None

    def _finish(self, processes: list[Process], command: str) -> Any:
        """Wait for one of some processes of one task, retry as Airflow does, and return its result or its error."""
        for _ in range(MOST_RETRIES):
            for process in processes:
                if process.wait(seconds=5_000) == 0:
                    return process.state["result"]
            codes = {process.exit_code for process in processes}
            if not codes & {None, 1, 4, -9}:
                return processes[0].error
            self.world.sleep(RESTART_SECONDS)
            processes = [self._command(command)]
        raise AssertionError(f"{command} was retried {MOST_RETRIES} times in vain")

    def _score(self, instances: int) -> bool:
        """Run the instances; ``True`` when the job was cancelled meanwhile."""
        world, schedule = self.world, self.schedule
        tasks = [_Instance(self, number) for number in range(instances)]
        if self._submission == 0:
            for delay, number in schedule.twins:
                world.start(lambda number=number: self._command("score", number % instances) and None, delay=delay)
            if schedule.cancel_after is not None:
                world.sleep(schedule.cancel_after)
                return self._cancel(tasks)
        while not all(task.has_ended for task in tasks):
            world.sleep(1.0)
        return False

    def _cancel(self, tasks: list[_Instance]) -> bool:
        if all(task.has_ended for task in tasks):
            return False
        for task in tasks:
            task.is_wanted = False
            task.process.request_stop()
        self.world.sleep(GRACE_SECONDS)
        for task in tasks:
            # A node that does not answer keeps its zombie.
            if not task.process.state.get("is_paused"):
                task.process.kill()
        return True

    def _command(self, command: str, instance: int = 0) -> Process:
        submission = str(self._submission)
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "plan": lambda: plan.run(self._spec, submission=submission),
            "score": lambda: score.run(OUTPUT, JOB, submission, instance=instance),
            "publish": lambda: publish.run(OUTPUT, JOB, submission),
        }

        def main(process: Process) -> int:
            """As ``__main__`` does it."""
            try:
                process.state["result"] = work[command]()
            except BatchEndpointsError as error:
                process.error = error
                return error.exit_code
            except OSError as error:
                process.error = InfrastructureError(str(error))
                return 1
            return 0

        process = Process(self.world, f"{command} {instance}", main, self._hit)
        process.state["store"] = Connection(self.world, self.bucket, process, self._faults, self.dice)
        return process

    def _hit(self, process: Process, step: int) -> None:
        if process.state.get("owes_pause") and current() is process.main:
            self._pause(process)
        for hit in self.schedule.hits:
            if (hit.process, hit.step) != (process.number, step):
                continue
            slots: SimulatedSlots | None = process.state.get("slots")
            if hit.kind == "terminate":
                process.request_stop()
            elif hit.kind == "kill-slot" and slots is not None:
                slots.kill_from_outside(step % slots.count)
            elif hit.kind == "freeze-slot" and slots is not None:
                slots.freeze_from_outside(step % slots.count)
            elif hit.kind in ("kill", "pause"):
                if slots is not None:
                    # Whatever ran alone here may be blamed for it.
                    self.model.deaths_alone.update(item for items in slots.in_run.values() for item in items)
                if hit.kind == "kill":
                    process.kill()
                elif current() is process.main:
                    self._pause(process)
                else:
                    # A slot that is stopped for longer than its timeout has taken too long; the coordinator has not.
                    process.state["owes_pause"] = True

    def _pause(self, process: Process) -> None:
        process.state |= {"owes_pause": False, "is_paused": True}
        self.world.sleep(self.schedule.pauses)
        process.state["is_paused"] = False


class _Instance:
    """A mapped task: one process after the other until one ends well, or so that a retry is pointless."""

    def __init__(self, job: Job, number: int) -> None:
        self.has_ended = False
        self.is_wanted = True
        self._job = job
        self._number = number
        self.process = job._command("score", number)
        job.world.start(self._watch)

    def _watch(self) -> None:
        for _ in range(MOST_RETRIES):
            while self.process.wait(seconds=1_000) is None:
                if self.process.state.get("is_paused"):
                    break  # the node does not answer: its pod is given up, whatever it still does
            if self.process.exit_code in (0, 2, 3) or not self.is_wanted:
                break
            self._job.world.sleep(RESTART_SECONDS)
            if not self.is_wanted:
                break
            self.process = self._job._command("score", self._number)
        self.has_ended = True


def readable(bucket: Bucket) -> dict[str, bytes]:
    """Return what readers of the output see."""
    return {key: content for key, content in bucket.objects.items() if not key.startswith("_")}


def simulate(schedule: Schedule) -> History:
    """Live through a schedule."""
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=_memory()) as scratch:
        return Job(schedule, Path(scratch)).run()


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
