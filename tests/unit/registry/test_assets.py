from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.loading import load, loads
from airflow_batch_endpoints.exceptions import ConflictError, DocumentError, NotFoundError, ReachError, UserError
from airflow_batch_endpoints.jobs.spec import JobSpec, OutputAsset
from airflow_batch_endpoints.registry import applying, outputs
from airflow_batch_endpoints.registry.keys import INDEX
from airflow_batch_endpoints.registry.references import locate
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.registry.store import MemoryStore
from airflow_batch_endpoints.registry.versions import Versions

LAKE = {"name": "lake", "type": "uri", "uri": "s3://lake/raw", "conn_id": "lake_aws", "secret_name": "lake-key"}
SCHEMA = "https://azuremlschemas.azureedge.net/latest/data.schema.json"
HEART = {"$schema": SCHEMA, "name": "heart", "type": "uri_folder", "path": "azureml://datastores/lake/paths/heart/1"}
ENVIRONMENT = {"name": "env", "image": "python:3.12", "conda_file": {"dependencies": ["pip"]}}
ENDPOINT = {"name": "e", "defaults": {"deployment_name": "main"}}
MAIN = {"name": "main", "endpoint_name": "e", "type": "model", "model": "models:/m/1"}


def doc(**fields: Any) -> Any:
    return loads(json.dumps(fields), source="test")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def registry(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, value in {
        "ALLOWED_INPUT_URIS": "s3://lake/raw",
        "ALLOWED_OUTPUT_URIS": "s3://lake/raw/out",
        "DEFAULT_OUTPUT_URI": "s3://lake/outputs",
        "ARTIFACT_URI": "s3://lake/artifacts",
    }.items():
        monkeypatch.setenv(f"AIRFLOW__BATCH_ENDPOINTS__{name}", value)
    return Registry(store)


def put(registry: Registry, *documents: dict[str, Any]) -> list[tuple[str, str | None]]:
    done = registry.apply([doc(**document) for document in documents])
    return [(what, getattr(document, "version", None)) for what, document in done]


# -- versions --------------------------------------------------------------------------------------------------------


def test_versions_are_numbered_and_never_change(registry: Registry) -> None:
    assert put(registry, HEART, LAKE) == [("created", "1"), ("created", None)]
    assert put(registry, HEART) == [("unchanged", "1")]
    other = {**HEART, "path": "s3://lake/raw/heart/2"}
    assert put(registry, other) == [("created", "2")]
    # What was before the newest is new again: the name means something else now than it did.
    assert put(registry, HEART) == [("created", "3")]
    assert put(registry, {**HEART, "version": "2024-01-31"}, {**other, "version": 2}) == [
        ("created", "2024-01-31"),
        ("unchanged", "2"),
    ]
    with pytest.raises(ConflictError, match=r"data heart:2 is there with another content.*the next one \(4\)"):
        put(registry, {**HEART, "version": "2"})
    assert registry.versions("data", "heart").latest == "2024-01-31"


def test_notes_may_change(registry: Registry) -> None:
    put(registry, LAKE, HEART)
    assert put(registry, {**HEART, "version": 1, "description": "of 2024"}) == [("updated", "1")]
    assert put(registry, {**HEART, "description": "of 2024", "tags": {"a": "b"}}) == [("updated", "1")]
    assert registry.asset("data", "heart").document.model_dump()["tags"] == {"a": "b"}


def test_an_archived_version_is_only_found_by_its_number(registry: Registry) -> None:
    put(registry, LAKE, HEART)
    put(registry, {**HEART, "path": "s3://lake/raw/2"})
    registry.archive_asset("data", "heart", "2")
    assert registry.asset("data", "heart").revision == registry.asset("data", "heart", "1").revision
    assert registry.asset("data", "heart", "2")
    registry.archive_asset("data", "heart", "1")
    with pytest.raises(NotFoundError, match="that is not archived"):
        registry.asset("data", "heart")
    registry.archive_asset("data", "heart", "2", is_archived=False)
    assert registry.versions("data", "heart").latest == "2"
    with pytest.raises(NotFoundError, match="there is no version '7' of data 'heart'; there is: 1, 2"):
        registry.archive_asset("data", "heart", "7")
    with pytest.raises(NotFoundError, match="there is no data 'ghost'; there is: heart"):
        registry.asset("data", "ghost")


def test_deleting(registry: Registry, store: MemoryStore) -> None:
    put(registry, LAKE, ENVIRONMENT, ENDPOINT, HEART, {**MAIN, "environment": "azureml:env@latest"})
    component = {"name": "prepare", "command": "echo", "environment": "azureml:env:1"}
    put(registry, component, {"name": "both", "jobs": {"a": {"type": "command", "component": "azureml:prepare:1"}}})
    with pytest.raises(
        ConflictError, match="environment env:1 is used by deployment e/main, component both:1, component prep"
    ):
        registry.delete_asset("environment", "env", "1")
    with pytest.raises(ConflictError, match="data store 'lake' is used by data heart:1"):
        registry.delete_datastore("lake")
    registry.delete_asset("data", "heart", "1")
    registry.delete_datastore("lake")
    assert [key for key in store.keys("batch_endpoints.data") if key != INDEX] == []
    with pytest.raises(NotFoundError, match="there is no data store 'lake'; there is: none"):
        registry.delete_datastore("lake")


def test_no_number_is_given_twice(registry: Registry) -> None:
    for number in range(3):
        put(registry, {**HEART, "path": f"s3://lake/raw/{number}"})
    registry.delete_asset("data", "heart", "3")
    assert put(registry, {**HEART, "path": "s3://lake/raw/other"}) == [("created", "4")]


@given(st.lists(st.one_of(st.none(), st.integers(1, 30), st.sampled_from(["a", "b", "1.0"]))))
def test_whatever_versions_are_asked_for_each_is_another(asked: list[int | str | None]) -> None:
    found, made = Versions(), list[str]()
    for version in asked:
        name = str(found.next if version is None else version)
        if name not in found.versions:
            found = found.with_version(name)
            made.append(name)
    assert found.versions == tuple(made)
    assert found.latest == (made[-1] if made else None)
    assert str(found.next) not in found.versions


def test_what_a_document_names_must_be_there(registry: Registry, store: MemoryStore) -> None:
    with pytest.raises(DocumentError) as raised:
        put(
            registry,
            ENDPOINT,
            HEART,
            {
                **MAIN,
                "model": "azureml://datastores/ghost/paths/m",
                "environment": "azureml:ghost@latest",
                "code_configuration": {"code": "azureml:ghost:1", "scoring_script": "s.py"},
            },
        )
    assert [(problem.field, "apply its document first" in problem.message) for problem in raised.value.problems] == [
        ("path", True),
        ("model.path", True),
        ("code_configuration.code", True),
        ("environment.name", True),
    ]
    assert store.keys("") == []


def test_an_environment_is_kept_as_it_was_when_the_deployment_was_applied(registry: Registry) -> None:
    put(registry, ENDPOINT, {**MAIN, "environment": "azureml:env@latest"}, ENVIRONMENT)
    before = registry.deployment("e", "main")
    put(registry, {**ENVIRONMENT, "image": "python:3.13"})
    assert registry.deployment("e", "main") == before
    assert put(registry, {**MAIN, "environment": "azureml:env@latest"}) == [("updated", None)]
    environment = registry.deployment("e", "main").document.model_dump()["environment"]
    assert (environment["name"], environment["version"], environment["image"]) == ("env", "2", "python:3.13")


def test_an_environment_by_name_and_version_is_one_if_it_is_there(registry: Registry) -> None:
    """As Azure ML's SDK sends them, also of environments that Azure has."""
    named = {"name": "env", "version": "1"}
    put(registry, ENDPOINT, {**MAIN, "environment": named})
    assert registry.deployment("e", "main").document.model_dump()["environment"]["image"] is None
    put(registry, ENVIRONMENT)
    assert put(registry, {**MAIN, "environment": named}) == [("updated", None)]
    assert registry.deployment("e", "main").document.model_dump()["environment"]["image"] == "python:3.12"


def test_assets_leave_the_index_alone(registry: Registry, store: MemoryStore) -> None:
    # Else a task that registers an output could write over what somebody applies meanwhile.
    put(registry, LAKE, HEART, ENVIRONMENT)
    assert store.get(INDEX) is None


# -- what names stand for --------------------------------------------------------------------------------------------


def resolved(registry: Registry, **conf: Any) -> JobSpec:
    request = request_from_conf("e", {"input": "azureml:heart@latest", **conf})
    spec = resolve(registry, request, job="j", invoker="ann", settings=Settings())
    assert isinstance(spec, JobSpec)
    return spec


def test_a_job_is_pinned_to_versions_and_places(registry: Registry) -> None:
    put(registry, LAKE, HEART, ENDPOINT, {**MAIN, "model": "azureml://datastores/lake/paths/models/m"})
    spec = resolved(registry, output="azureml://datastores/lake/paths/out/x")
    assert (spec.input_uri, spec.input_type, spec.assets) == (
        "s3://lake/raw/heart/1",
        "uri_folder",
        ("azureml:heart:1",),
    )
    assert (spec.output_uri, spec.model_uri) == ("s3://lake/raw/out/x", "s3://lake/raw/models/m")
    assert spec.launch.connections == ("lake_aws",)
    with pytest.raises(UserError, match="does not change; name a place"):
        resolved(registry, output="azureml:heart:1")
    with pytest.raises(ReachError, match="allowed_output_uris"):
        resolved(registry, output="azureml://datastores/lake/paths/elsewhere")
    with pytest.raises(NotFoundError, match="there is no data store 'ghost'"):
        resolved(registry, input="azureml://datastores/ghost/paths/x")
    with pytest.raises(UserError, match="input: found 'azureml:nonsense here'"):
        resolved(registry, input="azureml:nonsense here")


def test_a_store_elsewhere_opens_no_door(registry: Registry) -> None:
    put(registry, {**LAKE, "name": "vault", "uri": "s3://vault"}, ENDPOINT, MAIN)
    with pytest.raises(ReachError, match="allowed_input_uris"):
        resolved(registry, input="azureml://datastores/vault/paths/x")


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "a/../..", ".."])
def test_nothing_leads_out_of_a_store(registry: Registry, path: str) -> None:
    put(registry, LAKE)
    with pytest.raises(ReachError, match="leads out of data store 'lake'"):
        locate(registry, f"azureml://datastores/lake/paths/{path}", what="input")


def test_pods_get_the_secret_and_no_connection(registry: Registry) -> None:
    pool = {"name": "pool", "type": "kubernetes", "image": "w", "env_from": [{"configMapRef": {"name": "base"}}]}
    spot = {**pool, "name": "spot", "env_from": [], "fallback": {"compute": "pool"}}
    put(registry, LAKE, HEART, ENDPOINT, pool, spot, {**MAIN, "compute": "spot"})
    launch = resolved(registry).launch
    assert launch.connections == ()
    assert launch.fallback is not None
    secret = {"secretRef": {"name": "lake-key"}}
    for each, known in ((launch, []), (launch.fallback, [{"configMapRef": {"name": "base"}}])):
        assert [source.model_dump(exclude_none=True) for source in each.kubernetes.env_from] == [*known, secret]


# -- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "type", "path"),
    [
        ({}, "uri_file", "s3://lake/outputs/e/j/predictions.csv"),
        ({"output_file_name": "scores/"}, "uri_folder", "s3://lake/outputs/e/j/scores"),
        ({"output_action": "summary_only"}, "uri_folder", "s3://lake/outputs/e/j"),
    ],
)
def test_predictions_become_a_version(registry: Registry, settings: dict[str, Any], type: str, path: str) -> None:
    put(registry, LAKE, HEART, ENDPOINT, {**MAIN, "settings": {"output_asset": "scores", **settings}})
    told = [output.model_dump() for output in resolved(registry).output_assets]
    assert told == [{"name": "scores", "version": None, "type": type, "uri": path}]
    (made,) = outputs.register(registry, told, Settings(), pause=0)
    assert (made.version, made.type, made.path) == ("1", type, path)


def test_an_output_is_registered_once(registry: Registry) -> None:
    told = [{"name": "scores", "type": "uri_folder", "uri": f"s3://lake/out/{number}"} for number in range(3)]
    assert [outputs.register(registry, [each], Settings(), pause=0)[0].version for each in told] == ["1", "2", "3"]
    # A cleared run publishes again: the version is the one it has, although there are newer ones.
    assert [outputs.register(registry, [each], Settings(), pause=0)[0].version for each in told] == ["1", "2", "3"]
    taken = OutputAsset(name="scores", version="2", type="uri_folder", uri="s3://lake/out/other")
    with pytest.raises(ConflictError, match="version 2 of data asset 'scores', which is there already"):
        outputs.require_free(registry, [taken])
    free = [
        taken.model_copy(update=change) for change in ({"version": "9"}, {"version": None}, {"uri": told[1]["uri"]})
    ]
    outputs.require_free(registry, free)


def test_a_version_that_another_task_wrote_over_is_made_again() -> None:
    """The store of tasks: it compares, and somebody else writes before it does."""

    class Late(MemoryStore):
        def write(self, changes: Any, expected: Any) -> None:
            super().write(changes, expected)
            if rivals:
                super().write(rivals.pop(), {})

    rivals: list[dict[str, str | None]] = []
    mine, theirs = ({"name": "scores", "type": "uri_file", "uri": f"s3://lake/{who}"} for who in ("mine", "theirs"))
    other = MemoryStore()
    outputs.register(Registry(other), [theirs], Settings(), pause=0)
    rivals.append({key: other.get(key) for key in other.keys("")})
    registry = Registry(Late())
    (made,) = outputs.register(registry, [mine], Settings(), pause=0)
    assert (made.version, registry.versions("data", "scores").versions) == ("2", ("1", "2"))
    paths = [registry.asset("data", "scores", version).document.model_dump()["path"] for version in ("1", "2")]
    assert paths == ["s3://lake/theirs", "s3://lake/mine"]


def test_a_job_says_what_its_output_becomes(registry: Registry) -> None:
    put(registry, LAKE, HEART, ENDPOINT, {**MAIN, "settings": {"output_asset": "scores"}})
    (output,) = resolved(registry, outputs={"score": {"name": "mine", "version": 7}}).output_assets
    assert (output.name, output.version, output.uri) == ("mine", "7", "s3://lake/outputs/e/j/predictions.csv")
    outputs.register(registry, [{**output.model_dump(), "uri": "s3://lake/elsewhere"}], Settings(), pause=0)
    with pytest.raises(ConflictError, match="version 7 of data asset 'mine'"):
        resolved(registry, outputs={"score": {"name": "mine", "version": 7}})
    with pytest.raises(DocumentError, match=r"outputs\.score\.version: is of a data asset"):
        resolved(registry, outputs={"score": {"version": 7}})
    with pytest.raises(DocumentError, match="found 2 outputs"):
        resolved(registry, outputs={"score": {"name": "mine"}, "other": {"name": "theirs"}})


def test_outputs_of_a_pipeline_are_registered(registry: Registry) -> None:
    made = {"scores": {"type": "uri_folder"}, "model": {"type": "mlflow_model"}}
    command = {"command": "echo > ${{outputs.scores}} > ${{outputs.model}}", "outputs": made}
    wired = {"scores": "${{parent.outputs.scores}}", "model": "${{parent.outputs.model}}"}
    pipeline = {"outputs": made, "jobs": {"make": {"type": "command", "component": command, "outputs": wired}}}
    put(registry, ENDPOINT, {"name": "main", "endpoint_name": "e", "type": "pipeline", "component": pipeline})

    def ask(**wanted: Any) -> Any:
        request = request_from_conf("e", {"outputs": wanted})
        return resolve(registry, request, job="j", invoker=None, settings=Settings())

    (output,) = ask(scores={"name": "scores"}).output_assets
    assert (output.name, output.type, output.uri) == ("scores", "uri_folder", "s3://lake/outputs/e/j/scores")
    (output,) = ask(model={"name": "heart", "version": 2}).output_assets
    assert (output.name, output.type, output.uri) == ("heart", "mlflow_model", "s3://lake/outputs/e/j/model")


# -- staging ---------------------------------------------------------------------------------------------------------


def test_data_beside_a_document_are_copied_once(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ARTIFACT_URI", str(tmp_path / "artifacts"))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("1\n")
    (tmp_path / "d.yml").write_text("name: d\ntype: uri_folder\npath: raw\n")
    (tmp_path / "conda.yml").write_text("dependencies: [pip]\n")
    (tmp_path / "e.yml").write_text("name: env\nconda_file: conda.yml\n")

    def apply() -> list[tuple[str, str]]:
        loaded = [(tmp_path, load(tmp_path / name)) for name in ("d.yml", "e.yml")]
        done = applying.apply(registry, loaded, Settings())
        return [(what, str(getattr(document, "version", ""))) for what, document in done]

    assert apply() == [("created", "1"), ("created", "1")]
    assert apply() == [("unchanged", "1"), ("unchanged", "1")]
    copy = locate(registry, "azureml:d:1", what="input").uri
    assert Path(copy.removeprefix("file://"), "a.csv").read_text() == "1\n"
    (tmp_path / "raw" / "a.csv").write_text("2\n")
    assert apply() == [("created", "2"), ("unchanged", "1")]
    assert locate(registry, "azureml:d@latest", what="input").uri != copy
