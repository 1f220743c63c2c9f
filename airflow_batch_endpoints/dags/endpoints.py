"""Which endpoint DAGs a file defines: all of them for the DAG processor, one for a task."""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow.sdk import DAG, Variable, get_parsing_context

from airflow_batch_endpoints.dags.endpoint_dag import endpoint_dag
from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.naming import DAG_PREFIX

log = logging.getLogger(__name__)

INDEX = "batch_endpoints.index"
DAG_FILE = "batch_endpoints.dag_file"
"""Where the endpoint DAGs come from, so that ``apply`` can ask for that file to be parsed at once."""
_ENDPOINT = "batch_endpoints.endpoint."


def build(namespace: dict[str, Any]) -> None:
    """Define a DAG for every endpoint that one can be made for; why there is none for another is in the log.

    A task process gets the one DAG it runs, with the task it is and those that all have, without asking the registry: also when the
    endpoint or the deployment was deleted meanwhile, for a run that cannot find its task would not even end with a sentence.

    :param namespace: ``globals()`` of a file in a dags folder.
    """
    context = get_parsing_context()
    if context.dag_id is not None:
        if context.dag_id.startswith(DAG_PREFIX):
            namespace[context.dag_id] = _dag_of_task(context.dag_id.removeprefix(DAG_PREFIX), context.task_id)
        return
    index = _read_index()
    for name in Variable.keys(prefix=_ENDPOINT):
        endpoint = name.removeprefix(_ENDPOINT)
        entry = index.get(endpoint)
        try:
            dag = endpoint_dag(endpoint, entry if isinstance(entry, dict) else _read_entry(endpoint))
        except Exception as error:  # noqa: BLE001 - whatever somebody wrote into one Variable, the others have their DAGs
            log.warning(
                "endpoint %r has no DAG, for none can be made of its documents: %s: %s; apply it again, or delete Variable %s",
                endpoint, type(error).__name__, error, name,
            )  # fmt: skip
            continue
        namespace[f"{DAG_PREFIX}{endpoint}"] = dag
    _remember_file(namespace.get("__file__"))


def _dag_of_task(endpoint: str, task_id: str | None) -> DAG:
    task = None if task_id is None else tasks.read(task_id)
    return endpoint_dag(endpoint, {} if task is None else {"deployments": {task.deployment: tasks.entry_of(task)}})


def _read_index() -> dict[str, Any]:
    """One Variable for all endpoints: reading one for each would take longer than parsing may."""
    try:
        index = json.loads(Variable.get(INDEX, default="{}"))
    except ValueError:
        log.warning("Variable %s is not JSON; it is written anew by the next apply", INDEX)
        return {}
    return index if isinstance(index, dict) else {}


def _read_entry(endpoint: str) -> dict[str, Any]:
    """Read the documents of an endpoint that the index lacks: written by hand, or lost when two tasks wrote at once."""
    from airflow_batch_endpoints.exceptions import UserError
    from airflow_batch_endpoints.registry.registry import Registry
    from airflow_batch_endpoints.registry.task import TaskStore

    try:
        return Registry(TaskStore()).index_entry(endpoint) or {}
    except UserError as error:
        log.warning("endpoint %s cannot be read: %s", endpoint, error)
        return {}


def _remember_file(path: str | None) -> None:
    if path is not None and Variable.get(DAG_FILE, default=None) != path:
        Variable.set(DAG_FILE, path, description="Written by the endpoint DAGs' file; tells apply what to parse")
