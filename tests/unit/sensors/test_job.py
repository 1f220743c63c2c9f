from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_batch_endpoints.sensors.job import BatchJobSensor
from tests.unit.execution_api import Server, installed


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return installed(monkeypatch, Server(age=timedelta(minutes=1)))


def sensor(**more: Any) -> BatchJobSensor:
    return BatchJobSensor(**{"task_id": "wait", "endpoint": "e", "job": "j", **more})


def test_only_a_job_that_was_there_is_deleted(server: Server) -> None:
    assert not sensor().poke(server.context()), "it may be yet to come"
    server.state = "running"
    assert not sensor().poke(server.context())
    server.state = None
    with pytest.raises(AirflowFailException, match="job 'j' of endpoint 'e' was deleted"):
        sensor().poke(server.context())
    assert not sensor().poke(server.context(try_number=2)), "another try may wait for another job of that name"


@pytest.mark.parametrize(
    ("limits", "minutes"),
    [({"timeout": 600}, 9), ({"timeout": 600, "execution_timeout": timedelta(minutes=5)}, 4)],
)
def test_a_deferred_sensor_has_the_time_that_is_left(server: Server, limits: dict[str, Any], minutes: int) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        sensor(deferrable=True, **limits).execute(server.context())
    left = deferral.value.timeout
    assert left is not None
    assert timedelta(minutes=minutes) - timedelta(seconds=30) < left <= timedelta(minutes=minutes)


def test_a_job_that_was_deleted_before_the_deferral_is_none_to_wait_for(server: Server) -> None:
    server.state = "running"
    with pytest.raises(TaskDeferred) as deferral:
        sensor(deferrable=True).execute(server.context())
    server.state = None
    assert deferral.value.trigger.look()["state"] == "deleted"  # type: ignore[attr-defined]


def test_soft_fail_holds_for_the_first_look_too(server: Server) -> None:
    server.set("job_seen", 1)
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, soft_fail=True).execute(server.context())
