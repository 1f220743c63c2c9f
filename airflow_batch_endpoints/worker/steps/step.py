"""One step of a pipeline job at work: what it comes after, what it gets, what it publishes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.exceptions import (
    BatchEndpointsError,
    IncompleteError,
    NotFoundError,
    StoppedError,
    UserError,
)
from airflow_batch_endpoints.jobs.pipeline import StepSpec
from airflow_batch_endpoints.jobs.steps import StepDone
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.contents import Contents
from airflow_batch_endpoints.worker import models
from airflow_batch_endpoints.worker.directory import pinned_pipeline
from airflow_batch_endpoints.worker.steps import identity, inputs
from airflow_batch_endpoints.worker.steps.record import Finished, StepRecord, taken_from

log = logging.getLogger(__name__)


class Step:
    """One step of a job.

    :param output_uri: folder of the job.
    :param job: name of the job.
    :param submission: which submission of the job this is.
    :param name: of the step.
    :raises UserError: the job has no such step.
    """

    def __init__(self, output_uri: str, job: str, submission: str, name: str) -> None:
        self.started = time.monotonic()
        self.store = open_store(output_uri)
        self.submission = submission
        self.pipeline = pinned_pipeline(self.store, job)
        names = {step.name: step for step in self.pipeline.graph}
        if name not in names:
            raise NotFoundError(f"job {job!r} has no step {name!r}; it has {', '.join(names) or 'none'}")
        self.spec: StepSpec = names[name]
        self.record = StepRecord(self.store, name)
        self.finished = Finished(self.pipeline.reuse_uri)

    @property
    def seconds(self) -> float:
        """How long this process has worked on it."""
        return round(time.monotonic() - self.started, 3)

    def settle(self, work: Callable[[], Any]) -> Any:
        """Do some work of the step; why it fails is left for who asks at the end of the job.

        :raises BatchEndpointsError: as the work does - but not when another process has finished the step meanwhile.
        """
        try:
            return work()
        except StoppedError:
            raise
        except (BatchEndpointsError, OSError) as error:
            done = self.record.done()
            if done is not None:
                log.info(
                    "another process has finished step %s; what failed here does not count: %s", self.spec.name, error
                )
                self.record.tidy(done)
                return result(done)
            if isinstance(error, BatchEndpointsError):
                self.record.fail(self.submission, error)
            raise

    def given(self) -> inputs.Given:
        """Return what the step gets. :raises IncompleteError: a step before it is not done."""
        done = {name: StepRecord(self.store, name).done() for name in sorted(self.spec.after)}
        missing = [name for name, before in done.items() if before is None]
        if missing:
            raise IncompleteError(
                f"step {self.spec.name} needs what step {missing[0]} makes, which is not done; clearing the "
                "run goes on from what is done"
            )
        return inputs.resolve(self.pipeline, self.spec, {name: before for name, before in done.items() if before})

    def code(self, folder: Path) -> Path | None:
        """Return a local folder with the step's code, in place when it is local."""
        return None if self.spec.code_uri is None else models.fetch_files(self.spec.code_uri, folder)

    def key(self, given: inputs.Given, found: dict[str, Contents | None], code: Path | None) -> str | None:
        """Return what the outputs of the step follow from; ``None`` when they are not to be used again."""
        if self.pipeline.reuse_uri is None or not self.spec.is_deterministic:
            return None
        return identity.key(self.spec, inputs.identities(given, found), code)

    def reuse(self, key: str | None) -> dict[str, Any] | None:
        """Publish the outputs of an equal step that has run before, if there is one and nothing forbids it."""
        found = None if self.pipeline.force_rerun else self.finished.find(key)
        if found is None:
            return None
        log.info("step %s: using the outputs of step %s of job %s again", self.spec.name, found.step, found.job)
        return self.publish(taken_from(found, job=self.pipeline.job, step=self.spec.name, seconds=self.seconds))

    def publish(self, done: StepDone) -> dict[str, Any]:
        """Publish, have the step found again by later jobs, and return the result of the command."""
        done = self.record.publish(done)
        self.finished.note(done)
        return result(done)

    def confirm(self) -> dict[str, Any] | None:
        """Return the result of a step that is done already."""
        done = self.record.done()
        if done is None:
            return None
        log.info("step %s is done already", self.spec.name)
        self.record.tidy(done)
        self.finished.note(done)
        return result(done)


def require_command(spec: StepSpec) -> str:
    """Return the command of a step. :raises UserError: it is one that scores in mini-batches."""
    if spec.command is None:
        raise UserError(f"step {spec.name} scores in mini-batches; it is done by plan, score and publish with --step")
    return spec.command


def result(done: StepDone) -> dict[str, Any]:
    """Return what a worker leaves of a step that is done."""
    origin = done.reused_from
    return {
        "state": "Completed",
        "seconds": done.seconds,
        "reused_from": None if origin is None else origin.model_dump(),
        "outputs": {name: output.uri for name, output in done.outputs.items()},
    }
