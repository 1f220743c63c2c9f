from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.contextmanager import DagContext

from airflow_batch_endpoints.dags import endpoints

PREFIX = "batch_endpoints.endpoint."


class Variables:
    """Variables as a DAG file sees them."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))


def built(monkeypatch: pytest.MonkeyPatch, index: dict[str, Any], documents: dict[str, str]) -> dict[str, DAG]:
    values = {"batch_endpoints.index": json.dumps(index), **documents}
    for module in ("dags.endpoints", "registry.task"):
        monkeypatch.setattr(f"airflow_batch_endpoints.{module}.Variable", Variables(values))
    namespace: dict[str, Any] = {}
    endpoints.build(namespace)
    return namespace


def test_a_long_tag_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"tags": {"owner": "o" * 200, "team": "a"}, "deployments": {}}
    found = built(monkeypatch, {"flights": entry}, {f"{PREFIX}flights": "{}"})
    tags = found["batch_endpoint.flights"].tags
    assert tags == {"batch-endpoint", "team:a", f"owner:{'o' * 91}..."}
    assert max(map(len, tags)) == 100


@pytest.mark.parametrize(
    ("name", "entry", "why"),
    [
        ("my flights", {}, "my flights"),
        ("broken", {"deployments": {"main": "not a mapping"}}, "AttributeError"),
        ("broken", {"deployments": ["main"]}, "AttributeError"),
    ],
)
def test_one_bad_document_is_one_missing_dag(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, entry: Any, why: str
) -> None:
    monkeypatch.setattr(DagContext, "current_autoregister_module_name", __name__)
    monkeypatch.setattr(DagContext, "autoregistered_dags", set())
    index = {"a": {}, name: entry, "z": {}}
    found = built(monkeypatch, index, {f"{PREFIX}{each}": "{}" for each in index})
    assert set(found) == {"batch_endpoint.a", "batch_endpoint.z"}
    # What is half made is not registered past the file's namespace either.
    assert not DagContext.autoregistered_dags
    (message,) = [record.getMessage() for record in caplog.records if "has no DAG" in record.getMessage()]
    assert message.startswith(f"endpoint {name!r} has no DAG")
    assert why in message
    assert f"{PREFIX}{name}" in message


def test_an_entry_that_is_none_is_made_from_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.dumps({"document": {"name": "flights", "description": "late?"}})
    found = built(monkeypatch, {"flights": "not a mapping"}, {f"{PREFIX}flights": document})
    assert found["batch_endpoint.flights"].description == "late?"
