"""The tasks of a job and how they hang together, the same in an endpoint's DAG and inline in one's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TriggerRule

from airflow_batch_endpoints import assets
from airflow_batch_endpoints.operators.worker import BatchWorkerOperator, alias

RETRIES = {
    "retries": 20,
    "retry_delay": timedelta(seconds=2),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
}
"""For lost workers; what a user must mend is never retried."""


def scoring_tasks(endpoint: str, request: dict[str, Any] | None = None, prefix: str = "") -> BatchWorkerOperator:
    """Add the tasks of a job to the DAG or task group at hand.

    :param request: parameters of the job; the run's own by default.
    :param prefix: of the task ids, with its dot, when inside a task group.
    :return: the last task.
    """
    common: dict[str, Any] = {"endpoint": endpoint, "request": request, "plan_task_id": f"{prefix}plan", **RETRIES}
    plan = BatchWorkerOperator(task_id="plan", command="plan", **common)
    score = BatchWorkerOperator.partial(
        task_id="score", command="score", map_index_template="instance {{ task.instance }}", **common
    ).expand_kwargs(plan.output)
    publish = BatchWorkerOperator(
        task_id="publish",
        command="publish",
        # Whatever became of single instances: if the others did their work, nothing is missing.
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
        outlets=[alias(endpoint), assets.alias()],
        **common,
    )
    [plan, score] >> publish
    return publish
