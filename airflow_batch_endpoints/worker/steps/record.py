"""What a job's folder says of a step: whether it is done, why it failed; and what earlier jobs say of steps like it."""

from __future__ import annotations

import logging

from airflow_batch_endpoints.exceptions import BatchEndpointsError, InfrastructureError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.steps import StepDone, StepReference
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.worker.ledger import Stop
from airflow_batch_endpoints.worker.steps import outputs

log = logging.getLogger(__name__)


class StepRecord:
    """What is known of one step of a job.

    :param store: folder of the job.
    """

    def __init__(self, store: Store, step: str) -> None:
        self._store = store
        self._step = step

    def done(self) -> StepDone | None:
        """Return what the step published."""
        content = self._store.read(layout.step_done(self._step))
        return None if content is None else StepDone.model_validate_json(content)

    def publish(self, done: StepDone) -> StepDone:
        """Publish, or take what was published first; everything else that was made for this step is removed."""
        if not self._store.create(layout.step_done(self._step), done.model_dump_json().encode()):
            first = self.done()
            if first is None:
                raise InfrastructureError(
                    f"{layout.step_done(self._step)} is gone from the job's folder; something deletes files there"
                )
            log.info("another process has finished step %s; its outputs count", self._step)
            done = first
        self.tidy(done)
        return done

    def tidy(self, done: StepDone) -> None:
        """Remove what incarnations made that have not published. One that still works fails, and takes what is published."""
        kept = {layout.step_outputs(self._step, done.incarnation), layout.step_job(self._step)}
        for key in self._store.list(layout.step(self._step)):
            if key not in kept and not key.endswith(".json"):
                self._store.delete(key)

    def fail(self, submission: str, error: BatchEndpointsError) -> None:
        """Say why the step failed, for who asks at the end of the job."""
        self._store.write(layout.step_failed(self._step, submission), Stop.of(error).model_dump_json().encode())

    def failure(self, submission: str) -> Stop | None:
        """Return why the step failed in a submission."""
        content = self._store.read(layout.step_failed(self._step, submission))
        return None if content is None else Stop.model_validate_json(content)


class Finished:
    """Steps that the endpoint's jobs have finished, found again by their keys.

    :param uri: folder where they are noted; ``None`` for nowhere.
    """

    def __init__(self, uri: str | None) -> None:
        self._store = None if uri is None else open_store(uri)

    def find(self, key: str | None) -> StepDone | None:
        """Return a finished step with this key whose outputs are still what they were."""
        found = self._read(key)
        if found is None or outputs.is_unchanged(found.outputs):
            return found
        log.info("step %s of job %s would do, but its outputs are not what they were", found.step, found.job)
        return None

    def note(self, done: StepDone) -> None:
        """Have a step that made its outputs itself found again; the latest one like it stands."""
        if self._store is None or done.key is None or done.reused_from is not None or self._read(done.key) == done:
            return
        self._store.write(_name(done.key), done.model_dump_json().encode())

    def _read(self, key: str | None) -> StepDone | None:
        if self._store is None or key is None:
            return None
        content = self._store.read(_name(key))
        if content is None:
            return None
        try:
            found = StepDone.model_validate_json(content)
        except ValueError:
            log.warning("what is noted of a step with the key %s cannot be read, and is not used", key)
            return None
        return found if found.key == key else None


def _name(key: str) -> str:
    return f"{key}.json"


def taken_from(found: StepDone, *, job: str, step: str, seconds: float) -> StepDone:
    """Return what a step publishes that takes the outputs of another."""
    origin = StepReference(job=found.job, step=found.step)
    return found.model_copy(
        update={"job": job, "step": step, "seconds": seconds, "reused_from": origin, "incarnation": "reused"}
    )
