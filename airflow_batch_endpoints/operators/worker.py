"""The tasks of a job: each launches one command of the worker where the job's compute says, and watches it.

A task of a local job starts in a few tenths of a second: nothing heavy is imported here, pydantic only by ``plan``, and what
Kubernetes needs only by tasks of jobs that run there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from airflow_batch_endpoints.assets import announce_data
from airflow_batch_endpoints.computes.local import LocalWorker
from airflow_batch_endpoints.computes.outcome import Outcome
from airflow_batch_endpoints.jobs import environment
from airflow_batch_endpoints.jobs.command_line import Command, worker_arguments
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.triggers.job import any_succeeded, cancellation

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.jobs.spec import JobReference
    from airflow_batch_endpoints.operators.pod import BatchWorkerPodOperator

SPEC_KEY = "job_spec"
SUMMARY, PROGRESS, JOB, ERROR, COMPUTE = "summary", "progress", "job", "error", "compute"
PROGRESS_SECONDS = 2.0
"""Least seconds between two reports of progress to Airflow."""
QUOTA_SECONDS = 30.0
"""Seconds between two requests for a pod that a quota has no room for."""
_REFERENCE = (
    "endpoint", "deployment", "deployment_revision", "job", "invoker", "input_uri", "output_uri", "replay", "output_assets",
    "launch", "steps",
)  # fmt: skip
"""What the other tasks are told of the job: the fields of :class:`~airflow_batch_endpoints.jobs.spec.JobReference`."""


class BatchWorkerOperator(BaseOperator):
    """Runs ``plan``, ``score`` or ``publish`` of a job: beside this task, or in a pod while this task is deferred.

    ``plan`` resolves the job once and keeps it, so that a retry and a clear of the run find the same job, whatever has
    become of the deployment. It returns one mapping for each instance that ``score`` is to be mapped over.

    :param command: ``plan``, ``score`` or ``publish``.
    :param endpoint: name of the endpoint (templated).
    :param instance: number of the instance, for ``score``.
    :param request: parameters of the job, for ``plan``; the run's own by default (templated).
    :param plan_task_id: id of the task that planned the job, for ``score`` and ``publish``.
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
        plan_task_id: str = "plan",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.endpoint = endpoint
        self.instance = instance
        self.request = request
        self.plan_task_id = plan_task_id
        self._worker: LocalWorker | BatchWorkerPodOperator | None = None

    def execute(self, context: Context) -> Any:
        """Run the command and report how it ended."""
        return self._start(context, self._job(context))

    def pod_ended(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after the trigger has seen the end of the pod, or a reason not to wait for it."""
        job = self._job(context)
        outcome = self._pod(context, job).take(context, event)
        if event["status"] == "canceled":
            raise AirflowFailException(f"the job was canceled: {event['message']}")
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

    def _job(self, context: Context) -> dict[str, Any]:
        """Return the job as it was resolved first: all of it for ``plan``, what launching needs for the others."""
        if self.command == "plan":
            return self._resolve(context)
        job = context["ti"].xcom_pull(task_ids=self.plan_task_id, key=JOB)
        if not job:
            raise AirflowFailException(
                f"the job was never planned: task {self.plan_task_id} left nothing; clear the whole run"
            )
        return dict(job)

    def _resolve(self, context: Context) -> dict[str, Any]:
        store = context["task_state_store"]
        kept = store.get(SPEC_KEY)
        if isinstance(kept, str):
            spec = dict(json.loads(kept))
        else:
            spec = self._resolve_now(context).model_dump(mode="json", by_alias=True)
            store.set(SPEC_KEY, json.dumps(spec), retention=NEVER_EXPIRE)
        context["ti"].xcom_push(JOB, {name: spec[name] for name in _REFERENCE})
        return spec

    def _resolve_now(self, context: Context) -> JobReference:
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.documents.job import request_from_conf
        from airflow_batch_endpoints.exceptions import UserError
        from airflow_batch_endpoints.registry.registry import Registry
        from airflow_batch_endpoints.registry.resolve import resolve
        from airflow_batch_endpoints.registry.task import TaskStore

        run = context["dag_run"]
        parameters = self.request if self.request is not None else dict(context["params"])
        try:
            return resolve(
                Registry(TaskStore()),
                request_from_conf(self.endpoint, parameters),
                job=self._job_name(context),
                invoker=run.triggering_user_name,
                settings=settings(),
                find_job=lambda name: self._find_job(context, name),
            )
        except UserError as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise AirflowFailException(str(error)) from None

    def _find_job(self, context: Context, name: str) -> JobReference | None:
        """Return what another job of the endpoint was resolved to."""
        from airflow_batch_endpoints.jobs.spec import JobReference

        found = context["ti"].xcom_pull(dag_id=dag_id(self.endpoint), run_id=name, task_ids="plan", key=JOB)
        return None if found is None else JobReference.model_validate(found)

    def _job_name(self, context: Context) -> str:
        """The run id is the job's name; inline in a DAG of one's own, the task tells jobs of a run apart."""
        run, ti = context["dag_run"], context["ti"]
        if self.request is None:
            return str(run.run_id)
        return (
            f"{run.dag_id}.{self.task_id.rpartition('.')[0] or self.task_id}.{run.run_id}.{max(ti.map_index or 0, 0)}"
        )

    # -- launching ----------------------------------------------------------------------------------------------------

    def _start(self, context: Context, job: dict[str, Any]) -> Any:
        self._stop_if_canceled(context)
        compute = self._launch(context, job)["compute"]
        self.log.info(
            "%s of job %s of %s/%s on compute %s: %s -> %s",
            self.command, job["job"], job["endpoint"], job["deployment"], compute["name"], job["input_uri"], job["output_uri"],
        )  # fmt: skip
        if compute["type"] == "local":
            return self._finish(context, job, self._run_here(context, job))
        return self._finish(context, job, self._pod(context, job).start(context))

    def _launch(self, context: Context, job: dict[str, Any]) -> dict[str, Any]:
        """Return how this instance is launched: as its job says, or by the fallback it has gone to."""
        launch = job["launch"]
        has_fallen_back = launch["fallback"] and context["task_state_store"].get(_fallback_key(context))
        return dict(launch["fallback"] if has_fallen_back else launch)

    def _run_here(self, context: Context, job: dict[str, Any]) -> Outcome:
        report = _ProgressReport(context)
        self._worker = LocalWorker(
            worker_arguments(self.command, job, submission=submission_of(context), instance=self.instance),
            environment={
                **self._local_environment(),
                **self._access(self._launch(context, job)),
                **self._variables(job),
            },
            on_progress=report,
            on_tick=lambda: self._stop_if_canceled(context),
        )
        outcome = self._worker.run()
        report.flush()
        return outcome

    def _pod(self, context: Context, job: dict[str, Any]) -> BatchWorkerPodOperator:
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.jobs.spec import JobReference
        from airflow_batch_endpoints.operators.pod import BatchWorkerPodOperator
        from airflow_batch_endpoints.triggers.pod import Watch

        told = {name: job[name] for name in _REFERENCE}
        reference = JobReference.model_validate({**told, "launch": self._launch(context, job)})
        compute, is_score = reference.launch.kubernetes, self.command == "score"
        # Said at every start: a new try begins with what the one before said wiped out.
        context["ti"].xcom_push(COMPUTE, compute.name)
        self._worker = BatchWorkerPodOperator(
            task_id=self.task_id,
            job=reference,
            command=self.command,
            instance=self.instance if is_score else None,
            environment=self._variables(job),
            watch=Watch(
                endpoint=reference.endpoint,
                job=str(context["dag_run"].run_id),
                submission=submission_of(context),
                seconds=settings().pod_watch_seconds,
                siblings=self.task_id if is_score else None,
                fallback_after=compute.fallback.after_seconds if compute.fallback else None,
            ),
        )
        return self._worker

    def _variables(self, job: dict[str, Any]) -> dict[str, str]:
        """Return what the worker is told wherever it runs."""
        from airflow_batch_endpoints.config import settings

        options = settings()
        variables = {"BATCH_ENDPOINTS_LEASE_SECONDS": str(options.lease_seconds)}
        if self.command == "plan":
            variables["BATCH_ENDPOINTS_JOB_SPEC"] = json.dumps(job)
        if options.public_mlflow_tracking_uri:
            variables["MLFLOW_TRACKING_URI"] = options.public_mlflow_tracking_uri
        return variables

    def _local_environment(self) -> dict[str, str]:
        from airflow_batch_endpoints.config import settings

        options = settings()
        chosen = environment.choose(
            os.environ,
            environment.BASICS,
            environment.STORAGE,
            environment.REGISTRY,
            environment.INDEXES,
            environment.OWN,
            options.local_environment,
        )
        chosen["BATCH_ENDPOINTS_EXTRA_ENVIRONMENT"] = " ".join(options.local_environment)
        if options.mlflow_tracking_uri:
            chosen["MLFLOW_TRACKING_URI"] = options.mlflow_tracking_uri
        return chosen

    def _access(self, launch: dict[str, Any]) -> dict[str, str]:
        """Return the credentials of the data stores that the job names: from connections to the worker, and nowhere else."""
        names = launch.get("connections") or ()
        if not names:
            return {}
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        from airflow_batch_endpoints.computes import credentials
        from airflow_batch_endpoints.exceptions import UserError

        try:
            return credentials.variables({name: BaseHook.get_connection(name) for name in names})
        except (UserError, AirflowNotFoundException) as error:
            raise AirflowFailException(f"a data store of the job cannot be reached: {error}") from None

    def _fall_back(self, context: Context, job: dict[str, Any], why: str) -> None:
        """Remember that this instance goes to the fallback, for this submission of the job."""
        name = job["launch"]["fallback"]["compute"]["name"]
        self.log.warning("going on with compute %s: %s", name, why)
        context["task_state_store"].set(_fallback_key(context), name, retention=NEVER_EXPIRE)

    def _stop_if_canceled(self, context: Context) -> None:
        reason = cancellation(self.endpoint, str(context["dag_run"].run_id), submission_of(context))
        if reason is not None:
            raise AirflowFailException(f"the job was canceled: {reason}")

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
            raise (AirflowFailException if outcome.verdict == "failed" else AirflowException)(outcome.sentence)
        if self.command == "plan":
            ti.xcom_push(SUMMARY, outcome.result)
            return [{"instance": instance} for instance in range(int(outcome.result["instances"]))]
        if self.command == "publish":
            self._register(context, job)
            return self._announce(context, job, outcome.result)
        return outcome.result

    def _register(self, context: Context, job: dict[str, Any]) -> None:
        """Register outputs as versions of data assets, and tell of the new ones. Done again, it finds what it did."""
        if not job.get("output_assets"):
            return
        from airflow_batch_endpoints.exceptions import UserError
        from airflow_batch_endpoints.registry.outputs import register
        from airflow_batch_endpoints.registry.registry import Registry
        from airflow_batch_endpoints.registry.task import TaskStore

        try:
            made = register(Registry(TaskStore(), user=job["invoker"]), job["output_assets"])
        except UserError as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise AirflowFailException(
                f"the output is published, but not registered as a data asset: {error}"
            ) from None
        announce_data(context, made)

    def _announce(self, context: Context, job: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Tell of the predictions: as the job's summary, and as an event of their asset."""
        told = ("endpoint", "deployment", "job", "input_uri", "output_uri")
        summary = {**{name: job[name] for name in told}, **result}
        context["ti"].xcom_push(SUMMARY, summary)
        asset = Asset(name=asset_name(job["endpoint"], job["output_uri"]), uri=job["output_uri"])
        counts = {name: result.get(name) for name in ("listed", "succeeded", "failed", "rows")}
        context["outlet_events"][alias(job["endpoint"])].add(
            asset, extra={"job": job["job"], "deployment": job["deployment"], **counts}
        )
        return summary


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


def submission_of(context: Context) -> str:
    """Return what tells this submission of a run from those before it was cleared."""
    return str(context["dag_run"].clear_number or 0)


def _fallback_key(context: Context) -> str:
    return f"fallback.{submission_of(context)}"


def alias(endpoint: str) -> AssetAlias:
    """Return the alias under which every output of an endpoint is announced; DAGs can be scheduled on it."""
    return AssetAlias(f"batch_endpoint.{endpoint}")


def asset_name(endpoint: str, output_uri: str) -> str:
    """Return the name of the asset that an output is."""
    return f"batch_endpoint.{endpoint}:{output_uri}"[:1500]
