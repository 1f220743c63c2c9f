from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, AirflowTaskTimeout, TaskDeferred

from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator
from tests.unit.execution_api import Server, installed


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return installed(monkeypatch, Server(state="running"))


@pytest.fixture
def operator() -> BatchInvokeOperator:
    return BatchInvokeOperator(task_id="t", endpoint="e", deferrable=True, execution_timeout=timedelta(minutes=5))


def deferral(operator: BatchInvokeOperator, server: Server) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as found:
        operator.execute(server.context())
    return found.value


def test_a_deferred_task_has_its_execution_timeout(server: Server, operator: BatchInvokeOperator) -> None:
    left = deferral(operator, server).timeout
    assert left is not None
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)


def test_after_it_the_job_is_canceled_as_the_server_counts_its_submissions(
    server: Server, operator: BatchInvokeOperator
) -> None:
    server.cleared = 3
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout of 0:05:00"):
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, server.context())
    assert server.stop == {"submission": "3", "reason": "the task that invoked it exceeded its execution_timeout"}


def test_the_trigger_cancels_what_the_server_counts(server: Server, operator: BatchInvokeOperator) -> None:
    server.cleared = 2
    assert deferral(operator, server).trigger.submission == "2"  # type: ignore[attr-defined]
    server.cleared = 3  # Somebody has cleared it since it failed.
    with pytest.raises(TaskDeferred) as again:
        operator.execute_complete(server.context(), {"endpoint": "e", "job": "j", "state": "failed"})
    assert again.value.trigger.submission == "3"  # type: ignore[attr-defined]


def test_nobody_cancels_or_starts_again_what_a_person_has_deleted(
    server: Server, operator: BatchInvokeOperator
) -> None:
    server.state = None
    with pytest.raises(AirflowFailException, match="was deleted; clear this task to start it again"):
        operator.execute_complete(server.context(), {"endpoint": "e", "job": "j", "state": "deleted"})
    operator.hook.cancel("e", "j", "a reason")
    assert server.stop is None
    server.refusal = 500
    with pytest.raises(AirflowRuntimeError):
        operator.hook.cancel("e", "j", "a reason that is not lost")
