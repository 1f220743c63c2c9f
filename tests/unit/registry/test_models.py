from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.loading import loads
from airflow_batch_endpoints.exceptions import BatchEndpointsError, ConflictError, InfrastructureError, UserError
from airflow_batch_endpoints.registry import applying, models, outputs
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.store import MemoryStore

# MLflow's own, of the SQLAlchemy it is installed with.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore:The ``noload``")


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ARTIFACT_URI", str(tmp_path / "artifacts"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")
    return uri


def apply(folder: Path, **fields: Any) -> tuple[str, str]:
    document = loads(json.dumps({"name": "heart", "type": "custom_model", "path": "model", **fields}), source="m.yml")
    ((result, made),) = applying.apply(Registry(MemoryStore()), [(folder, document)], Settings())
    return result, str(getattr(made, "version", ""))


def test_a_model_is_registered_with_its_copy(tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply(tmp_path, description="first", tags={"team": "heart"}) == ("created", "1")
    found = mlflow.MlflowClient(tracking).get_model_version("heart", "1")
    assert (found.description, found.tags["team"]) == ("first", "heart")
    copy = Path(str(found.source).removeprefix("file://"))
    assert (copy.parent.parent, (copy / "weights").read_text()) == (tmp_path / "artifacts", "1")
    # Where MLflow is not installed.
    (tmp_path / "hidden" / "mlflow").mkdir(parents=True)
    (tmp_path / "hidden" / "mlflow" / "__init__.py").write_text("raise ImportError('hidden')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    with pytest.raises(UserError, match=r"pip install 'airflow-batch-endpoints\[mlflow\]'"):
        apply(tmp_path)


def test_the_rules_of_versions(
    tracking: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which imports MLflow once; the answers are read as those of the other process are."""

    def ask(request: dict[str, Any], environment: dict[str, str]) -> dict[str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
        code = models._answer()
        return models.read(request["name"], code, capsys.readouterr().out, "")

    monkeypatch.setattr(models, "_ask", ask)

    def register(uri: str, **fields: Any) -> tuple[str, str]:
        document = loads(json.dumps({"name": "heart", "type": "custom_model", "path": uri, **fields}), source="m.yml")
        assert isinstance(document, models.ModelAsset)
        result, made = models.register(document, uri, Settings())
        return result, str(made.version)

    one, two = "s3://lake/models/1", "s3://lake/models/2"
    assert [register(one), register(one), register(one, version=1)] == [
        ("created", "1"),
        ("unchanged", "1"),
        ("unchanged", "1"),
    ]
    with pytest.raises(ConflictError, match="version 1 is another one, from s3://lake/models/1"):
        register(two, version=1)
    with pytest.raises(ConflictError, match="the next is 2, not 7"):
        register(two, version=7)
    assert [register(two, version=2), register(two), register(one)] == [
        ("created", "2"),
        ("unchanged", "2"),
        ("created", "3"),
    ]
    # An output is the version that it became, whatever was registered since.
    made = {"name": "heart", "type": "mlflow_model", "uri": two}
    assert outputs.register(Registry(MemoryStore()), [made, {**made, "uri": "s3://lake/models/3"}], Settings()) == []
    assert len(mlflow.MlflowClient(tracking).search_model_versions("name='heart'")) == 4
    with pytest.raises(UserError, match="MLflow does not register it"):
        register("runs:/0123456789abcdef0123456789abcdef/model")


def test_what_is_no_answer() -> None:
    with pytest.raises(InfrastructureError, match="model 'm': MLflow cannot register it: no route to host"):
        models.read("m", 1, "", "Traceback\nno route to host\n")


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (1, {"error": "API request to http://user:p@ss@mlflow:5000/api failed"}, ""),
        (0, {"refused": "http://user:p@ss@mlflow:5000 does not want it"}, ""),
        (0, {"conflict": "version 1 is another one, from https://user:p@ss@mlflow/1"}, ""),
        (1, None, "Traceback\nHTTPError: 401 for url: http://user:p@ss@mlflow:5000/api\n"),
    ],
)
def test_the_password_of_mlflow_is_not_told(code: int, out: dict[str, str] | None, err: str) -> None:
    with pytest.raises(BatchEndpointsError, match="://mlflow") as told:
        models.read("m", code, json.dumps(out) if out else "", err)
    assert "@" not in str(told.value)
    assert "user" not in str(told.value)
