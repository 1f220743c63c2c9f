from __future__ import annotations

from airflow_batch_endpoints.dags.endpoint_dag import endpoint_dag, form


def test_only_the_dag_keeps_the_form() -> None:
    """A copy for each task is most of what a DAG takes to parse and to store."""
    dag = endpoint_dag("flights", {"default": "main"})
    assert set(dag.params) == set(form({}))
    assert not any(dict(task.params) for task in dag.tasks)
