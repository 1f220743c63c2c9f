from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse

from airflow_batch_endpoints.exceptions import InfrastructureError, NotFoundError
from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook


class Supervisor:
    """Answers what a task sends, with the error that the supervisor makes of an answer of the Execution API."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, message: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refused(status: int, message: str) -> AirflowRuntimeError:
    detail = {"status_code": status, "message": message, "detail": {"detail": message}}
    return AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OKResponse(ok=True), True),
        (ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS), False),
        (refused(404, "Dag with dag_id 'x' gone"), NotFoundError),
        # What a message happens to say decides nothing.
        (refused(500, "worker 404: table not found"), InfrastructureError),
        (refused(400, "input s3://404/not found"), InfrastructureError),
        (
            AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={"error": "404"})),
            InfrastructureError,
        ),
    ],
)
def test_starting_a_job(monkeypatch: pytest.MonkeyPatch, answer: Any, outcome: Any) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(answer), raising=False)
    start = BatchEndpointHook().start
    if isinstance(outcome, bool):
        assert start("e", "job", {}) is outcome
        return
    with pytest.raises(outcome):
        start("e", "job", {})
