from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.job import parse_assignments, request_from_conf
from airflow_batch_endpoints.documents.loading import loads
from airflow_batch_endpoints.exceptions import DocumentError, NotFoundError, ReachError, UserError
from airflow_batch_endpoints.jobs.spec import JobReference, JobSpec, Replay
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.registry.store import MemoryStore


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, value in {
        "ALLOWED_INPUT_URIS": "file:///data, s3://lake/raw",
        "ALLOWED_OUTPUT_URIS": "s3://lake/out",
        "DEFAULT_OUTPUT_URI": "file:///outputs",
        "ARTIFACT_URI": "file:///artifacts",
    }.items():
        monkeypatch.setenv(f"AIRFLOW__BATCH_ENDPOINTS__{name}", value)
    deployment = {"endpoint_name": "e", "type": "model", "model": "models:/m/1"}
    documents = [
        {"name": "e", "defaults": {"deployment_name": "main"}},
        {"name": "other"},
        {"name": "small", "type": "local", "memory": "1Gi", "max_instances": 3},
        {**deployment, "name": "main", "settings": {"mini_batch_size": 7, "error_threshold": 5}},
        {
            **deployment,
            "name": "scripted",
            "code_configuration": {"code": "file:///artifacts/code", "scoring_script": "score.py"},
        },
        {**deployment, "name": "wide", "compute": "small", "resources": {"instance_count": 9}},
    ]
    registry = Registry(MemoryStore())
    registry.apply([loads(json.dumps(document), source="test") for document in documents])
    return registry


def resolved(registry: Registry, endpoint: str = "e", job: str = "j", **conf: Any) -> JobSpec:
    request = request_from_conf(endpoint, {"input": "file:///data/x", **conf})
    return resolve(registry, request, job=job, invoker="ann", settings=Settings())


def test_defaults_and_overrides(registry: Registry) -> None:
    spec = resolved(registry)
    assert (spec.deployment, spec.settings.mini_batch_size, spec.settings.error_threshold) == ("main", 7, 5)
    assert (spec.input_uri, spec.output_uri, spec.invoker) == ("file:///data/x", "file:///outputs/e/j", "ann")
    spec = resolved(registry, mini_batch_size=3, max_retries=1, output="s3://lake/out/mine")
    assert (spec.settings.mini_batch_size, spec.settings.retry_settings.max_retries) == (3, 1)
    assert spec.output_uri == "s3://lake/out/mine"
    assert spec.settings.error_threshold == 5


def test_a_job_may_ask_for_row_ranges(registry: Registry) -> None:
    for size in ("64MB", "50000 rows"):
        assert resolved(registry, **parse_assignments([f"mini_batch_size={size}"])).settings.mini_batch_size == size
    assert resolved(registry, deployment="scripted", mini_batch_size="64MB").settings.mini_batch_size == "64MB"
    assert resolved(registry, output_file_name="predictions/").settings.is_dataset


def test_a_compute_bounds_instances_and_memory(registry: Registry) -> None:
    assert (resolved(registry, deployment="wide").instance_count, resolved(registry).instance_count) == (3, 1)
    assert resolved(registry, deployment="wide").memory_bytes == 2**30
    assert resolved(registry, deployment="wide", instance_count=2).instance_count == 2


def test_outputs_of_jobs_with_hostile_names_stay_below_their_endpoint(registry: Registry) -> None:
    for job in ("../../x", "a/../b", "..", "%2e%2e", "a\0b"):
        output = resolved(registry, job=job).output_uri
        name = output.removeprefix("file:///outputs/e/")
        assert "/" not in name
        assert name not in ("", ".", "..")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"input": "/etc"}, "allowed_input_uris"),
        ({"input": "file:///data/../etc"}, "allowed_input_uris"),
        ({"input": "file:///data/%2e%2e/etc"}, "allowed_input_uris"),
        ({"input": "file:///database"}, "allowed_input_uris"),
        ({"input": "http://169.254.169.254/latest"}, "allowed_input_uris"),
        ({"input": "gopher://x/y"}, "scheme"),
        ({"input": "s3://lake/raw2/x"}, "allowed_input_uris"),
        ({"output": "file:///data/out"}, "allowed_output_uris"),
        ({"deployment": "ghost"}, "there is: main, scripted, wide"),
        ({"endpoint": "ghost"}, "there is"),
        ({"endpoint": "other"}, "no default deployment"),
        ({"mini_batch_size": 0}, "mini_batch_size"),
        ({"mini_batch_size": "many"}, "mini_batch_size"),
        (
            {"mini_batch_size": "5 rows", "deployment": "scripted"},
            "settings.mini_batch_size|a scoring script gets whole files",
        ),
        ({"surprise": 1}, "surprise"),
        ({"input": ""}, "input"),
        ({"input": None}, "input"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(registry: Registry, request_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        resolved(registry, **request_)


# -- replaying ------------------------------------------------------------------------------------------------------------


def replayed(registry: Registry, old: JobReference | None, **conf: Any) -> JobSpec:
    request = request_from_conf("e", {"replay_of": "old", **conf})
    return resolve(registry, request, job="new", invoker="ann", settings=Settings(), find_job={"old": old}.get)


def test_a_replay_has_the_input_and_the_deployment_of_its_job(registry: Registry) -> None:
    old = resolved(registry, job="old", deployment="wide", output="s3://lake/out/mine")
    spec = replayed(registry, old)
    assert spec.replay == Replay(job="old", output_uri="s3://lake/out/mine")
    assert (spec.input_uri, spec.deployment, spec.output_uri) == ("file:///data/x", "wide", "file:///outputs/e/new")
    assert replayed(registry, old, deployment="main", mini_batch_size=1).settings.mini_batch_size == 1
    again = replayed(registry, spec.model_copy(update={"job": "old"}))
    assert again.input_uri == "file:///data/x", "a replay of a replay"
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_replay_keeps_within_todays_limits(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    old = resolved(registry, job="old")
    with pytest.raises(NotFoundError, match="no job 'old' of endpoint 'e'"):
        replayed(registry, None)
    with pytest.raises(ReachError, match=r"output of job 'old'.*allowed_output_uris"):
        replayed(registry, old.model_copy(update={"output_uri": "s3://elsewhere/out"}))
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ALLOWED_INPUT_URIS", "s3://lake/raw")
    with pytest.raises(ReachError, match="allowed_input_uris"):
        replayed(registry, old)


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"input": "file:///data/x", "replay_of": "old"}, "input: stands beside replay_of"),
        ({"inputs": {"a": {"path": "file:///data/x"}}, "replay_of": "old"}, "input: stands beside replay_of"),
        ({"replay_of": "../../etc"}, "the name of a job"),
    ],
)
def test_a_request_is_for_an_input_or_for_a_replay(conf: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        request_from_conf("e", conf)


def test_a_model_takes_one_data_input_and_makes_one_output_under_any_name(registry: Registry) -> None:
    spec = resolved(
        registry,
        input=None,
        inputs={"sales": {"type": "uri_file", "path": "file:///data/x.csv"}},
        outputs={"score": {"path": "s3://lake/out/mine"}},
    )
    assert (spec.input_uri, spec.input_type, spec.output_uri) == (
        "file:///data/x.csv",
        "uri_file",
        "s3://lake/out/mine",
    )
    with pytest.raises(DocumentError) as caught:
        resolved(registry, input=None, inputs={"a": {"path": "file:///data/x"}, "b": 5})
    assert [problem.field for problem in caught.value.problems] == ["inputs.b"]
    with pytest.raises(DocumentError, match=r"found input, inputs\.a; a model deployment takes exactly one"):
        resolved(registry, inputs={"a": {"path": "file:///data/x"}})
    with pytest.raises(DocumentError, match="exactly one, under any name"):
        resolved(registry, output="s3://lake/out/a", outputs={"b": "s3://lake/out/b"})
