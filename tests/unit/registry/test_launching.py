from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.compute import KubernetesCompute
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.loading import loads
from airflow_batch_endpoints.exceptions import DocumentError, UserError
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.registry.store import MemoryStore


@pytest.fixture(autouse=True)
def _options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ALLOWED_INPUT_URIS": "s3://lake, file:///data",
        "DEFAULT_OUTPUT_URI": "s3://lake/out",
        "ARTIFACT_URI": "s3://lake/artifacts",
    }.items():
        monkeypatch.setenv(f"AIRFLOW__BATCH_ENDPOINTS__{name}", value)


def job(
    compute: dict[str, Any],
    deployment: dict[str, Any] | None = None,
    invoker: str | None = "ann",
    others: tuple[dict[str, Any], ...] = (),
    registry: Registry | None = None,
    **conf: Any,
) -> JobSpec:
    registry = registry or Registry(MemoryStore())
    documents = [
        {"name": "e", "defaults": {"deployment_name": "d"}},
        {"name": "pool", "type": "kubernetes", **compute},
        {
            "name": "d",
            "endpoint_name": "e",
            "type": "model",
            "model": "models:/m/1",
            "compute": "azureml:pool",
            **(deployment or {}),
        },
        *({"type": "kubernetes", **other} for other in others),
    ]
    registry.apply([loads(json.dumps(document), source="test") for document in documents])
    request = request_from_conf("e", {"input": "s3://lake/in", **conf})
    return resolve(registry, request, job="j", invoker=invoker, settings=Settings())


def test_a_deployments_image_and_resources_go_before_the_computes() -> None:
    compute = {"image": "worker:1", "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "1Gi"}}}
    launch = job(compute, {"environment": {"image": "mine:2"}, "resources": {"limits": {"memory": "8Gi"}}}).launch
    assert launch.image == "mine:2"
    assert launch.resources.requests == {"cpu": "1", "memory": "1Gi"}
    assert launch.resources.limits == {"memory": "8Gi"}
    assert job(compute).launch.image == "worker:1"
    with pytest.raises(UserError, match="neither names an image"):
        job({})


def test_instances_are_bounded_by_the_compute() -> None:
    spec = job({"image": "w", "max_instances": 3}, {"resources": {"instance_count": 10}})
    assert (spec.instance_count, spec.memory_bytes) == (3, None)


def test_accelerators_make_the_slots() -> None:
    compute = {"image": "w", "resources": {"limits": {"nvidia.com/gpu": 2}}}
    settings = job(compute, {"settings": {"max_concurrency_per_instance": 7}}).settings
    assert (settings.max_concurrency_per_instance, settings.slot_start_method) == (2, "spawn")


@pytest.mark.parametrize(
    ("accounts", "default", "invoker", "expected"),
    [
        ({}, None, "ann", None),
        ({}, None, None, None),
        ({}, "all", None, "all"),
        ({"ann": "for-ann"}, None, "ann", "for-ann"),
        ({"ann": "for-ann"}, "others", "bob", "others"),
        ({"ann": "for-ann"}, "others", None, "others"),
    ],
)
def test_who_a_job_runs_as(
    accounts: dict[str, str], default: str | None, invoker: str | None, expected: str | None
) -> None:
    compute = {"image": "w", "service_accounts": accounts, "service_account_name": default}
    assert job(compute, invoker=invoker).launch.service_account == expected


@pytest.mark.parametrize(
    ("invoker", "who"), [("bob", "invoker 'bob'"), (None, "no person invoked"), ("", "invoker ''")]
)
def test_who_is_not_listed_is_refused(invoker: str | None, who: str) -> None:
    with pytest.raises(UserError, match=who):
        job({"image": "w", "service_accounts": {"ann": "for-ann"}}, invoker=invoker)


@pytest.mark.parametrize(
    ("conf", "what"), [({"input": "file:///data/x"}, "input"), ({"input": "file:///data/../etc"}, "allowed_input_uris")]
)
def test_files_of_this_machine_are_refused_without_a_volume(conf: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        job({"image": "w"}, **conf)
    shared = {
        "image": "w",
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "volume_mounts": [{"name": "data", "mountPath": "/data"}],
    }
    if what == "input":
        assert job(shared, **conf).input_uri == "file:///data/x"


def test_a_fallback_is_pinned_and_goes_one_step() -> None:
    on_demand = {"name": "on-demand", "image": "w"}
    launch = job({"image": "w", "fallback": {"compute": "on-demand"}}, others=(on_demand,)).launch
    assert launch.fallback is not None
    assert launch.fallback.compute.name == "on-demand"
    with pytest.raises(DocumentError, match=r"fallback\.compute"):
        job({"image": "w", "fallback": {"compute": "ghost"}})
    with pytest.raises(DocumentError, match=r"fallback\.compute"):
        job(
            {"image": "w", "fallback": {"compute": "on-demand"}},
            others=({**on_demand, "fallback": {"compute": "pool"}},),
        )


def test_weak_pods_are_refused_unless_the_operator_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = {"image": "w", "pod_template": {"spec": {"hostNetwork": True}}}
    with pytest.raises(DocumentError, match=r"hostNetwork.*allow_unrestricted_pods is off"):
        job(weak)
    # Also when the option is switched off after the compute was applied.
    registry = Registry(MemoryStore(), allow_unrestricted_pods=True)
    with pytest.raises(UserError, match="hostNetwork"):
        job(weak, registry=registry)
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ALLOW_UNRESTRICTED_PODS", "True")
    assert job(weak, registry=registry).launch.kubernetes.pod_template == weak["pod_template"]


def test_a_specification_goes_through_json_and_holds_no_secret() -> None:
    spec = job({"image": "w", "env_from": [{"secretRef": {"name": "s3"}}]})
    again = JobSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert isinstance(again.launch.compute, KubernetesCompute)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("namespace", "Not_A_Label", "lower case"),
        ("resources", {"requests": {"cpu": "two"}}, r"resources\.requests\.cpu"),
        ("env_from", [{"secretRef": {}}], "name"),
        ("env_from", [{}], "either secretRef or configMapRef"),
        ("labels", {"airflow-batch-endpoints/job": "x"}, "set by this package"),
        ("pod_template", {"spec": {"serviceAccountName": "root"}}, "service account"),
        ("pod_template", {"containers": []}, "a mapping with metadata and spec"),
        ("pod_template", {"spec": {"containers": [{}]}}, r"spec\.containers"),
        ("fallback", {"compute": "x", "after_seconds": 0}, r"fallback\.after_seconds"),
        ("service_account_name", "Ann", "lower case"),
    ],
)
def test_each_field_has_its_rule(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        job({"image": "w", field: value})


@pytest.mark.parametrize("conda_file", ["s3://lake/conda.yml", {"dependencies": ["python=3.11", {"pip": ["x==1"]}]}])
def test_the_environment_a_deployment_asks_for_goes_with_the_job(conda_file: Any) -> None:
    spec = job({"image": "w", "build_environments": True}, {"environment": {"conda_file": conda_file}})
    assert spec.conda_file == conda_file
    assert spec.launch.compute.build_environments
    assert not job({"image": "w"}).launch.compute.build_environments, "in pods only when the compute says so"


def test_a_conda_file_of_this_machine_is_refused_for_pods() -> None:
    with pytest.raises(UserError, match="conda file file:///here/conda.yml"):
        job({"image": "w"}, {"environment": {"conda_file": "file:///here/conda.yml"}})
