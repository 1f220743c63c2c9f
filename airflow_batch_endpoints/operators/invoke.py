"""Invoking an endpoint from a DAG: one job for one task instance, whatever happens to the task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink, conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook, job_name
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.triggers.job import FINAL_RUN_STATES, BatchJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

_NUMBER, _FINISHED = "job_number", "job_finished"
JOB_XCOM = "job"
_SLICE_SECONDS = 0.2
_ENDED_BY_A_PERSON = ("failed", "success", "skipped", "removed")
"""What a task's state can be that is being ended, unless only its worker shuts down or it is to run again."""


class BatchJobLink(BaseOperatorLink):
    """Leads from the task that invoked an endpoint to the job's run."""

    name = "Batch job"

    @property
    def xcom_key(self) -> str:
        """Where the address is kept."""
        return "_link_BatchJobLink"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; it is put into the XCom by the operator."""
        return ""


class BatchInvokeOperator(BaseOperator):
    """Starts a job of a batch endpoint and waits for it.

    A retry finds its own job again: it goes on waiting, takes the result, or resumes the job when it failed. A task
    that is cleared after it succeeded starts a new job. A person who ends the task cancels the job; a worker or
    triggerer that shuts down does not.

    :param endpoint: name of the endpoint (templated).
    :param input_data: URI of a file, a folder or a pattern; of a pipeline, its one data input (templated).
    :param inputs: inputs of a pipeline by name, each a value or ``{"type": "uri_folder", "path": ...}`` (templated).
    :param outputs: where outputs of a pipeline go, by name: ``{"path": ...}`` (templated).
    :param replay_of: instead of an input, the name of a completed job of the endpoint, whose dead letters are scored (templated).
    :param deployment: name of the deployment; the endpoint's default by default (templated).
    :param output_uri: URI of a folder for this job alone; by default below ``[batch_endpoints] default_output_uri`` (templated).
    :param settings: overrides for this job: ``instance_count``, ``mini_batch_size``, ``error_threshold``, ``output_file_name``,
        ``max_retries``, ``timeout`` (templated).
    :param wait_for_completion: whether to wait; otherwise the task succeeds when the job is started.
    :param deferrable: whether to wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between looks at the job.
    :return: the job's summary: state, counts, files, ``output_uri``; without waiting ``{"endpoint", "job"}``.
    """

    template_fields: Sequence[str] = (
        "endpoint",
        "input_data",
        "inputs",
        "outputs",
        "replay_of",
        "deployment",
        "output_uri",
        "settings",
    )
    operator_extra_links = (BatchJobLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        endpoint: str,
        input_data: str | None = None,
        inputs: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        replay_of: str | None = None,
        deployment: str | None = None,
        output_uri: str | None = None,
        settings: dict[str, Any] | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.input_data = input_data
        self.inputs = inputs
        self.outputs = outputs
        self.replay_of = replay_of
        self.deployment = deployment
        self.output_uri = output_uri
        self.settings = settings
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._ending = False

    @cached_property
    def hook(self) -> BatchEndpointHook:
        """The endpoints of this Airflow."""
        return BatchEndpointHook()

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the job, or find it again, and wait."""
        job = self._current_job(context)
        submission = self._submit(context, job)
        self._tell(context, job)
        if not self.wait_for_completion:
            return {"endpoint": self.endpoint, "job": job}
        if self.hook.state(self.endpoint, job) not in FINAL_RUN_STATES:
            if self.deferrable:
                self.defer(
                    trigger=BatchJobTrigger(
                        endpoint=self.endpoint, job=job, submission=submission, poll_interval=self.poll_interval
                    ),
                    method_name="execute_complete",
                )
            self._wait(context, job, submission)
        return self._result(context, job)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take the result after waiting in the triggerer."""
        return self._result(context, event["job"])

    def on_kill(self) -> None:
        """Note that the task is being ended; :meth:`_wait` does what follows from it.

        The signal may have come in the middle of a request to the supervisor, and then no other can be made.
        """
        self._ending = True

    def _wait(self, context: Context, job: str, submission: str) -> None:
        """Look until the job has ended, or this task has to."""
        try:
            while self.hook.state(self.endpoint, job) not in FINAL_RUN_STATES:
                until = time.monotonic() + self.poll_interval
                while not self._ending and time.monotonic() < until:
                    time.sleep(min(_SLICE_SECONDS, self.poll_interval))
                if self._ending:
                    self._leave(context, job, submission)
        except AirflowTaskTimeout:
            self.hook.cancel(self.endpoint, job, submission, "the task that invoked it exceeded its execution_timeout")
            raise

    def _leave(self, context: Context, job: str, submission: str) -> None:
        """End early: with the job when a person wants it so, without it when only the worker shuts down."""
        if _own_state(context) not in _ENDED_BY_A_PERSON:
            raise AirflowException(f"the worker shuts down; job {job!r} goes on, and a retry finds it again")
        self.hook.cancel(self.endpoint, job, submission, "the task that invoked it was ended")
        raise AirflowFailException(f"the task was ended, and job {job!r} with it")

    # -- the job of this task instance ------------------------------------------------------------------------------

    def _current_job(self, context: Context) -> str:
        """Return the name of the job: the same for every try until one has succeeded."""
        store, ti = context["task_state_store"], context["ti"]
        number = _number(store.get(_NUMBER))
        if store.get(_FINISHED) == number:
            number += 1
            store.set(_NUMBER, number, retention=NEVER_EXPIRE)
        map_index = -1 if ti.map_index is None else ti.map_index
        return job_name(ti.dag_id, ti.run_id, ti.task_id, map_index, number)

    def _submit(self, context: Context, job: str) -> str:
        """Start the job, reconnect to it, or resume it, and return which submission of it runs now."""
        store = context["task_state_store"]
        key = f"submissions.{job}"
        submissions = _number(store.get(key))
        state = self.hook.state(self.endpoint, job)
        try:
            if state is None:
                started = self.hook.start(self.endpoint, job, self._conf())
                self.log.info("%s job %s", "started" if started else "found", job)
            elif state == "failed":
                submissions += 1
                store.set(key, submissions, retention=NEVER_EXPIRE)
                self.hook.start(self.endpoint, job, self._conf(), resume=True)
                self.log.info("job %s had failed; it goes on from its last finished shard", job)
            else:
                self.log.info("found job %s (%s)", job, state)
        except UserError as error:
            raise AirflowFailException(str(error)) from None
        return str(submissions)

    def _conf(self) -> dict[str, Any]:
        parameters = {
            "input": self.input_data,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "replay_of": self.replay_of,
            "deployment": self.deployment,
            "output": self.output_uri,
            **(self.settings or {}),
        }
        return {name: value for name, value in parameters.items() if value is not None}

    def _tell(self, context: Context, job: str) -> None:
        """Leave the name of the job and the way to its run."""
        ti = context["ti"]
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        ti.xcom_push(JOB_XCOM, {"endpoint": self.endpoint, "job": job})
        ti.xcom_push("_link_BatchJobLink", f"{base}/dags/{dag_id(self.endpoint)}/runs/{job}")

    def _result(self, context: Context, job: str) -> dict[str, Any]:
        state = self.hook.state(self.endpoint, job)
        if state != "success":
            reason = self.hook.error(self.endpoint, job)
            raise RuntimeError(f"job {job!r} of endpoint {self.endpoint!r} failed: {reason}")
        store = context["task_state_store"]
        store.set(_FINISHED, _number(store.get(_NUMBER)), retention=NEVER_EXPIRE)
        return self.hook.summary(self.endpoint, job)


def _own_state(context: Context) -> str | None:
    """Return what the server says of the state of this very task."""
    ti = context["ti"]
    index = -1 if ti.map_index is None else ti.map_index
    states = ti.get_task_states(dag_id=ti.dag_id, map_index=index, task_ids=[ti.task_id], run_ids=[ti.run_id])
    return next(iter(states.get(ti.run_id, {}).values()), None)


def _number(kept: object) -> int:
    return kept if isinstance(kept, int) else 0
