"""The tasks of a job: each launches one command of the worker where the job's compute says, and watches it.

A task of a local job starts in a few tenths of a second: nothing heavy is imported here, pydantic only by ``plan``, and what
Kubernetes needs only by tasks of jobs that run there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from airflow_batch_endpoints.computes.local import LocalWorker
from airflow_batch_endpoints.computes.outcome import Outcome
from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.command_line import Command, worker_arguments
from airflow_batch_endpoints.operators import environment
from airflow_batch_endpoints.operators.announcing import announce, register_outputs
from airflow_batch_endpoints.operators.job import (
    COMPUTE,
    ERROR,
    PROGRESS,
    SUMMARY,
    details,
    planned_job,
    require_own,
    stop_if_asked,
    stopped,
    submission_of,
)
from airflow_batch_endpoints.operators.parsing import await_tasks
from airflow_batch_endpoints.operators.resolving import REFERENCE, job_details, resolve_once
from airflow_batch_endpoints.storage.uris import without_query
from airflow_batch_endpoints.triggers.run import any_succeeded
from airflow_batch_endpoints.triggers.stopping import request_stop

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.operators.pod import BatchWorkerPodOperator

PROGRESS_SECONDS = 2.0
"""Least seconds between two reports of progress to Airflow."""
QUOTA_SECONDS = 30.0
"""Seconds between two requests for a pod that a quota has no room for."""


class BatchWorkerOperator(BaseOperator):
    """Runs a command of the worker for a job: beside this task, or in a pod while this task is deferred.

    ``plan`` resolves the job once and keeps it, so that a retry and a clear of the run find the same job, whatever has
    become of the deployment. It returns one mapping for each instance that ``score`` is to be mapped over.

    :param command: ``plan``, ``score`` or ``publish`` of a job or of a parallel step; ``step`` for any other step.
    :param endpoint: name of the endpoint (templated).
    :param instance: number of the instance, for ``score``.
    :param request: parameters of the job, for ``plan``; the run's own by default (templated).
    :param plan_task_id: id of the task that planned the job, for the others.
    :param deployment: the deployment whose jobs alone have this task; it is skipped in others.
    :param step: name of the pipeline's step, for a task of one.
    """

    template_fields: Sequence[str] = ("endpoint", "request")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        command: Command,
        endpoint: str,
        instance: int = 0,
        request: dict[str, Any] | None = None,
        plan_task_id: str = tasks.PLAN,
        deployment: str | None = None,
        step: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.endpoint = endpoint
        self.instance = instance
        self.request = request
        self.plan_task_id = plan_task_id
        self.deployment = deployment
        self.step = step
        self._worker: LocalWorker | BatchWorkerPodOperator | None = None

    def execute(self, context: Context) -> Any:
        """Run the command and report how it ended."""
        job = self._job(context)
        if job["type"] == "dag":
            return self._without_worker(context, job)
        done = self._done_before(context)
        return done if done is not None else self._start(context, job)

    def pod_ended(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after the trigger has seen the end of the pod, or a reason not to wait for it."""
        job = self._job(context)
        outcome = self._pod(context, job).take(context, event)
        if event["status"] == "stopped":
            stopped(context, event["message"])
        if event["status"] == "withdrawn":
            self.log.info("the other instances have done all the work; this one is not needed")
            return {"outcome": "withdrawn"}
        if event["status"] == "fallback":
            self._fall_back(context, job, event["message"])
            return self._start(context, job)
        return self._finish(context, job, outcome)

    def ask_again(self, context: Context, event: object) -> Any:
        """Ask for the pod again that there was no room for."""
        if self.command == "score" and any_succeeded(context["ti"].dag_id, context["ti"].run_id, self.task_id):
            return {"outcome": "withdrawn"}
        return self._start(context, self._job(context))

    def on_kill(self) -> None:
        """End the worker when the task is ended."""
        if isinstance(self._worker, LocalWorker):
            self._worker.kill()
        elif self._worker is not None:
            self._worker.on_kill()

    # -- the job ------------------------------------------------------------------------------------------------------

    @property
    def _plans_job(self) -> bool:
        return self.command == "plan" and self.step is None

    @property
    def _publishes_job(self) -> bool:
        return self.command == "publish" and self.step is None

    def _job(self, context: Context) -> dict[str, Any]:
        """Return the job as it was resolved first: all of it for the task that plans it, what launching needs for the others."""
        if self._plans_job:
            return resolve_once(context, self.endpoint, self.request, self.task_id)
        job = planned_job(context, self.plan_task_id)
        if self.deployment is not None:
            require_own(job, self.deployment, self.step)
        # This task runs whatever became of the others.
        if self._publishes_job and context["ti"].xcom_pull(task_ids=self.plan_task_id, key=SUMMARY) is None:
            raise AirflowFailException(f"the job was never planned: see task {self.plan_task_id}")
        return job

    # -- launching ----------------------------------------------------------------------------------------------------

    def _start(self, context: Context, job: dict[str, Any]) -> Any:
        self._stop_if_asked(context)
        compute = self._launch(context, job)["compute"]
        self.log.info(
            "%s%s of job %s of %s/%s on compute %s: %s -> %s",
            self.command, f" {self.step}" if self.step else "", job["job"], job["endpoint"], job["deployment"], compute["name"],
            without_query(job["input_uri"]) or "no input", job["output_uri"],
        )  # fmt: skip
        if compute["type"] == "local":
            return self._finish(context, job, self._run_here(context, job))
        return self._finish(context, job, self._pod(context, job).start(context))

    def _launch(self, context: Context, job: dict[str, Any]) -> dict[str, Any]:
        """Return how this instance is launched: as its job says, or by the fallback it has gone to."""
        launch = self._pinned_launch(job)
        has_fallen_back = launch["fallback"] and context["task_state_store"].get(_fallback_key(context))
        return dict(launch["fallback"] if has_fallen_back else launch)

    def _pinned_launch(self, job: dict[str, Any]) -> dict[str, Any]:
        return dict(job["launch"] if self.step is None else job["steps"][self.step])

    def _run_here(self, context: Context, job: dict[str, Any]) -> Outcome:
        report = _ProgressReport(context)
        self._worker = LocalWorker(
            worker_arguments(
                self.command, job, submission=submission_of(context), instance=self.instance, step=self.step
            ),
            environment={
                **environment.of_local_worker(),
                **environment.access(self._launch(context, job)),
                **self._variables(job),
            },
            on_progress=report,
            on_tick=lambda: self._stop_if_asked(context),
        )
        outcome = self._worker.run()
        report.flush()
        return outcome

    def _pod(self, context: Context, job: dict[str, Any]) -> BatchWorkerPodOperator:
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.jobs.spec import JobReference
        from airflow_batch_endpoints.operators.pod import BatchWorkerPodOperator
        from airflow_batch_endpoints.triggers.pod import Watch

        told = {name: job[name] for name in REFERENCE}
        reference = JobReference.model_validate({**told, "launch": self._launch(context, job), "steps": {}})
        compute, is_score = reference.launch.kubernetes, self.command == "score"
        # Said at every start: a new try begins with what the one before said wiped out.
        context["ti"].xcom_push(COMPUTE, compute.name)
        self._worker = BatchWorkerPodOperator(
            task_id=self.task_id,
            job=reference,
            command=self.command,
            instance=self.instance if is_score else None,
            step=self.step,
            environment=self._variables(job),
            watch=Watch(
                endpoint=reference.endpoint,
                job=str(context["dag_run"].run_id),
                submission=submission_of(context),
                seconds=settings().pod_watch_seconds,
                heeds_failures=self.step is not None,
                siblings=self.task_id if is_score else None,
                fallback_after=compute.fallback.after_seconds if compute.fallback else None,
            ),
        )
        return self._worker

    def _variables(self, job: dict[str, Any]) -> dict[str, str]:
        return environment.variables(job if self._plans_job else None)

    def _fall_back(self, context: Context, job: dict[str, Any], why: str) -> None:
        """Remember that this instance goes to the fallback, for this submission of the job."""
        name = self._pinned_launch(job)["fallback"]["compute"]["name"]
        self.log.warning("going on with compute %s: %s", name, why)
        context["task_state_store"].set(_fallback_key(context), name, retention=NEVER_EXPIRE)

    def _stop_if_asked(self, context: Context) -> None:
        stop_if_asked(context, self.endpoint, heeds_failures=self.step is not None)

    # -- without a worker ---------------------------------------------------------------------------------------------

    def _done_before(self, context: Context) -> dict[str, Any] | None:
        """Return the result of a parallel step whose ``plan`` found it done already, for what comes after that."""
        if self.step is None or self.command not in ("score", "publish"):
            return None
        planner = f"{self.task_id.rpartition('.')[0]}.{tasks.PARALLEL}{tasks.PLAN}"
        found = context["ti"].xcom_pull(task_ids=planner, key=SUMMARY) or {}
        if found.get("state") != "Completed":
            return None
        if self.command == "publish":
            context["ti"].xcom_push(SUMMARY, found)
        return dict(found)

    def _without_worker(self, context: Context, job: dict[str, Any]) -> Any:
        """Plan or publish a job that is a run of another DAG: the task that waits for that run does all there is to do."""
        if self.command == "plan":
            self._await_tasks(context, job)
            context["ti"].xcom_push(SUMMARY, {"instances": 0})
            return []
        task = f"{tasks.group_id(job['deployment'])}.{tasks.OTHER_DAG}"
        result = context["ti"].xcom_pull(task_ids=task, key=SUMMARY) or {}
        if result.get("state") != "Completed":
            sentence = (
                context["ti"].xcom_pull(task_ids=task, key=ERROR) or f"task {task} has not succeeded; see its log"
            )
            context["ti"].xcom_push(ERROR, sentence)
            raise AirflowFailException(sentence)
        return announce(context, job, dict(result), self.plan_task_id)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _finish(self, context: Context, job: dict[str, Any], outcome: Outcome) -> Any:
        """Report how the command ended; what is lost is tried again, what failed is not."""
        ti = context["ti"]
        if outcome.verdict == "wait":
            from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

            self.log.info("%s; asking again in %d s", outcome.sentence, QUOTA_SECONDS)
            self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=QUOTA_SECONDS)), method_name="ask_again")
        if outcome.verdict != "done":
            ti.xcom_push(ERROR, outcome.sentence)
            if self.step is not None:
                self._step_failed(context, outcome)
            raise (AirflowFailException if outcome.verdict == "failed" else AirflowException)(outcome.sentence)
        if self._publishes_job:
            register_outputs(context, job)
            return announce(context, job, outcome.result, self.plan_task_id)
        if self._plans_job:
            self._await_tasks(context, job)
        if self.command != "score":
            ti.xcom_push(SUMMARY, outcome.result)
        if self.command != "plan":
            return outcome.result
        instances = int(outcome.result["instances"])
        if self.step is not None:
            # Were none mapped, score would be skipped, and with it all that comes after this step.
            instances = max(instances, 1)
        return [{"instance": instance} for instance in range(instances)]

    def _await_tasks(self, context: Context, job: dict[str, Any]) -> None:
        """Go on only when the run has the tasks that only jobs of its deployment have."""
        if job["type"] == "model":
            return
        try:
            await_tasks(context, self.endpoint, job["deployment"], job_details(job))
        except AirflowFailException as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise

    def _step_failed(self, context: Context, outcome: Outcome) -> None:
        """Say that the step failed, and ask the others to stop when it did so for good, unless they are to go on."""
        ti = context["ti"]
        if outcome.verdict == "failed":
            ti.xcom_push(SUMMARY, {"state": "Failed"})
        is_over = outcome.verdict == "failed" or ti.try_number > ti.max_tries
        if is_over and details(context, self.plan_task_id).get("continue_on_step_failure") is False:
            request_stop(self.endpoint, str(context["dag_run"].run_id), submission_of(context), str(self.step))


class _ProgressReport:
    """Passes progress on to Airflow, not more often than it is looked at."""

    def __init__(self, context: Context) -> None:
        self._ti = context["ti"]
        self._last = 0.0
        self._pending: dict[str, int] | None = None

    def __call__(self, progress: dict[str, int]) -> None:
        self._pending = progress
        if time.monotonic() - self._last >= PROGRESS_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._pending is not None:
            self._ti.xcom_push(PROGRESS, self._pending)
            self._last, self._pending = time.monotonic(), None


def _fallback_key(context: Context) -> str:
    return f"fallback.{submission_of(context)}"
