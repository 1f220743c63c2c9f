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
from airflow_batch_endpoints.jobs import environment, handing, tasks
from airflow_batch_endpoints.jobs.command_line import Command, worker_arguments
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.operators.job import (
    COMPUTE,
    DETAILS,
    ERROR,
    JOB,
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
from airflow_batch_endpoints.triggers.run import any_succeeded
from airflow_batch_endpoints.triggers.stopping import request_stop

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.jobs.spec import JobReference
    from airflow_batch_endpoints.operators.pod import BatchWorkerPodOperator

SPEC_KEY = "job_spec"
PROGRESS_SECONDS = 2.0
"""Least seconds between two reports of progress to Airflow."""
_SKIPPED_AT_ONCE = 500
"""Most tasks that one request skips."""
QUOTA_SECONDS = 30.0
"""Seconds between two requests for a pod that a quota has no room for."""
_REFERENCE = (
    "type", "endpoint", "deployment", "deployment_revision", "job", "invoker", "input_uri", "output_uri", "replay", "output_assets",
    "launch", "steps",
)  # fmt: skip
"""What the other tasks are told of the job: the fields of :class:`~airflow_batch_endpoints.jobs.spec.JobReference`."""


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
            return self._resolve(context)
        job = planned_job(context, self.plan_task_id)
        if self.deployment is not None:
            require_own(job, self.deployment, self.step)
        # This task runs whatever became of the others.
        if self._publishes_job and context["ti"].xcom_pull(task_ids=self.plan_task_id, key=SUMMARY) is None:
            raise AirflowFailException(f"the job was never planned: see task {self.plan_task_id}")
        return job

    def _resolve(self, context: Context) -> dict[str, Any]:
        store = context["task_state_store"]
        kept = store.get(SPEC_KEY)
        if isinstance(kept, str):
            spec = dict(json.loads(kept))
        else:
            spec = self._resolve_now(context).model_dump(mode="json", by_alias=True)
            store.set(SPEC_KEY, json.dumps(spec), retention=NEVER_EXPIRE)
        context["ti"].xcom_push(JOB, {name: spec[name] for name in _REFERENCE})
        if spec["type"] != "model":
            context["ti"].xcom_push(DETAILS, job_details(spec))
        if self.request is None:
            self._skip_others(spec["deployment"])
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
            spec = resolve(
                Registry(TaskStore()),
                request_from_conf(self.endpoint, parameters),
                job=self._job_name(context),
                invoker=run.triggering_user_name,
                settings=settings(),
                find_job=lambda name: self._find_job(context, name),
            )
            if self.request is not None and spec.type != "model":
                raise UserError(
                    f"deployment {spec.deployment!r} has tasks of its own, which only the DAG of endpoint {self.endpoint!r} "
                    "has; name a deployment of type: model here, or invoke the endpoint with BatchInvokeOperator"
                )
        except UserError as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise AirflowFailException(str(error)) from None
        return spec

    def _skip_others(self, deployment: str) -> None:
        """Skip the tasks that only other deployments have, so that no process is started to find out that it is one of them.

        What the index does not know of skips itself.
        """
        from airflow.sdk import Variable
        from airflow.sdk.execution_time.comms import SkipDownstreamTasks
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        from airflow_batch_endpoints.registry.index import index_of
        from airflow_batch_endpoints.registry.keys import INDEX

        entry = index_of(Variable.get(INDEX, default=None)).get(self.endpoint) or {}
        others = [
            task
            for name, found in (entry.get("deployments") or {}).items()
            if name != deployment
            for task in tasks.task_ids(name, found)
        ]
        for start in range(0, len(others), _SKIPPED_AT_ONCE):
            SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=list(others[start : start + _SKIPPED_AT_ONCE])))

    def _find_job(self, context: Context, name: str) -> JobReference | None:
        """Return what another job of the endpoint was resolved to."""
        from airflow_batch_endpoints.jobs.spec import JobReference

        found = context["ti"].xcom_pull(dag_id=dag_id(self.endpoint), run_id=name, task_ids=tasks.PLAN, key=JOB)
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
        self._stop_if_asked(context)
        compute = self._launch(context, job)["compute"]
        self.log.info(
            "%s%s of job %s of %s/%s on compute %s: %s -> %s",
            self.command, f" {self.step}" if self.step else "", job["job"], job["endpoint"], job["deployment"], compute["name"],
            job["input_uri"] or "no input", job["output_uri"],
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
                **self._local_environment(),
                **self._access(self._launch(context, job)),
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

        told = {name: job[name] for name in _REFERENCE}
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
        """Return what the worker is told wherever it runs."""
        from airflow_batch_endpoints.config import settings

        options = settings()
        variables = {"BATCH_ENDPOINTS_LEASE_SECONDS": str(options.lease_seconds)}
        if self._plans_job:
            try:
                variables[handing.VARIABLE] = handing.pack(json.dumps(job))
            except ValueError as error:
                raise AirflowFailException(str(error)) from None
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
        return self._announce(context, job, dict(result))

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
            self._register(context, job)
            return self._announce(context, job, outcome.result)
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

    def _register(self, context: Context, job: dict[str, Any]) -> None:
        """Register outputs as versions of data assets, and tell of the new ones. Done again, it finds what it did."""
        if not job.get("output_assets"):
            return
        from airflow_batch_endpoints.config import settings
        from airflow_batch_endpoints.exceptions import UserError
        from airflow_batch_endpoints.registry.outputs import register
        from airflow_batch_endpoints.registry.registry import Registry
        from airflow_batch_endpoints.registry.task import TaskStore

        try:
            made = register(Registry(TaskStore(), user=job["invoker"]), job["output_assets"], settings())
        except UserError as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise AirflowFailException(f"the output is published, but not registered: {error}") from None
        announce_data(context, made)

    def _announce(self, context: Context, job: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Tell of what was made: as the job's summary, and as an event of the asset that each output is."""
        told = ("endpoint", "deployment", "job", "input_uri", "output_uri")
        summary = {**{name: job[name] for name in told}, **result}
        context["ti"].xcom_push(SUMMARY, summary)
        counts: dict[str, Any] = {
            name: result[name] for name in ("listed", "succeeded", "failed", "rows") if name in result
        }
        for name, uri in self._outputs(context, job).items():
            asset = Asset(name=asset_name(job["endpoint"], uri), uri=uri)
            extra: dict[str, Any] = {"job": job["job"], "deployment": job["deployment"], **counts}
            if name:
                extra["output"] = name
            context["outlet_events"][alias(job["endpoint"])].add(asset, extra=extra)
        return summary

    def _outputs(self, context: Context, job: dict[str, Any]) -> dict[str, str]:
        """Return the URIs of what was made by name; a model's predictions have none."""
        if job["type"] == "model":
            return {"": job["output_uri"]}
        found = details(context, self.plan_task_id).get("outputs") or {}
        return {name: output["uri"] for name, output in found.items()}


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


def job_details(spec: dict[str, Any]) -> dict[str, Any]:
    """Return what a job consists of that is not of a model: a pipeline's steps with what they wait for, or another DAG's run."""
    if spec["type"] == "dag":
        return {"dag_id": spec["dag_id"], "inputs": spec["inputs"]}
    sources = {step["name"]: [given["source"] for given in step["inputs"].values()] for step in spec["graph"]}
    return {
        "inputs": spec["inputs"],
        "outputs": {name: {"type": output["type"], "uri": output["uri"]} for name, output in spec["outputs"].items()},
        "continue_on_step_failure": spec["continue_on_step_failure"],
        "steps": [
            {
                "name": step["name"],
                "after": sorted({source["step"] for source in sources[step["name"]] if source is not None}),
                "parallel": step["mini_batches"] is not None,
            }
            for step in spec["graph"]
        ],
    }


def _fallback_key(context: Context) -> str:
    return f"fallback.{submission_of(context)}"


def alias(endpoint: str) -> AssetAlias:
    """Return the alias under which every output of an endpoint is announced; DAGs can be scheduled on it."""
    return AssetAlias(f"batch_endpoint.{endpoint}")


def asset_name(endpoint: str, output_uri: str) -> str:
    """Return the name of the asset that an output is."""
    return f"batch_endpoint.{endpoint}:{output_uri}"[:1500]
