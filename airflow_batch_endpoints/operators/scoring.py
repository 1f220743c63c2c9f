"""The tasks of a job and how they hang together, the same in an endpoint's DAG and inline in one's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import TaskGroup, TriggerRule

from airflow_batch_endpoints import assets
from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.tasks import PLAN, PUBLISH, SCORE
from airflow_batch_endpoints.operators.announcing import alias
from airflow_batch_endpoints.operators.other_dag import OtherDagOperator
from airflow_batch_endpoints.operators.worker import BatchWorkerOperator

RETRIES = {
    "retries": 20,
    "retry_delay": timedelta(seconds=2),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
}
"""For lost workers; what a user must mend is never retried."""


def scoring_tasks(
    endpoint: str, request: dict[str, Any] | None = None, prefix: str = ""
) -> tuple[BatchWorkerOperator, BatchWorkerOperator]:
    """Add the tasks of a job to the DAG or task group at hand.

    :param request: parameters of the job; the run's own by default.
    :param prefix: of the task ids, with its dot, when inside a task group.
    :return: the first and the last of them.
    """
    common: dict[str, Any] = {"endpoint": endpoint, "request": request, "plan_task_id": f"{prefix}{PLAN}", **RETRIES}
    plan = BatchWorkerOperator(task_id=PLAN, command="plan", **common)
    score = mapped_score(plan, SCORE, **common)
    publish = BatchWorkerOperator(
        task_id=PUBLISH,
        command="publish",
        # Whatever became of single tasks: if the others did their work, nothing is missing. In an endpoint's DAG there are always
        # some that are skipped; in one's own, what comes before the job may skip all of it.
        trigger_rule=TriggerRule.ALL_DONE if request is None else TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
        outlets=[alias(endpoint), assets.alias()],
        **common,
    )
    [plan, score] >> publish
    return plan, publish


def mapped_score(plan: BatchWorkerOperator, task_id: str, **options: Any) -> Any:
    """Add the instances that share the work ``plan`` has found."""
    return BatchWorkerOperator.partial(
        task_id=task_id, command="score", map_index_template="instance {{ task.instance }}", **options
    ).expand_kwargs(plan.output)


class DeploymentTasks:
    """Adds the tasks that only jobs of one deployment have, between ``plan`` and ``publish``, as a group.

    :param endpoint: name of the endpoint.
    :param deployment: name of the deployment.
    :param entry: what the index says of it.
    """

    def __init__(self, endpoint: str, deployment: str, entry: Mapping[str, Any]) -> None:
        self._entry = entry
        self._common: dict[str, Any] = {"endpoint": endpoint, "deployment": deployment, "plan_task_id": PLAN, **RETRIES}
        self._groups: dict[str, TaskGroup] = {}
        self._root = tasks.group_id(deployment)
        self._name = deployment

    def add(self, plan: BatchWorkerOperator, publish: BatchWorkerOperator) -> None:
        """Add them to the DAG at hand."""
        if self._entry.get("dag_id"):
            plan >> OtherDagOperator(task_id=tasks.OTHER_DAG, task_group=self._group(""), **self._common) >> publish
            return
        steps = {step["name"]: step for step in tasks.steps(self._entry)}
        ends = {name: self._step(name, is_parallel=step["parallel"]) for name, step in steps.items()}
        for name, (begin, end) in ends.items():
            before = [ends[other][1] for other in steps[name]["after"] if other in ends] or [plan]
            # All of them before publish: those that the outputs need may be done while others have failed.
            before >> begin
            end >> publish

    def _group(self, path: str) -> TaskGroup:
        """Return the group of the steps below a pipeline that is a step itself; ``""`` for the deployment's own."""
        if path not in self._groups:
            outer, _, name = path.rpartition(".")
            self._groups[path] = (
                TaskGroup(group_id=name, parent_group=self._group(outer))
                if path
                else TaskGroup(group_id=self._root, group_display_name=self._name)
            )
        return self._groups[path]

    def _step(self, path: str, *, is_parallel: bool) -> tuple[BatchWorkerOperator, BatchWorkerOperator]:
        """Add a step, and return its first and its last task."""
        outer, _, name = path.rpartition(".")
        common = {**self._common, "step": path}
        if not is_parallel:
            task = BatchWorkerOperator(task_id=name, command="step", task_group=self._group(outer), **common)
            return task, task
        common["task_group"] = self._group(path)
        first, second, third = (f"{tasks.PARALLEL}{command}" for command in (PLAN, SCORE, PUBLISH))
        plan = BatchWorkerOperator(task_id=first, command="plan", **common)
        score = mapped_score(plan, second, **common)
        publish = BatchWorkerOperator(
            # Unlike a job's own, this is skipped with what comes before it.
            task_id=third, command="publish", trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS, **common
        )  # fmt: skip
        [plan, score] >> publish
        return plan, publish
