"""A job's tasks inside one's own DAG."""

from __future__ import annotations

from typing import Any

from airflow.sdk import TaskGroup

from airflow_batch_endpoints.operators.scoring import scoring_tasks


class BatchScoringTaskGroup(TaskGroup):
    """``plan >> score >> publish`` of a job, inline in a DAG: its tasks are seen, retried and cleared with those around it.

    The endpoint needs to be applied; its own DAG is not involved.

    :param endpoint: name of the endpoint (templated).
    :param input_data: URI of a file, a folder or a pattern (templated).
    :param deployment: name of the deployment; the endpoint's default by default (templated).
    :param output_uri: URI of a folder for this job alone (templated).
    :param settings: overrides for this job (templated).
    """

    def __init__(
        self,
        group_id: str = "batch_scoring",
        *,
        endpoint: str,
        input_data: str,
        deployment: str | None = None,
        output_uri: str | None = None,
        settings: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, **kwargs)
        request = {"input": input_data, "deployment": deployment, "output": output_uri, **(settings or {})}
        with self:
            scoring_tasks(
                endpoint, {name: value for name, value in request.items() if value is not None}, f"{self.group_id}."
            )
