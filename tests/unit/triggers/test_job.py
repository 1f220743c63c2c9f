from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DagRunStateResult, DRCount, GetDRCount, GetVariable, VariableResult

from airflow_batch_endpoints.triggers.job import BatchJobTrigger, OtherDagTrigger
from airflow_batch_endpoints.triggers.run import RunTrigger


class Server:
    """Answers as the Execution API does of one run, which a person may delete."""

    def __init__(self, state: str | None) -> None:
        self.state = state

    def send(self, msg: Any) -> Any:
        if isinstance(msg, GetVariable):
            return VariableResult(key=msg.key, value=None)
        return (
            DRCount(count=int(self.state is not None))
            if isinstance(msg, GetDRCount)
            else DagRunStateResult(state=self.state)
        )


def job(**more: Any) -> BatchJobTrigger:
    return BatchJobTrigger(endpoint="e", job="j", **more)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server("running")
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", server, raising=False)
    return server


@pytest.mark.parametrize(
    "trigger",
    [
        job(submission="0"),
        job(was_seen=False),
        OtherDagTrigger(other_dag="d", other_run="r", endpoint="e", job="j", submission="0"),
    ],
)
@pytest.mark.parametrize(("state", "told"), [("success", "success"), ("failed", "failed"), (None, "deleted")])
def test_a_wait_ends_with_its_run(server: Server, trigger: RunTrigger, state: str | None, told: str) -> None:
    trigger = type(trigger)(**trigger.arguments())
    assert trigger.look() is None
    server.state = state
    event = trigger.look()
    assert event is not None
    assert event["state"] == told


def test_a_job_that_nobody_has_seen_may_be_yet_to_come(server: Server) -> None:
    server.state = None
    assert job(was_seen=False).look() is None
    assert job(was_seen=True).look() == {"endpoint": "e", "job": "j", "state": "deleted"}
