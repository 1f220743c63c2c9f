from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRuntimeError,
    AirflowTaskTimeout,
    ErrorType,
    TaskDeferred,
)
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    DagRunResult,
    DagRunStateResult,
    DRCount,
    ErrorResponse,
    GetDagRun,
    GetDagRunState,
    GetDRCount,
    OKResponse,
    PutVariable,
)

from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator


class Server:
    """Answers as the Execution API does of one run, which somebody may clear or delete; keeps what the task keeps."""

    def __init__(self) -> None:
        self.state: str | None = "running"
        self.cleared, self.refusal = 0, 404
        self.stop: dict[str, str] | None = None
        self.kept: dict[str, Any] = {}

    def send(self, msg: Any) -> Any:
        if isinstance(msg, GetDRCount):
            return DRCount(count=int(self.state is not None))
        if isinstance(msg, GetDagRunState):
            return DagRunStateResult(state=self.state)
        if isinstance(msg, GetDagRun):
            if self.state is None:
                raise AirflowRuntimeError(
                    ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": self.refusal})
                )
            now = datetime.now(UTC)
            return DagRunResult(
                dag_id=msg.dag_id, run_id=msg.run_id, state=self.state, clear_number=self.cleared, run_after=now,
                logical_date=None, data_interval_start=None, data_interval_end=None, start_date=now, end_date=None,
                run_type="manual", consumed_asset_events=[], partition_key=None,
            )  # fmt: skip
        if isinstance(msg, PutVariable):
            self.stop = json.loads(str(msg.value))
        return OKResponse(ok=True)

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    def set(self, key: str, value: Any, **_: Any) -> None:
        self.kept[key] = value

    def context(self) -> Any:
        ti = SimpleNamespace(
            dag_id="d", run_id="r", task_id="t", map_index=-1, start_date=datetime.now(UTC), xcom_push=lambda *_: None
        )
        return {"ti": ti, "task_state_store": self}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", server, raising=False)
    return server


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
