from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.database.models import JobRow
from airflow_batch_endpoints.runs.projection import LAST_WORDS, SAID, RunFacts, other_dag, project

START = datetime(2024, 1, 1, tzinfo=UTC)
PLANNED = {
    ("plan", "summary"): [{"items": 9, "shards": 3, "model_uri": "models:/m/1"}],
    ("plan", "job"): [{
        "deployment": "main", "deployment_revision": "abc", "input_uri": "file:///in", "output_uri": "file:///out",
        "launch": {"compute": {"name": "local"}},
    }],
}  # fmt: skip


def facts(state: str = "running", **more: Any) -> RunFacts:
    return RunFacts(
        endpoint="e", job="j", dag_run_id=1, submission=0, state=state, invoker="ann", conf={"input": "file:///in"},
        note="", created=START, started=START, ended=None, updated=START, **more,
    )  # fmt: skip


def row(found: RunFacts, later: timedelta = timedelta(hours=1)) -> dict[str, Any]:
    return project(found, START + later)


def test_a_job_under_way() -> None:
    said = {
        **PLANNED,
        ("score", "progress"): [{"succeeded": 2, "failed": 1, "rows": 20, "shards_done": 1}, {"succeeded": 1}],
    }
    found = row(facts(tasks={"plan": {"success"}, "score": {"running"}}, said=said))
    assert (found["state"], found["is_settled"]) == ("Running", False)
    assert [found[name] for name in ("listed", "succeeded", "failed", "rows", "shards", "shards_done")] == [
        9,
        3,
        1,
        20,
        3,
        1,
    ]
    assert (found["deployment"], found["deployment_revision"], found["compute"]) == ("main", "abc", "local")


def test_what_is_published_counts() -> None:
    published = {"listed": 9, "succeeded": 8, "failed": 1, "rows": 80}
    said = {**PLANNED, ("publish", "summary"): [published], ("score", "progress"): [{"succeeded": 99}]}
    found = row(facts("success", said=said))
    assert {name: found[name] for name in published} == published
    assert (found["state"], found["shards_done"], found["is_settled"]) == ("Completed", 3, True)


@pytest.mark.parametrize(
    ("more", "state", "error"),
    [
        ({}, "Failed", "see the logs of its tasks"),
        ({"note": "canceled by ann"}, "Canceled", "canceled by ann"),
        ({"cancel_request": "the task that invoked it was ended"}, "Canceled", "the task that invoked it was ended"),
        (
            {"said": {("score", "error"): ["no memory"], ("publish", "error"): ["2 shards missing"]}},
            "Failed",
            "no memory",
        ),
        ({"note": "a note of somebody"}, "Failed", "see the logs of its tasks"),
    ],
)
def test_canceled_and_failed_stay_apart(more: dict[str, Any], state: str, error: str) -> None:
    found = row(dataclasses.replace(facts("failed"), **more))
    assert (found["state"], found["error"]) == (state, error)


def test_the_end_of_a_run_is_not_the_end_of_what_its_tasks_say() -> None:
    ended = dataclasses.replace(facts("failed"), ended=START)
    assert not row(ended, LAST_WORDS / 2)["is_settled"]
    assert row(ended, LAST_WORDS)["is_settled"]
    assert not row(dataclasses.replace(ended, tasks={"score": {"running"}}), LAST_WORDS)["is_settled"]


_ANYTHING = st.none() | st.text() | st.integers() | st.text(min_size=300)
_SAID = st.dictionaries(
    st.tuples(st.sampled_from(["plan", "score", "publish", "deployment-a.b"]), st.sampled_from(SAID)),
    st.lists(
        _ANYTHING
        | st.dictionaries(
            st.sampled_from(["items", "launch", "rows", "deployment", "output_uri", "type", "steps", "dag_id"]),
            _ANYTHING | st.sampled_from(["dag", "pipeline"]) | st.dictionaries(st.just("a"), _ANYTHING),
        )
    ),
)


def test_a_pipeline_job() -> None:
    step = {"compute": {"name": "gpus"}}
    job = {**PLANNED["plan", "job"][0], "type": "pipeline", "input_uri": "", "steps": {"train": step}}
    said: dict[tuple[str, str], list[Any]] = {
        ("plan", "summary"): [{"instances": 0}],
        ("plan", "job"): [job],
        ("deployment-main.train", "compute"): ["spare"],
        ("deployment-main.train", "error"): ["no memory"],
        ("publish", "error"): ["step train failed: no memory"],
    }
    found = row(facts("failed", tasks={"plan": {"success"}, "deployment-main.train": {"failed"}}, said=said))
    assert (found["state"], found["error"]) == ("Failed", "step train failed: no memory")
    assert found["compute"] == "gpus, local, spare"
    assert {found[name] for name in ("listed", "succeeded", "failed", "rows", "shards", "shards_done")} == {None}
    del said["publish", "error"]
    assert row(facts("failed", said=said))["error"] == "no memory"
    assert other_dag(facts("failed", said=said)) is None


def test_a_job_that_is_a_run_of_another_dag() -> None:
    job = {**PLANNED["plan", "job"][0], "type": "dag"}
    said = {("plan", "job"): [job], ("plan", "details"): [{"dag_id": "theirs", "inputs": {}}]}
    found = row(facts("success", said=said))
    assert (found["state"], found["compute"], found["rows"]) == ("Completed", None, None)
    assert other_dag(facts(said=said)) == "theirs"


@given(said=_SAID, state=st.sampled_from(["queued", "running", "success", "failed"]))
def test_any_said_makes_a_row(said: dict[tuple[str, str], list[Any]], state: str) -> None:
    """Whoever wrote what into the XComs of a run: one job's row is poorer, no list breaks."""
    found = row(facts(state, said=said))
    assert other_dag(facts(state, said=said)) is None or isinstance(other_dag(facts(state, said=said)), str)
    assert set(found) == {column.name for column in JobRow.__table__.columns} - {"id"}
    for column in JobRow.__table__.columns:
        value = found.get(column.name)
        if isinstance(value, str):
            assert len(value) <= (getattr(column.type, "length", None) or len(value))
            assert "\0" not in value
            value.encode()


@pytest.mark.parametrize(
    ("conf", "shown"),
    [
        ({"input": "file:///in"}, "file:///in"),
        ({"input": "https://h/in.csv?sig=secret"}, "https://h/in.csv"),
        ({"inputs": {"mode": "x", "data": {"type": "uri_folder", "path": "file:///in"}}}, "file:///in"),
        ({"inputs": {"mode": {"value": 5}}}, None),
        ({"inputs": "file:///in"}, None),
        ({}, None),
    ],
)
def test_the_input_of_a_job_that_is_not_planned_yet(conf: dict[str, Any], shown: str | None) -> None:
    assert row(dataclasses.replace(facts("queued"), conf=conf))["input"] == shown
