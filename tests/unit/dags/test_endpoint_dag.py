from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, TriggerRule
from airflow.sdk.definitions._internal.dag_parsing_context import (
    _AIRFLOW_PARSING_CONTEXT_DAG_ID,
    _AIRFLOW_PARSING_CONTEXT_TASK_ID,
)

from airflow_batch_endpoints.dags.endpoint_dag import endpoint_dag
from airflow_batch_endpoints.dags.endpoints import build
from airflow_batch_endpoints.jobs import tasks

ENTRY: dict[str, Any] = {
    "deployments": {
        "plain": {"type": "model"},
        "etl": {
            "type": "pipeline",
            "inputs": {
                "data": {"type": "uri_folder", "required": True},
                "mode": {"type": "string", "default": "a`b\nc", "enum": ["a`b\nc", "x"], "description": "how"},
            },
            "outputs": {"scores": {"type": "uri_folder"}},
            "steps": [
                {"name": "prepare", "after": [], "parallel": False},
                {"name": "train.fit", "after": ["prepare"], "parallel": False},
                {"name": "train.check.all", "after": ["train.fit"], "parallel": False},
                {"name": "score", "after": ["prepare", "train.fit"], "parallel": True},
                {"name": "dag", "after": ["score"], "parallel": False},
            ],
        },
        "theirs": {"type": "dag", "dag_id": "their_dag"},
    }
}
COMMON = {"plan", "score", "publish"}


@pytest.fixture(scope="module")
def dag() -> DAG:
    return endpoint_dag("e", ENTRY)


def upstream(dag: DAG, task: str) -> set[str]:
    return set(dag.get_task(task).upstream_task_ids)


def test_the_steps_stand_between_plan_and_publish(dag: DAG) -> None:
    steps = {task for name, entry in ENTRY["deployments"].items() for task in tasks.task_ids(name, entry)}
    assert set(dag.task_ids) == COMMON | steps
    assert upstream(dag, "publish") == {"plan", "score"} | {
        task for task in steps if not task.endswith(("parallel-plan", "parallel-score"))
    }
    assert upstream(dag, "deployment-etl.prepare") == {"plan"}
    assert upstream(dag, "deployment-etl.train.fit") == {"deployment-etl.prepare"}
    assert upstream(dag, "deployment-etl.score.parallel-plan") == {"deployment-etl.prepare", "deployment-etl.train.fit"}
    assert upstream(dag, "deployment-etl.dag") == {"deployment-etl.score.parallel-publish"}
    assert upstream(dag, "deployment-theirs.other-dag") == {"plan"}


def test_groups_are_named_as_people_know_them(dag: DAG) -> None:
    groups = dag.task_group.get_task_group_dict()
    assert {group.group_id: group.label for group in groups.values() if group.group_id} == {
        "deployment-etl": "etl",
        "deployment-etl.train": "train",
        "deployment-etl.train.check": "check",
        "deployment-etl.score": "score",
        "deployment-theirs": "theirs",
    }


def test_publish_runs_whatever_was_skipped(dag: DAG) -> None:
    rules = {task: dag.get_task(task).trigger_rule for task in dag.task_ids}
    assert rules.pop("publish") == TriggerRule.ALL_DONE
    assert rules.pop("deployment-etl.score.parallel-publish") == TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
    assert set(rules.values()) == {TriggerRule.ALL_SUCCESS}


def test_a_task_process_builds_its_task_from_its_id_alone(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry is asked: there is none in this process."""
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "batch_endpoint.e")
    for task in dag.task_ids:
        monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_TASK_ID, task)
        namespace: dict[str, Any] = {}
        build(namespace)
        (found,) = namespace.values()
        assert set(found.task_ids) <= set(dag.task_ids)
        mine, whole = found.get_task(task), dag.get_task(task)
        assert type(mine) is type(whole)
        wanted = ("command", "step", "deployment", "endpoint", "plan_task_id", "trigger_rule", "retries")
        values = [getattr(whole, name, None) or getattr(whole, "partial_kwargs", {}).get(name) for name in wanted]
        assert [getattr(mine, name, None) or getattr(mine, "partial_kwargs", {}).get(name) for name in wanted] == values


def test_the_form_tells_what_the_deployments_take(dag: DAG) -> None:
    told = str(dag.params.get_param("inputs").schema["description_md"])
    assert "- `data` of `etl` (uri_folder, **required**)" in told
    assert "- `mode` of `etl` (string, default `a'b c`, one of `a'b c`, `x`): how" in told
    assert "- `scores` of `etl` (uri_folder)" in str(dag.params.get_param("outputs").schema["description_md"])
    assert "| `theirs` |  | default | runs DAG `their_dag` |" in str(dag.doc_md)
    assert all(param is None for param in dag.params.dump().values()), "a form with nothing filled in can be sent"
