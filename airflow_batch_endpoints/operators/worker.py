"""The tasks of a job: each launches one command of the worker and watches it.

A task starts in a few tenths of a second: nothing heavy is imported here, and pydantic only by ``plan``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import Asset, AssetAlias, BaseOperator, Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from airflow_batch_endpoints.computes.local import LocalWorker, WorkerExit
from airflow_batch_endpoints.jobs import environment
from airflow_batch_endpoints.jobs.naming import cancel_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.jobs.spec import JobSpec

Command = Literal["plan", "score", "publish"]

SPEC_KEY = "job_spec"
SUMMARY, PROGRESS, JOB, ERROR = "summary", "progress", "job", "error"
PROGRESS_SECONDS = 2.0
"""Least seconds between two reports of progress to Airflow."""
_FINAL_EXIT_CODES = (2, 3, 5)
"""User error, threshold exceeded, incomplete at publication: the same command would end the same way."""


class BatchWorkerOperator(BaseOperator):
    """Runs ``plan``, ``score`` or ``publish`` of a job on local compute.

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
        self._worker: LocalWorker | None = None

    def execute(self, context: Context) -> Any:
        """Run the command and report how it ended."""
        if self.command == "plan":
            return self._plan(context)
        job = context["ti"].xcom_pull(task_ids=self.plan_task_id, key=JOB)
        if not job:
            raise AirflowFailException(
                f"the job was never planned: task {self.plan_task_id} left nothing; clear the whole run"
            )
        arguments = [self.command, "--output-uri", job["output_uri"], "--job", job["job"]]
        if self.command == "score":
            return self._score(context, [*arguments, "--instance", str(self.instance)])
        return self._publish(context, arguments, job)

    # -- the three commands ---------------------------------------------------------------------------------------

    def _plan(self, context: Context) -> list[dict[str, int]]:
        ti = context["ti"]
        spec = self._resolve(context)
        ti.xcom_push(JOB, {name: spec[name] for name in ("endpoint", "deployment", "job", "input_uri", "output_uri")})
        self.log.info(
            "job %s of %s/%s: %s -> %s",
            *(spec[k] for k in ("job", "endpoint", "deployment", "input_uri", "output_uri")),
        )
        result = self._launch(context, ["plan"], {"BATCH_ENDPOINTS_JOB_SPEC": json.dumps(spec)})
        ti.xcom_push(SUMMARY, result)
        return [{"instance": instance} for instance in range(int(result["instances"]))]

    def _resolve(self, context: Context) -> dict[str, Any]:
        """Return the job as it was resolved first."""
        store = context["task_state_store"]
        kept = store.get(SPEC_KEY)
        if isinstance(kept, str):
            return dict(json.loads(kept))
        spec = self._resolve_now(context).model_dump(mode="json")
        store.set(SPEC_KEY, json.dumps(spec), retention=NEVER_EXPIRE)
        return spec

    def _resolve_now(self, context: Context) -> JobSpec:
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
            )
        except UserError as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise AirflowFailException(str(error)) from None

    def _job_name(self, context: Context) -> str:
        """The run id is the job's name; inline in a DAG of one's own, the task tells jobs of a run apart."""
        run, ti = context["dag_run"], context["ti"]
        if self.request is None:
            return str(run.run_id)
        return (
            f"{run.dag_id}.{self.task_id.rpartition('.')[0] or self.task_id}.{run.run_id}.{max(ti.map_index or 0, 0)}"
        )

    def _score(self, context: Context, arguments: list[str]) -> dict[str, Any]:
        return self._launch(context, arguments, {})

    def _publish(self, context: Context, arguments: list[str], job: dict[str, Any]) -> dict[str, Any]:
        result = self._launch(context, arguments, {})
        result = {**job, **result}
        context["ti"].xcom_push(SUMMARY, result)
        asset = Asset(name=asset_name(job["endpoint"], job["output_uri"]), uri=job["output_uri"])
        counts = {name: result.get(name) for name in ("listed", "succeeded", "failed", "rows")}
        context["outlet_events"][alias(job["endpoint"])].add(
            asset, extra={"job": job["job"], "deployment": job["deployment"], **counts}
        )
        return result

    # -- launching and watching -----------------------------------------------------------------------------------

    def _launch(self, context: Context, arguments: list[str], variables: dict[str, str]) -> dict[str, Any]:
        submission = submission_of(context)
        report = _ProgressReport(context)
        self._worker = LocalWorker(
            [*arguments, "--submission", submission],
            environment={**self._environment(), **variables},
            on_progress=report,
            on_tick=lambda: self._stop_if_canceled(context, submission),
        )
        ended = self._worker.run()
        report.flush()
        if ended.code == 0:
            return ended.result
        context["ti"].xcom_push(ERROR, ended.message)
        raise _error(ended)

    def _environment(self) -> dict[str, str]:
        from airflow_batch_endpoints.config import settings

        options = settings()
        chosen = environment.choose(
            os.environ,
            environment.BASICS,
            environment.STORAGE,
            environment.REGISTRY,
            environment.OWN,
            options.local_environment,
        )
        chosen["BATCH_ENDPOINTS_LEASE_SECONDS"] = str(options.lease_seconds)
        chosen["BATCH_ENDPOINTS_EXTRA_ENVIRONMENT"] = " ".join(options.local_environment)
        if options.mlflow_tracking_uri:
            chosen["MLFLOW_TRACKING_URI"] = options.mlflow_tracking_uri
        return chosen

    def _stop_if_canceled(self, context: Context, submission: str) -> None:
        run = context["dag_run"]
        text = Variable.get(cancel_key(self.endpoint, run.run_id), default=None)
        if text is None:
            return
        if str(json.loads(text).get("submission")) == submission and self._worker is not None:
            self.log.warning("the job was canceled: %s", json.loads(text).get("reason", ""))
            self._worker.kill()
            raise AirflowFailException("the job was canceled")

    def on_kill(self) -> None:
        """End the worker when the task is ended."""
        if self._worker is not None:
            self._worker.kill()


class _ProgressReport:
    """Passes progress on to Airflow, not more often than it is looked at."""

    def __init__(self, context: Context) -> None:
        self._ti = context["ti"]
        self._last = 0.0
        self._pending: dict[str, Any] | None = None

    def __call__(self, progress: dict[str, Any]) -> None:
        self._pending = {name: value for name, value in progress.items() if isinstance(value, int)}
        if time.monotonic() - self._last >= PROGRESS_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._pending is not None:
            self._ti.xcom_push(PROGRESS, self._pending)
            self._last, self._pending = time.monotonic(), None


def _error(ended: WorkerExit) -> AirflowException:
    if ended.code in _FINAL_EXIT_CODES:
        return AirflowFailException(ended.message)
    return AirflowException(ended.message)


def submission_of(context: Context) -> str:
    """Return what tells this submission of a run from those before it was cleared."""
    return str(context["dag_run"].clear_number or 0)


def alias(endpoint: str) -> AssetAlias:
    """Return the alias under which every output of an endpoint is announced; DAGs can be scheduled on it."""
    return AssetAlias(f"batch_endpoint.{endpoint}")


def asset_name(endpoint: str, output_uri: str) -> str:
    """Return the name of the asset that an output is."""
    return f"batch_endpoint.{endpoint}:{output_uri}"[:1500]
