from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.documents.loading import loads
from airflow_batch_endpoints.exceptions import ConflictError, DocumentError, NotFoundError, StaleError
from airflow_batch_endpoints.registry.keys import INDEX
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.store import DocumentStore, MemoryStore
from airflow_batch_endpoints.registry.stored import Expected, encode
from tests.unit.registry import contract


def doc(**content: Any) -> Any:
    return loads(json.dumps(content), source="test")


ENDPOINT = {"name": "flights", "description": "late?"}
DEPLOYMENT = {"name": "main", "endpoint_name": "flights", "type": "model", "model": "models:/m/1"}


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryStore(), user="ann")


def test_apply_is_repeatable_and_says_what_it_did(registry: Registry) -> None:
    documents = [doc(**DEPLOYMENT), doc(**ENDPOINT)]
    assert [what for what, _ in registry.apply(documents)] == ["created", "created"]
    assert [what for what, _ in registry.apply(documents)] == ["unchanged", "unchanged"]
    assert [what for what, _ in registry.apply([doc(**DEPLOYMENT, description="new")])] == ["updated"]
    stored = registry.deployment("flights", "main")
    assert (stored.updated_by, len(stored.revision)) == ("ann", 16)


def test_a_deployment_becomes_the_default_only_when_asked(registry: Registry) -> None:
    registry.apply([doc(**ENDPOINT), doc(**DEPLOYMENT)])
    assert registry.endpoint("flights").document.defaults.deployment_name is None  # type: ignore[attr-defined]
    registry.apply([doc(**DEPLOYMENT)], set_default=True)
    registry.apply([doc(**ENDPOINT, tags={"a": "b"})])
    assert registry.endpoint("flights").document.defaults.deployment_name == "main"  # type: ignore[attr-defined]


def test_documents_must_fit_together(registry: Registry) -> None:
    with pytest.raises(DocumentError, match="no endpoint 'flights'"):
        registry.apply([doc(**DEPLOYMENT)])
    with pytest.raises(DocumentError, match=r"defaults\.deployment_name"):
        registry.apply([doc(**ENDPOINT, defaults={"deployment_name": "ghost"})])
    with pytest.raises(DocumentError, match="no compute 'batch-cluster'"):
        registry.apply([doc(**ENDPOINT), doc(**DEPLOYMENT, compute="azureml:batch-cluster")])
    assert registry.endpoint_names() == [], "all or none"
    registry.apply(
        [
            doc(**ENDPOINT),
            doc(**DEPLOYMENT, compute="azureml:batch-cluster"),
            doc(name="batch-cluster", type="local", memory="2Gi"),
        ]
    )
    assert registry.compute_names() == ["batch-cluster", "local"]


def test_deleting(registry: Registry) -> None:
    registry.apply(
        [doc(**ENDPOINT), doc(**DEPLOYMENT, compute="pool"), doc(name="pool", type="local")], set_default=True
    )
    with pytest.raises(ConflictError, match="default"):
        registry.delete_deployment("flights", "main")
    with pytest.raises(ConflictError, match="flights/main"):
        registry.delete_compute("pool")
    registry.delete_endpoint("flights")
    assert registry.deployment_names("flights") == []
    registry.delete_compute("pool")
    for missing in (
        lambda: registry.endpoint("flights"),
        lambda: registry.compute("pool"),
        lambda: registry.delete_endpoint("x"),
    ):
        with pytest.raises(NotFoundError, match="there is no"):
            missing()


def test_an_endpoint_with_running_jobs_stays() -> None:
    registry = Registry(MemoryStore(), has_running_jobs=lambda _: True)
    registry.apply([doc(**ENDPOINT)])
    with pytest.raises(ConflictError, match="running jobs"):
        registry.delete_endpoint("flights")


def test_the_index_follows_every_write(registry: Registry) -> None:
    def index() -> dict[str, Any]:
        return dict(json.loads(registry._store.get(INDEX) or "{}"))

    registry.apply([doc(**ENDPOINT), doc(**DEPLOYMENT, description="d")])
    assert index()["flights"]["deployments"] == {"main": {"compute": None, "description": "d", "type": "model"}}
    registry.set_default("flights", "main")
    assert index()["flights"]["default"] == "main"
    registry.delete_endpoint("flights")
    assert index() == {}


class Raced(MemoryStore):
    """Somebody else writes first, as often as told."""

    races = 0

    def write(self, changes: Any, expected: Any) -> None:
        if self.races:
            self.races -= 1
            theirs = doc(**ENDPOINT, tags={"theirs": str(self.races)})
            self._values["batch_endpoints.endpoint.flights"] = encode(theirs, now=datetime.now(UTC), user="they")
        super().write(changes, expected)


def test_a_change_that_loses_a_race_is_decided_again_on_what_is_there() -> None:
    store = Raced()
    registry = Registry(store)
    registry.apply([doc(**ENDPOINT), doc(**DEPLOYMENT)])
    store.races = 3
    registry.set_default("flights", "main")
    endpoint = registry.endpoint("flights").document
    assert endpoint.tags == {"theirs": "0"}  # type: ignore[attr-defined]
    assert endpoint.defaults.deployment_name == "main"  # type: ignore[attr-defined]


def test_a_writer_who_has_looked_is_told_that_it_changed() -> None:
    store = Raced()
    registry = Registry(store)
    registry.apply([doc(**ENDPOINT)])
    store.races = 1
    with pytest.raises(StaleError, match=r"endpoint\.flights has revision"):
        registry.apply(
            [doc(**ENDPOINT, tags={"mine": "1"})], expected=Expected((registry.endpoint("flights").revision,))
        )
    assert registry.endpoint("flights").document.tags == {"theirs": "0"}  # type: ignore[attr-defined]


class Overtaken(MemoryStore):
    """Somebody else writes once, after a change was decided and before it is written."""

    overtake: Callable[[], object] | None = None

    def get(self, key: str) -> str | None:
        if key == INDEX and self.overtake is not None:
            overtake, self.overtake = self.overtake, None
            overtake()
        return super().get(key)


def test_a_default_is_never_a_deployment_that_is_gone() -> None:
    store = Overtaken()
    ours, theirs = Registry(store), Registry(store)
    ours.apply([doc(**ENDPOINT), doc(**DEPLOYMENT), doc(**{**DEPLOYMENT, "name": "other"})])
    store.overtake = lambda: theirs.delete_deployment("flights", "main")
    with pytest.raises(NotFoundError, match="no deployment 'main' of endpoint 'flights'; there is: other"):
        ours.set_default("flights", "main")
    assert ours.endpoint("flights").document.defaults.deployment_name is None  # type: ignore[attr-defined]
    store.overtake = lambda: theirs.set_default("flights", "other")
    with pytest.raises(ConflictError, match="'other' is the default"):
        ours.delete_deployment("flights", "other")
    assert ours.deployment_names("flights") == ["other"]


def test_a_deployment_whose_endpoint_is_gone_can_be_deleted(registry: Registry) -> None:
    registry.apply([doc(**ENDPOINT), doc(**DEPLOYMENT)])
    registry._store.write({"batch_endpoints.endpoint.flights": None}, {})
    registry.delete_deployment("flights", "main")
    assert registry._store.keys("batch_endpoints.deployment.") == []


def test_a_change_that_loses_every_race_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_batch_endpoints.registry.registry.RACES", 2)
    store = Raced()
    registry = Registry(store)
    store.races = 2
    with pytest.raises(ConflictError, match=r"endpoint\.flights was changed by somebody else"):
        registry.apply([doc(**ENDPOINT)])


def test_one_broken_value_is_one_sentence(registry: Registry) -> None:
    registry.apply([doc(**ENDPOINT)])
    for broken in ("not json", "[]", json.dumps({"document": {"name": "x", "foo": 1}})):
        registry._store.write({"batch_endpoints.endpoint.broken": broken}, {})
        with pytest.raises(DocumentError, match=r"Variable batch_endpoints\.endpoint\.broken"):
            registry.endpoint("broken")
    assert registry.endpoint_names() == ["broken", "flights"]


UNREADABLE = json.dumps({"document": {"name": "old", "endpoint_name": "flights", "type": "model", "surprise": 1}})


def test_what_cannot_be_read_can_be_deleted_and_mended(registry: Registry) -> None:
    def spoil(key: str) -> None:
        registry._store.write({f"batch_endpoints.{key}": UNREADABLE}, {})

    documents = [
        doc(**ENDPOINT), doc(**DEPLOYMENT), doc(**{**DEPLOYMENT, "name": "old"}), doc(name="pool", type="local"),
        doc(name="lake", type="uri", uri="s3://lake"), doc(name="heart", type="uri_folder", path="s3://lake/heart"),
    ]  # fmt: skip
    registry.apply(documents)
    keys = ("deployment.flights.old", "compute.pool", "datastore.lake", "data.heart:1", "endpoint.flights")
    for key in keys[:3]:
        spoil(key)
        assert "updated" in [what for what, _ in registry.apply(documents)], "applied again, it is mended"
    for key in keys:
        spoil(key)
    with pytest.raises(DocumentError, match=r"endpoint\.flights"):
        registry.delete_deployment("flights", "old")  # Which may be the default.
    registry.delete_compute("pool")
    registry.delete_datastore("lake")
    registry.delete_asset("data", "heart", "1")
    registry.apply([doc(**ENDPOINT)])
    registry.delete_deployment("flights", "old")
    assert registry.deployment_names("flights") == ["main"]
    spoil("endpoint.flights")
    registry.delete_endpoint("flights")
    assert registry._store.keys("batch_endpoints.") == [INDEX]
    for delete in (registry.delete_compute, registry.delete_datastore, registry.delete_endpoint):
        with pytest.raises(NotFoundError, match="there is no .* 'ghost'"):
            delete("ghost")


def test_a_document_that_cannot_be_read_keeps_none_of_the_others_from_changing(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.apply([
        doc(**ENDPOINT), doc(**DEPLOYMENT, compute="used"), doc(**{**DEPLOYMENT, "name": "old"}, compute="pool"),
        doc(name="pool", type="local"), doc(name="used", type="local"), doc(name="lake", type="uri", uri="s3://lake"),
        doc(name="heart", type="uri_folder", path="s3://lake/heart"), doc(name="env", image="python:3.12"),
    ])  # fmt: skip
    broken = ("deployment.flights.old", "data.heart:1")
    registry._store.write({f"batch_endpoints.{key}": UNREADABLE for key in broken}, {})
    assert [what for what, _ in registry.apply([doc(**DEPLOYMENT, compute="used", description="new")])] == ["updated"]
    index = json.loads(str(registry._store.get(INDEX)))["flights"]["deployments"]
    assert {name: entry["description"] for name, entry in index.items()} == {"main": "new"}
    assert "deployment 'old' is missing in the DAG of endpoint 'flights'" in caplog.text
    registry.set_default("flights", "main")

    with pytest.raises(ConflictError, match="compute 'used' is used by deployment flights/main; change"):
        registry.delete_compute("used")
    caplog.clear()
    registry.delete_compute("pool")
    registry.delete_datastore("lake")
    registry.delete_asset("environment", "env", "1")
    # Whether it was used is not known, and that is said.
    for what in ("compute 'pool'", "data store 'lake'", "environment env:1"):
        for who in ("deployment flights/old", "data heart:1"):
            assert f"whether {who} uses {what} is not known" in caplog.text
    # Mending it asks for what it names.
    with pytest.raises(DocumentError, match="no compute 'pool'"):
        registry.apply([doc(**{**DEPLOYMENT, "name": "old"}, compute="pool")])


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_memory_store(check: Callable[[DocumentStore], None]) -> None:
    check(MemoryStore())


def test_metadata_store(tmp_path: Path) -> None:
    """In a process of its own: Airflow decides at import which database it uses."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    code = (
        "from tests.unit.registry import contract\nfrom airflow_batch_endpoints.registry.metadata import MetadataStore\n"
        "for check in contract.CHECKS: check(MetadataStore()); print(check.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {check.__name__ for check in contract.CHECKS} <= set(done.stdout.split())


def test_an_entry_that_the_index_lost_is_mended() -> None:
    store = MemoryStore()
    registry = Registry(store)
    registry.apply([doc(**ENDPOINT), doc(**DEPLOYMENT)])
    whole = store.get(INDEX)
    assert registry.index_entry("flights") == json.loads(str(whole))["flights"]
    assert not registry.mend_index("flights")
    # Two tasks wrote at once, and the other one had read the index before.
    store.write({INDEX: "{}"}, {})
    assert registry.mend_index("flights")
    assert store.get(INDEX) == whole
    assert registry.index_entry("ghost") is None
