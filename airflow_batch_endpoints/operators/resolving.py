"""From the parameters of a run to the job: once, and kept where a retry and a clear of the run find it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.operators.job import DETAILS, ERROR, JOB

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.jobs.spec import JobReference

SPEC_KEY = "job_spec"
_SKIPPED_AT_ONCE = 500
"""Most tasks that one request skips."""
REFERENCE = (
    "type", "endpoint", "deployment", "deployment_revision", "job", "invoker", "input_uri", "output_uri", "replay", "output_assets",
    "launch", "steps",
)  # fmt: skip
"""What the other tasks are told of the job: the fields of :class:`~airflow_batch_endpoints.jobs.spec.JobReference`."""


def resolve_once(context: Context, endpoint: str, request: dict[str, Any] | None, task_id: str) -> dict[str, Any]:
    """Return the job as it was resolved first, and tell the other tasks of it.

    :param request: parameters of the job; ``None`` for those of the run, whose other deployments' tasks are then skipped.
    :param task_id: id of the task that plans the job.
    """
    store = context["task_state_store"]
    kept = store.get(SPEC_KEY)
    if isinstance(kept, str):
        spec = dict(json.loads(kept))
    else:
        spec = _resolve_now(context, endpoint, request, task_id).model_dump(mode="json", by_alias=True)
        store.set(SPEC_KEY, json.dumps(spec), retention=NEVER_EXPIRE)
    context["ti"].xcom_push(JOB, {name: spec[name] for name in REFERENCE})
    if spec["type"] != "model":
        context["ti"].xcom_push(DETAILS, job_details(spec))
    if request is None:
        _skip_others(endpoint, spec["deployment"])
    return spec


def _resolve_now(context: Context, endpoint: str, request: dict[str, Any] | None, task_id: str) -> JobReference:
    from airflow_batch_endpoints.config import settings
    from airflow_batch_endpoints.documents.job import request_from_conf
    from airflow_batch_endpoints.exceptions import UserError
    from airflow_batch_endpoints.registry.registry import Registry
    from airflow_batch_endpoints.registry.resolve import resolve
    from airflow_batch_endpoints.registry.task import TaskStore

    run = context["dag_run"]
    parameters = request if request is not None else dict(context["params"])
    try:
        spec = resolve(
            Registry(TaskStore()),
            request_from_conf(endpoint, parameters),
            job=_job_name(context, request, task_id),
            invoker=run.triggering_user_name,
            settings=settings(),
            find_job=lambda name: _find_job(context, endpoint, name),
        )
        if request is not None and spec.type != "model":
            raise UserError(
                f"deployment {spec.deployment!r} has tasks of its own, which only the DAG of endpoint {endpoint!r} "
                "has; name a deployment of type: model here, or invoke the endpoint with BatchInvokeOperator"
            )
    except UserError as error:
        context["ti"].xcom_push(ERROR, str(error))
        raise AirflowFailException(str(error)) from None
    return spec


def _skip_others(endpoint: str, deployment: str) -> None:
    """Skip the tasks that only other deployments have, so that no process is started to find out that it is one of them.

    What the index does not know of skips itself.
    """
    from airflow.sdk import Variable
    from airflow.sdk.execution_time.comms import SkipDownstreamTasks
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    from airflow_batch_endpoints.registry.index import index_of
    from airflow_batch_endpoints.registry.keys import INDEX

    entry = index_of(Variable.get(INDEX, default=None)).get(endpoint) or {}
    others = [
        task
        for name, found in (entry.get("deployments") or {}).items()
        if name != deployment
        for task in tasks.task_ids(name, found)
    ]
    for start in range(0, len(others), _SKIPPED_AT_ONCE):
        SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=list(others[start : start + _SKIPPED_AT_ONCE])))


def _find_job(context: Context, endpoint: str, name: str) -> JobReference | None:
    """Return what another job of the endpoint was resolved to."""
    from airflow_batch_endpoints.jobs.spec import JobReference

    found = context["ti"].xcom_pull(dag_id=dag_id(endpoint), run_id=name, task_ids=tasks.PLAN, key=JOB)
    return None if found is None else JobReference.model_validate(found)


def _job_name(context: Context, request: dict[str, Any] | None, task_id: str) -> str:
    """The run id is the job's name; inline in a DAG of one's own, the task tells jobs of a run apart."""
    run, ti = context["dag_run"], context["ti"]
    if request is None:
        return str(run.run_id)
    return f"{run.dag_id}.{task_id.rpartition('.')[0] or task_id}.{run.run_id}.{max(ti.map_index or 0, 0)}"


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
