from __future__ import annotations

import pytest

from airflow_batch_endpoints.azure.datastores import resolve
from airflow_batch_endpoints.azure.ids import Workspace
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.exceptions import DocumentError

DATASTORES = {"lake": "s3://lake/raw", "disk": "file:///data?x=1"}
LONG = "azureml://subscriptions/0/resourcegroups/g/workspaces/w/datastores/lake/paths/2024/a b"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("azureml://datastores/lake/paths/2024", "s3://lake/raw/2024"),
        ("azureml://datastores/lake/paths/", "s3://lake/raw"),
        ("azureml://datastores/disk/paths/a b#c/", "file:///data?x=1/a b%23c/"),
        (LONG, "s3://lake/raw/2024/a b"),
        ("https://data.example/in/", "https://data.example/in/"),
        # What is applied here, and not named by the option.
        ("azureml://datastores/ocean/paths/2024/", "azureml://datastores/ocean/paths/2024/"),
        (LONG.replace("lake", "ocean"), "azureml://datastores/ocean/paths/2024/a b"),
        ("azureml:numbers:1", "azureml:numbers:1"),
        (f"{Workspace('0', 'g', 'w').id}/data/numbers/versions/1", "azureml:numbers:1"),
    ],
)
def test_datastores_are_storage(uri: str, expected: str) -> None:
    assert resolve({"input": uri, "output": uri, "deployment": "blue"}, {}, DATASTORES) == {
        "input": expected, "output": expected, "deployment": "blue",
    }  # fmt: skip
    named = {"inputs": {"a": {"path": uri, "type": "uri_folder"}, "b": {"value": uri}}}
    assert resolve(named, {}, DATASTORES)["inputs"] == {
        "a": {"path": expected, "type": "uri_folder"},
        "b": {"value": uri},
    }


@pytest.mark.parametrize(
    "uri",
    [
        "azureml://jobs/x/outputs/score/paths/y",
        "azureml:no name:1",
        f"{Workspace('0', 'g', 'w').id}/data/numbers",
    ],
)
def test_what_stands_for_nothing_is_refused_by_the_name_its_author_knows(uri: str) -> None:
    with pytest.raises(DocumentError) as caught:
        resolve({"input": uri, "output": "s3://lake/out"}, {"input": "properties.inputData.a.uri"}, DATASTORES)
    (problem,) = caught.value.problems
    assert problem.field == "properties.inputData.a.uri"
    assert "lake, disk" in problem.message


def test_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__AZURE_DATASTORES", "lake=S3://lake/raw/, disk=file:///data?x=1")
    assert settings().azure_datastores == {"lake": "s3://lake/raw", "disk": "file:///data?x=1"}
    monkeypatch.delenv("AIRFLOW__BATCH_ENDPOINTS__AZURE_DATASTORES")
    assert (settings().azure_datastores, settings().azure_compat) == ({}, False)
