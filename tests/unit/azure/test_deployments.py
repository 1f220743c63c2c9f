from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.azure.deployments import read_deployment, write_deployment
from airflow_batch_endpoints.azure.ids import Workspace
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.exceptions import DocumentError
from airflow_batch_endpoints.services.resources import StoredDocument

WORKSPACE = Workspace("0", "group", "workspace")
W = WORKSPACE.id
SENT: dict[str, Any] = {
    "location": "airflow",
    "tags": {"team": "risk"},
    "properties": {
        "model": {"referenceType": "Id", "assetId": f"{W}/models/heart-model/versions/7"},
        "environmentId": f"{W}/environments/py311/versions/3",
        "codeConfiguration": {"codeId": f"{W}/codes/s3%3A%2F%2Flake%2Fcode/versions/1", "scoringScript": "score.py"},
        "compute": f"{W}/computes/cpu-pool",
        "resources": {"instanceCount": 2, "properties": {}},
        "miniBatchSize": 10,
        "maxConcurrencyPerInstance": 2,
        "errorThreshold": 5,
        "retrySettings": {"maxRetries": 3, "timeout": "PT5M"},
        "outputAction": "AppendRow",
        "outputFileName": "predictions.csv",
        "loggingLevel": "info",
        "environmentVariables": {"A": "1"},
        "properties": {},
    },
}
"""What the SDK sends."""


def sent(**properties: Any) -> dict[str, Any]:
    resource = copy.deepcopy(SENT)
    resource["properties"].update(properties)
    return resource


def stored(document: ModelDeployment) -> StoredDocument:
    content = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return StoredDocument(kind="deployment", name=document.name, endpoint=document.endpoint_name, document=content)


def problems(resource: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        read_deployment(resource, "heart", "blue")
    return {problem.field: problem.message for problem in caught.value.problems}


def test_what_the_sdk_sends_is_the_document_people_write() -> None:
    written = from_data(
        {
            "type": "model", "name": "blue", "endpoint_name": "heart", "tags": {"team": "risk"},
            "model": "azureml:heart-model:7", "environment": {"name": "py311", "version": "3"}, "compute": "cpu-pool",
            "code_configuration": {"code": "s3://lake/code", "scoring_script": "score.py"},
            "resources": {"instance_count": 2},
            "settings": {
                "mini_batch_size": 10, "max_concurrency_per_instance": 2, "error_threshold": 5,
                "retry_settings": {"max_retries": 3, "timeout": 300}, "environment_variables": {"A": "1"},
            },
        },
        "deployment.yml",
    )  # fmt: skip
    assert read_deployment(SENT, "heart", "blue") == written


def test_names_of_fields_may_be_in_any_case() -> None:
    def pascal(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name[0].upper() + name[1:]: pascal(entry) for name, entry in value.items()}

    resource = pascal({**SENT, "tags": {}})
    resource["Properties"]["EnvironmentVariables"] = {"A": "1"}
    assert read_deployment(resource, "heart", "blue") == read_deployment({**SENT, "tags": {}}, "heart", "blue")


@pytest.mark.parametrize(
    ("asset", "path"),
    [
        (f"{W}/models/heart-model/versions/7", "models:/heart-model/7"),
        (f"{W}/models/heart-model/labels/champion", "models:/heart-model@champion"),
        ("azureml://registries/azureml/models/heart-model/versions/7", "models:/heart-model/7"),
        (f"{W}/models/models%3A%2Fheart%40champion/versions/1", "models:/heart@champion"),
        (f"{W}/models/s3%3A%2F%2Flake%2Fmy%20model/versions/1", "s3://lake/my model"),
    ],
)
def test_models(asset: str, path: str) -> None:
    assert read_deployment(sent(model={"assetId": asset}), "heart", "blue").model.path == path


@pytest.mark.parametrize(
    ("asset", "expected"),
    [
        (f"{W}/environments/registry.example%2Fimage%3Atag/versions/1", (None, None, "registry.example/image:tag")),
        ("azureml:AzureML-sklearn-1.5:4", ("AzureML-sklearn-1.5", "4", None)),
        ("azureml://registries/azureml/environments/py311/versions/3", ("py311", "3", None)),
    ],
)
def test_environments(asset: str, expected: tuple[str | None, ...]) -> None:
    found = read_deployment(sent(environmentId=asset), "heart", "blue").environment
    assert found is not None
    assert (found.name, found.version, found.image) == expected


def test_every_problem_is_told_by_the_name_its_author_knows() -> None:
    assert set(problems(sent(miniBatchSize=0, resources={"instanceCount": "two"}, outputFileName="../p.csv"))) == {
        "properties.miniBatchSize", "properties.resources.instanceCount", "properties.outputFileName",
    }  # fmt: skip
    found = problems(
        sent(
            codeConfiguration={"codeId": f"{W}/codes/mine/versions/1", "scoringScript": "score.py"},
            model={"assetId": f"{W}/data/heart/versions/7"},
            outputAction="Append",
            retrySettings={"timeout": "soon"},
            traffic={"blue": 100},
        )
    )
    assert set(found) == {
        "properties.codeConfiguration.codeId", "properties.model.assetId", "properties.outputAction",
        "properties.retrySettings.timeout", "properties.traffic",
    }  # fmt: skip
    assert "percent-encoded" in found["properties.codeConfiguration.codeId"]
    assert problems(sent(model={"assetId": f"{W}/models/heart"})).keys() == {"properties.model.assetId"}
    assert problems(sent(retrySettings=7)).keys() == {"properties.retrySettings"}
    assert problems([1]).keys() == {"(body)"}
    assert problems({**SENT, "Properties": {"miniBatchSize": 1}}).keys() == {"Properties.miniBatchSize"}
    assert problems({"properties": {}}).keys() == {"model"}


def test_what_azure_cannot_say_is_told_in_properties() -> None:
    extra = {
        "batchEndpoints.settings.error_threshold": '"5%"',
        "batchEndpoints.settings.mini_batch_size": '"64MB"',
        "batchEndpoints.environment.image": '"registry.example/image:tag"',
        "owner": "ann",
    }
    document = read_deployment(sent(properties=extra, miniBatchSize=None), "heart", "blue")
    assert (document.settings.error_threshold, document.settings.mini_batch_size) == (5, "64MB")
    assert document.environment is not None
    assert (document.environment.name, document.environment.image) == ("py311", "registry.example/image:tag")
    assert document.properties == {"owner": "ann"}


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("batchEndpoints.settings.provenance", "yes", "properties.properties.batchEndpoints.settings.provenance"),
        ("batchEndpoints.settings.provenance", 7, "properties.properties.batchEndpoints.settings.provenance"),
        ("batchEndpoints.settings.invented", "1", "properties.properties.batchEndpoints.settings.invented"),
        ("batchEndpoints.name", '"other"', "properties.properties.batchEndpoints.name"),
        (
            "batchEndpoints.settings.retry_settings.x",
            "1",
            "properties.properties.batchEndpoints.settings.retry_settings.x",
        ),
    ],
)
def test_properties_of_ours_are_validated(name: str, value: Any, place: str) -> None:
    assert set(problems(sent(properties={name: value}))) == {place}


def test_one_that_cannot_be_read_has_its_names_and_why() -> None:
    broken = StoredDocument(kind="deployment", name="blue", endpoint="heart", error="Variable x: not JSON")
    resource = write_deployment(broken, WORKSPACE)
    assert resource["id"] == f"{W}/batchEndpoints/heart/deployments/blue"
    assert (resource["properties"]["provisioningState"], resource["properties"]["description"]) == (
        "Failed",
        "Variable x: not JSON",
    )


names = st.from_regex(r"[a-z](-?[a-z0-9]){0,8}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)
uris = st.builds(lambda path: f"s3://lake/{path}", st.from_regex(r"[a-zA-Z0-9 %@:+._-]{1,20}", fullmatch=True))
models = st.one_of(
    st.builds(lambda name, version: f"models:/{name}/{version}", names, st.integers(1, 99)),
    st.builds(lambda name, label: f"azureml:{name}@{label}", names, names),
    st.builds(lambda path, name: {"path": path, "name": name, "type": "custom_model"}, uris, names),
    uris,
)
environments = st.one_of(
    st.none(),
    st.builds(lambda name, version: {"name": name, "version": version}, names, st.sampled_from(["3", 3])),
    st.builds(lambda name: {"image": f"registry.example/{name}:1", "conda_file": {"dependencies": ["python"]}}, names),
    st.builds(lambda name, image: {"image": image, "name": name}, names, names),
)
settings = st.fixed_dictionaries(
    {},
    optional={
        "mini_batch_size": st.one_of(st.integers(1, 1000), st.just("64MB")),
        "error_threshold": st.one_of(st.integers(-1, 1000), st.just("5%")),
        "max_concurrency_per_instance": st.integers(1, 8),
        "retry_settings": st.fixed_dictionaries(
            {}, optional={"max_retries": st.integers(0, 9), "timeout": st.integers(1, 259_200)}
        ),
        "output_action": st.sampled_from(["append_row", "summary_only"]),
        "logging_level": st.sampled_from(["debug", "warning"]),
        "environment_variables": st.dictionaries(st.sampled_from(["A", "B"]), texts),
        "provenance": st.booleans(),
        "output_exists": st.sampled_from(["fail", "replace"]),
        "distribution": st.sampled_from(["dynamic", "static"]),
    },
)  # fmt: skip
documents = st.fixed_dictionaries(
    {"type": st.just("model"), "name": names, "endpoint_name": names, "model": models, "settings": settings},
    optional={
        "description": texts,
        "tags": st.dictionaries(texts, texts, max_size=2),
        "properties": st.dictionaries(texts, texts, max_size=2),
        "compute": names,
        "environment": environments,
        "code_configuration": st.builds(lambda uri: {"code": uri, "scoring_script": "a/score.py"}, uris),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "instance_count": st.integers(1, 99),
                "instance_type": texts,
                "requests": st.just({"cpu": "2"}),
                "properties": st.dictionaries(texts, texts, max_size=2),
            },
        ),
    },
)


@given(documents)
def test_what_a_client_gets_and_puts_back_is_the_same_document(data: dict[str, Any]) -> None:
    document = from_data(data, "deployment.yml")
    assert isinstance(document, ModelDeployment)
    resource = write_deployment(stored(document), WORKSPACE)
    found = read_deployment(resource, document.endpoint_name, document.name)
    # A version is a text for Azure; YAML may have a number.
    if document.environment is not None and isinstance(document.environment.version, int):
        environment = document.environment.model_copy(update={"version": str(document.environment.version)})
        document = document.model_copy(update={"environment": environment})
    assert found == document
