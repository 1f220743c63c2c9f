"""An Execution API of one run, for tasks that are run without Airflow."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
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


class Server:
    """Answers as the Execution API does of one run, which people may clear or delete; keeps what the task keeps."""

    def __init__(self, *, state: str | None = None, age: timedelta = timedelta()) -> None:
        """:param age: how long ago the try of the task has started."""
        self.state, self.age = state, age
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

    def context(self, *, try_number: int = 1) -> Any:
        ti = SimpleNamespace(
            dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=try_number, start_date=datetime.now(UTC) - self.age,
            xcom_push=lambda *_: None,
        )  # fmt: skip
        return {"ti": ti, "task_state_store": self}


def installed(monkeypatch: pytest.MonkeyPatch, server: Server) -> Server:
    """Have tasks of this process ask a server."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", server, raising=False)
    return server
