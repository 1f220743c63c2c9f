from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.tasks import DeploymentTask

_NAME = st.from_regex(r"[A-Za-z](-?[A-Za-z0-9]){0,8}", fullmatch=True)
_STEP = st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=3).map(".".join)


@given(deployment=_NAME, step=_STEP, parallel=st.booleans())
def test_a_task_knows_its_place_by_its_id(deployment: str, step: str, parallel: bool) -> None:
    entry = {"steps": [{"name": step, "after": [], "parallel": parallel}]}
    ids = tasks.task_ids(deployment, entry)
    commands = ["plan", "score", "publish"] if parallel else ["step"]
    assert [tasks.read(found) for found in ids] == [DeploymentTask(deployment, step, each) for each in commands]  # type: ignore[arg-type]
    for found in ids:
        assert tasks.task_ids(deployment, tasks.entry_of(tasks.read(found))) == ids  # type: ignore[arg-type]


@given(deployment=_NAME)
def test_a_step_of_any_name_is_not_the_task_that_runs_another_dag(deployment: str) -> None:
    (found,) = tasks.task_ids(deployment, {"dag_id": "anything"})
    assert tasks.read(found) == DeploymentTask(deployment, None, None)


def test_what_all_jobs_have_is_of_no_deployment() -> None:
    assert [tasks.read(task) for task in ("plan", "score", "publish", "deployment-", "deployment-a")] == [None] * 5
