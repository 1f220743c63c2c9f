"""Whether a run has the tasks that its job needs: a deployment may be applied, and the DAG not be parsed again yet."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskInstanceState
from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.operators.job import stop_if_asked

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

PARSED_SECONDS = 180.0
"""How long to wait for the DAG: by default Airflow parses a file every 30 s, and stores a DAG that changed every 30 s."""
_LOOK_SECONDS = 1.0
_AT_ONCE = 50
"""Most tasks that one request asks about."""
_THERE = [*(state.value for state in TaskInstanceState if state is not TaskInstanceState.REMOVED), "null"]
"""States of the tasks that a run has; those that its DAG has lost stay with it, as removed."""


def await_tasks(context: Context, endpoint: str, deployment: str, details: dict[str, Any]) -> None:
    """Wait until the run has the tasks of the job's deployment. The scheduler adds them to a run under way.

    :param details: what the job consists of.
    :raises AirflowFailException: the deployment does not have them any more, or the DAG is not parsed in time.
    """
    found = tasks.task_ids(deployment, details)
    # Instances are counted; those of a mapped task are more than one.
    wanted = [task for task in found if not task.endswith(f".{tasks.PARALLEL}{tasks.SCORE}")]
    lacking = len(wanted) - _present(context, wanted)
    if not lacking:
        return
    if not set(wanted) <= set(_tasks_now(endpoint, deployment)):
        raise AirflowFailException(
            f"deployment {deployment!r} was changed after this job was planned: the DAG of endpoint {endpoint!r} has no tasks for "
            f"{lacking} of its {len(wanted)} steps any more. Start a new job"
        )
    log.info("waiting for the DAG to be parsed with the steps of deployment %s", deployment)
    until = time.monotonic() + PARSED_SECONDS
    while (lacking := len(wanted) - _present(context, wanted)) > 0:
        if time.monotonic() > until:
            raise AirflowFailException(
                f"the DAG of endpoint {endpoint!r} has no tasks yet for {lacking} of the {len(wanted)} steps of deployment "
                f"{deployment!r}: the DAG processor has not parsed its file since the deployment was applied. Clear this run later"
            )
        stop_if_asked(context, endpoint)
        time.sleep(_LOOK_SECONDS)


def _present(context: Context, wanted: list[str]) -> int:
    ti = context["ti"]
    return sum(
        ti.get_ti_count(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=wanted[start : start + _AT_ONCE], states=_THERE)
        for start in range(0, len(wanted), _AT_ONCE)
    )


def _tasks_now(endpoint: str, deployment: str) -> list[str]:
    """Return the tasks that the deployment has by its document, and have the index, by which the DAG is made, say the same."""
    from airflow_batch_endpoints.registry.registry import Registry
    from airflow_batch_endpoints.registry.task import TaskStore

    registry = Registry(TaskStore())
    if registry.mend_index(endpoint):
        log.warning("the index lacked what two tasks wrote at once; it is mended")
    entry = registry.index_entry(endpoint) or {}
    return tasks.task_ids(deployment, entry.get("deployments", {}).get(deployment) or {})
