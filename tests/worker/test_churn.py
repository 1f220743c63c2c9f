"""From the documents of ``example_dags/churn`` to published outputs: what a job resolves to, done by the real worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.loading import load
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.registry.staging import stage
from airflow_batch_endpoints.registry.store import MemoryStore
from tests.worker.pipelines import Pipeline

CHURN = Path(__file__).parents[2] / "example_dags" / "churn"
ROWS = [f"{months},{calls},{int(calls > months)}" for months in range(1, 9) for calls in (0, 4, 9)]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, folder in {"ALLOWED_INPUT_URIS": "", "DEFAULT_OUTPUT_URI": "jobs", "ARTIFACT_URI": "artifacts"}.items():
        monkeypatch.setenv(f"AIRFLOW__BATCH_ENDPOINTS__{name}", (tmp_path / folder).as_uri())
    registry = Registry(MemoryStore())
    names = ("endpoint.yml", "deployment.yml", "training-endpoint.yml", "training-deployment.yml")
    registry.apply([stage(load(CHURN / name), CHURN, Settings().artifact_uri) for name in names])
    return registry


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> Iterator[Any]:
    started: list[Pipeline] = []

    def run(endpoint: str, deployment: str, job: str, **inputs: Any) -> Pipeline:
        request = request_from_conf(endpoint, {"deployment": deployment, "inputs": inputs})
        spec = resolve(registry, request, job=job, invoker=None, settings=Settings())
        pipeline = Pipeline(tmp_path / job, name=job, output_uri=spec.output_uri, spec=spec.model_dump(mode="json"))
        pipeline.graph = pipeline.spec["graph"]
        started.append(pipeline)
        pipeline.run()
        return pipeline

    yield run
    for pipeline in started:
        pipeline.end()


def by_hand(component: str, **arguments: str | Path) -> None:
    (script,) = (CHURN / "components" / component / "code").glob("*.py")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)


@pytest.mark.extended
@pytest.mark.timeout(600)
def test_train_and_score_equal_the_same_steps_by_hand(run: Any, tmp_path: Path) -> None:
    customers, hand = tmp_path / "customers", tmp_path / "hand"
    customers.mkdir()
    for number, part in enumerate((ROWS[:12], ROWS[12:])):
        (customers / f"{number}.csv").write_text("\n".join(["months,calls,left", *part, ""]))
    by_hand("prepare", data=customers, prepared=hand / "prepared", fitted=hand / "fitted")
    by_hand("train", prepared=hand / "prepared", strength="2.0", model=hand / "model", scores=hand / "trained")
    by_hand("score", prepared=hand / "prepared", model=hand / "model", score_mode="append", scores=hand / "scores")

    data = {"type": "uri_folder", "path": customers.as_uri()}
    training = run("churn-training", "logistic", "train", customers=data, strength=2.0).result
    made = {name: Path(uri.removeprefix("file://")) for name, uri in training["outputs"].items()}
    assert (made["transformations"] / "scaler.joblib").read_bytes() == (hand / "fitted/scaler.joblib").read_bytes()
    assert (made["scores"] / "scores.json").read_bytes() == (hand / "trained/scores.json").read_bytes()

    given = {
        "transformations": {"type": "custom_model", "path": training["outputs"]["transformations"]},
        "model": {"type": "mlflow_model", "path": training["outputs"]["model"]},
    }
    scoring = run("churn", load(CHURN / "deployment.yml").name, "score", customers=data, **given).result
    scores = Path(scoring["outputs"]["scores"].removeprefix("file://"))
    assert (scores / "predictions.csv").read_bytes() == (hand / "scores/predictions.csv").read_bytes()
    # The same again trains nothing.
    again = run("churn-training", "logistic", "again", customers=data, strength=2.0).result
    assert again["reused"] == ["prepare", "train"]
