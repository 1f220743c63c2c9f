from __future__ import annotations

from typing import Any

import pytest

from airflow_batch_endpoints.azure.deployments import read_deployment, write_deployment
from airflow_batch_endpoints.azure.ids import Workspace
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.exceptions import DocumentError
from airflow_batch_endpoints.services.resources import StoredDocument

WORKSPACE = Workspace("0", "group", "workspace")
W = WORKSPACE.id


def sent(**configuration: Any) -> dict[str, Any]:
    """What the SDK sends: with fields that are none of a pipeline's."""
    told = {
        "deploymentConfigurationType": "PipelineComponent",
        "componentId": {"referenceType": "Id", "assetId": f"{W}/components/counting/versions/3"},
        "settings": {"default_compute": "pool", "continue_on_step_failure": False},
    }
    return {
        "location": "airflow",
        "tags": {"team": "risk"},
        "properties": {
            "description": "counts", "errorThreshold": -1, "maxConcurrencyPerInstance": 1, "miniBatchSize": 10,
            "outputFileName": "predictions.csv", "deploymentConfiguration": {**told, **configuration},
        },
    }  # fmt: skip


def problems(resource: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        read_deployment(resource, "lines", "blue")
    return {problem.field: problem.message for problem in caught.value.problems}


def test_what_the_sdk_sends_is_the_document_people_write() -> None:
    assert read_deployment(sent(), "lines", "blue") == PipelineDeployment.model_validate(
        {
            "name": "blue", "endpoint_name": "lines", "description": "counts", "tags": {"team": "risk"},
            "component": "azureml:counting:3", "settings": {"default_compute": "pool", "continue_on_step_failure": False},
        }
    )  # fmt: skip


def test_settings_as_azures_services_write_them() -> None:
    found = read_deployment(
        sent(
            settings={
                "ComponentDeployment.Settings.continue_on_step_failure": "True",
                "default_compute": f"{W}/computes/pool",
            },
            componentId={"assetId": f"{W}/components/counting/labels/latest"},
        ),
        "lines",
        "blue",
    )
    assert isinstance(found, PipelineDeployment)
    assert found.component == "azureml:counting@latest"
    assert (found.settings.continue_on_step_failure, found.settings.default_compute) == (True, "pool")


def test_every_problem_is_told_by_the_name_its_author_knows() -> None:
    place = "properties.deploymentConfiguration"
    assert set(problems(sent(componentId={"assetId": f"{W}/models/counting/versions/3"}, invented=1))) == {
        f"{place}.componentId.assetId", f"{place}.invented",
    }  # fmt: skip
    assert set(problems(sent(settings={"force_rerun": "maybe"}))) == {f"{place}.settings.force_rerun"}
    assert set(problems(sent(settings=7))) == {f"{place}.settings"}
    assert set(problems(sent(deploymentConfigurationType="Model"))) == {f"{place}.deploymentConfigurationType"}


def test_an_applied_one_names_its_component() -> None:
    component = {
        "name": "counting", "version": "3", "type": "pipeline",
        "jobs": {"count": {"type": "command", "component": {"type": "command", "command": "wc -l", "environment": "azureml:py:1"}}},
    }  # fmt: skip
    document = {"type": "pipeline", "name": "blue", "endpoint_name": "lines", "component": component}
    stored = StoredDocument(kind="deployment", name="blue", endpoint="lines", document=document)
    told = write_deployment(stored, WORKSPACE)["properties"]
    assert told["deploymentConfiguration"] == {
        "deploymentConfigurationType": "PipelineComponent", "settings": {},
        "componentId": {"referenceType": "Id", "assetId": f"{W}/components/counting/versions/3"},
    }  # fmt: skip
    document["component"] = {name: value for name, value in component.items() if name != "name"}
    told = write_deployment(stored.model_copy(update={"document": document}), WORKSPACE)["properties"]
    assert told["deploymentConfiguration"] == {"deploymentConfigurationType": "PipelineComponent", "settings": {}}
