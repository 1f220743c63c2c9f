from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from airflow_batch_endpoints.exceptions import BatchEndpointsError
from airflow_batch_endpoints.worker import models


@pytest.mark.parametrize(
    ("out", "err"),
    [
        ('{"error": "API request to http://user:p@ss@mlflow:5000/api failed"}', ""),
        ('{"missing": "not at http://user:p@ss@mlflow:5000"}', ""),
        ("", "Traceback\nHTTPError: 401 for url: http://user:p@ss@mlflow:5000/api\n"),
    ],
)
def test_the_password_of_mlflow_is_not_told(monkeypatch: pytest.MonkeyPatch, out: str, err: str) -> None:
    ended = subprocess.CompletedProcess([], 1, out, err)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(BatchEndpointsError, match="://mlflow:5000") as told:
        models.download("models:/heart/1", Path("unused"))
    assert "@" not in str(told.value)
    assert "user" not in str(told.value)
