"""Invoking an endpoint from a DAG: one job for one task instance, whatever happens to the task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink, conf
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook, job_name
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.operators.run import Run, RunOperator
from airflow_batch_endpoints.triggers.job import BatchJobTrigger
from airflow_batch_endpoints.triggers.run import DELETED

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

_NUMBER, _FINISHED = "job_number", "job_finished"
JOB_XCOM = "job"


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


class BatchInvokeOperator(RunOperator):
    """Starts a job of a batch endpoint and waits for it.

    A retry finds its own job again: it goes on waiting, takes the result, or resumes the job when it failed. A task
    that is cleared after it succeeded starts a new job. A person who ends the task cancels the job; a worker or
    triggerer that shuts down does not. A person who deletes the job's run fails the task.

    :param endpoint: name of the endpoint (templated).
    :param input_data: URI of a file, a folder or a pattern; of a pipeline, its one data input (templated).
    :param inputs: inputs of a pipeline by name, each a value or ``{"type": "uri_folder", "path": ...}`` (templated).
    :param outputs: where outputs of a pipeline go, by name: ``{"path": ...}``; with a ``"name"`` an output, also a model's,
        becomes a new version of the data asset of that name (templated).
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
        "endpoint", "input_data", "inputs", "outputs", "replay_of", "deployment", "output_uri", "settings",
    )  # fmt: skip
    operator_extra_links = (BatchJobLink(),)

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

    @cached_property
    def hook(self) -> BatchEndpointHook:
        """The endpoints of this Airflow."""
        return BatchEndpointHook()

    # -- the job of this task instance ------------------------------------------------------------------------------

    def identify(self, context: Context) -> tuple[str, str, str]:
        """Return the job: the same for every try until one has succeeded."""
        store, ti = context["task_state_store"], context["ti"]
        count = _number(store.get(_NUMBER))
        if store.get(_FINISHED) == count:
            count += 1
            store.set(_NUMBER, count, retention=NEVER_EXPIRE)
        map_index = -1 if ti.map_index is None else ti.map_index
        job = job_name(ti.dag_id, ti.run_id, ti.task_id, map_index, count)
        return dag_id(self.endpoint), job, f"job {job!r} of endpoint {self.endpoint!r}"

    def run_conf(self, context: Context) -> dict[str, Any]:
        """Return the parameters of the job."""
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

    def start(self, context: Context, run: Run, *, resume: bool = False) -> bool:
        """Start the job, or resume it."""
        return self.hook.start(self.endpoint, run.run_id, self.run_conf(context), resume=resume)

    def tell(self, context: Context, run: Run) -> dict[str, Any]:
        """Leave the name of the job and the way to its run."""
        told = {"endpoint": self.endpoint, "job": run.run_id}
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        context["ti"].xcom_push(JOB_XCOM, told)
        context["ti"].xcom_push("_link_BatchJobLink", f"{base}/dags/{run.dag_id}/runs/{run.run_id}")
        return told

    def trigger(self, context: Context, run: Run) -> BatchJobTrigger:
        """Return what waits for the job."""
        # The triggerer may not ask for it: of a run that is cleared while it runs, the submission before is canceled.
        submission = self.hook.submission(self.endpoint, run.run_id)
        return BatchJobTrigger(
            endpoint=self.endpoint, job=run.run_id, submission=submission, poll_interval=self.poll_interval
        )

    def end(self, run: Run, reason: str) -> None:
        """Cancel the job."""
        self.hook.cancel(self.endpoint, run.run_id, reason)

    def result(self, context: Context, run: Run, state: str) -> dict[str, Any]:
        """Return the job's summary."""
        if state == DELETED:
            # No retry: it would start again what a person has taken away.
            raise AirflowFailException(f"{run.what} was deleted; clear this task to start it again")
        if state != "success":
            raise RuntimeError(f"{run.what} failed: {self.hook.error(self.endpoint, run.run_id)}")
        store = context["task_state_store"]
        store.set(_FINISHED, _number(store.get(_NUMBER)), retention=NEVER_EXPIRE)
        return self.hook.summary(self.endpoint, run.run_id)


def _number(kept: object) -> int:
    """Return a number that was kept; 0 when none was."""
    return kept if isinstance(kept, int) else 0
