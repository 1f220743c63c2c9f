from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.documents.assets import DataAsset, EnvironmentAsset, ModelAsset
from airflow_batch_endpoints.documents.base import digest
from airflow_batch_endpoints.documents.datastore import (
    AzureBlobDatastore,
    AzureDataLakeDatastore,
    Datastore,
    UriDatastore,
)
from airflow_batch_endpoints.documents.loading import load, loads
from airflow_batch_endpoints.documents.paths import paths
from airflow_batch_endpoints.documents.references import Reference, StoreReference, parse, parse_place
from airflow_batch_endpoints.exceptions import DocumentError

SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
SIGNED = "https://lake.blob.core.windows.net/raw/x.csv?sv=2024&sig=c2VjcmV0"


def doc(**fields: Any) -> Any:
    return loads(json.dumps({"name": "heart", **fields}), source="d.yml")


@pytest.mark.parametrize(
    ("fields", "kind", "type_or_image"),
    [
        ({"$schema": f"{SCHEMAS}/data.schema.json", "path": "s3://lake/raw"}, DataAsset, "uri_folder"),
        ({"type": "uri_file", "path": "s3://lake/raw/x.csv", "version": 3}, DataAsset, "uri_file"),
        ({"$schema": f"{SCHEMAS}/model.schema.json", "path": "runs:/ab12/model"}, ModelAsset, "custom_model"),
        ({"type": "mlflow_model", "path": "azureml://datastores/lake/paths/model"}, ModelAsset, "mlflow_model"),
        ({"$schema": f"{SCHEMAS}/environment.schema.json", "image": "python:3.12"}, EnvironmentAsset, "python:3.12"),
        ({"conda_file": {"dependencies": ["pip"]}, "image": "python:3.12"}, EnvironmentAsset, "python:3.12"),
        ({"type": "uri", "uri": "s3://lake/raw/"}, UriDatastore, "uri"),
        ({"type": "azure_blob", "account_name": "lake", "container_name": "raw"}, AzureBlobDatastore, "azure_blob"),
        (
            {"type": "azure_data_lake_gen2", "account_name": "lake", "filesystem": "raw"},
            AzureDataLakeDatastore,
            "azure_data_lake_gen2",
        ),
    ],
)
def test_documents_are_told_apart(fields: dict[str, Any], kind: type, type_or_image: str) -> None:
    found = doc(**fields)
    assert type(found) is kind
    assert getattr(found, "type", None) or found.image == type_or_image
    # As the registry reads it back: without $schema.
    again = loads(found.model_dump_json(by_alias=True), source="again")
    assert (type(again), digest(again)) == (kind, digest(found))


def test_data_stores_have_a_base() -> None:
    found = [
        doc(type="uri", uri="s3://lake/raw/"),
        doc(type="azure_blob", account_name="lake", container_name="raw"),
        doc(type="azure_data_lake_gen2", account_name="lake", filesystem="raw", endpoint="core.chinacloudapi.cn"),
    ]
    assert [store.base_uri for store in found if isinstance(store, Datastore)] == [
        "s3://lake/raw",
        "abfss://raw@lake.dfs.core.windows.net",
        "abfss://raw@lake.dfs.core.chinacloudapi.cn",
    ]


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"path": "x"}, "type", "uri_file or uri_folder for a data asset"),
        ({"type": "mltable", "path": "x"}, "type", "files, not tables"),
        ({"type": "triton_model", "path": "x"}, "type", "Triton"),
        ({"type": ["uri_file"], "path": "x"}, "type", "for a data store"),
        ({"type": "uri_file"}, "path", "missing"),
        ({"type": "uri_file", "path": "s3://x", "size": 3}, "size", "no such field"),
        ({"type": "uri_file", "path": "s3://x", "version": "latest"}, "version", "newest"),
        ({"type": "uri_file", "path": "s3://x", "version": "1/2"}, "version", "letters"),
        ({"type": "uri_file", "path": "s3://x", "version": True}, "version", "a version"),
        ({"type": "uri_file", "path": "s3://x", "name": "../x"}, "name", "letters"),
        ({"type": "uri_file", "path": "s3://x", "name": "a:1"}, "name", "letters"),
        ({"type": "uri_file", "path": "azureml:other@latest"}, "path", "does not name another asset"),
        ({"type": "uri_file", "path": "azureml://registries/r/data/x/versions/1"}, "path", "no registries"),
        ({"type": "uri_file", "path": "azureml://datastores/../paths/x"}, "path", "azureml://datastores"),
        ({"type": "uri_file", "path": SIGNED}, "path", "conn_id"),
        ({"type": "uri_file", "path": "s3://key:s3cret@lake/x"}, "path", "conn_id"),
        ({"type": "custom_model", "path": "ftp://x/model"}, "path", "s3"),
        ({"type": "custom_model", "path": "s3://x", "name": "a/b"}, "name", "without"),
        ({"image": None}, "image", "an image, a conda_file or both"),
        ({"build": {"path": "."}, "image": "x"}, "build", "not built here"),
        ({"type": "azure_file", "account_name": "lake"}, "type", "volume"),
        ({"type": "hdfs"}, "type", "not supported"),
        ({"type": "azure_blob", "account_name": "LAKE", "container_name": "raw"}, "account_name", "lower case"),
        ({"type": "uri", "uri": "/data"}, "uri", "s3://bucket/folder"),
        ({"type": "uri", "uri": "gopher://x/y"}, "uri", "schemes"),
        ({"type": "uri", "uri": "s3://x", "secret_name": "No Secret"}, "secret_name", "Kubernetes secret"),
        ({"type": "uri", "uri": "s3://x", "conn_id": "a b"}, "conn_id", "connection"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(DocumentError) as raised:
        doc(**fields)
    assert (field, True) in [(problem.field, said in problem.message) for problem in raised.value.problems]
    assert "s3cret" not in str(raised.value)
    assert "c2VjcmV0" not in str(raised.value)


@pytest.mark.parametrize("credentials", [{"account_key": "c2VjcmV0"}, {"sas_token": "c2VjcmV0"}, "c2VjcmV0"])
def test_credentials_are_refused_and_not_repeated(credentials: Any) -> None:
    with pytest.raises(DocumentError) as raised:
        doc(type="azure_blob", account_name="lake", container_name="raw", credentials=credentials)
    (problem,) = raised.value.problems
    assert (problem.field, "secret_name" in problem.message, "conn_id" in problem.message) == (
        "credentials",
        True,
        True,
    )
    assert "c2VjcmV0" not in str(raised.value)


def test_paths_beside_a_document(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "d.yml").write_text("name: d\ntype: uri_folder\npath: raw\n")
    assert [beside.path for beside in paths(load(tmp_path / "d.yml"))] == ["raw"]
    # Data at an absolute path are meant where they are, and not copied.
    (tmp_path / "d.yml").write_text("name: d\ntype: uri_folder\npath: /nowhere/raw\n")
    assert paths(load(tmp_path / "d.yml")) == []
    (tmp_path / "d.yml").write_text("name: d\ntype: uri_folder\npath: missing\n")
    with pytest.raises(DocumentError, match="does not exist beside the document"):
        load(tmp_path / "d.yml")
    (tmp_path / "d.yml").write_text("name: d\ntype: custom_model\npath: /etc\n")
    with pytest.raises(DocumentError, match="a system folder"):
        load(tmp_path / "d.yml")


def test_references() -> None:
    assert parse("azureml:heart-data:3") == Reference("heart-data", "3")
    assert parse("azureml:heart-data@latest") == parse("azureml:heart-data") == Reference("heart-data")
    assert parse_place("azureml://datastores/lake/paths/raw/2024/") == StoreReference("lake", "raw/2024/")
    workspace = "azureml://subscriptions/1/resourcegroups/g/workspaces/w"
    assert parse_place(f"{workspace}/datastores/lake/paths/raw") == StoreReference("lake", "raw")
    assert parse_place(f"{workspace}/data/heart/versions/3") == Reference("heart", "3")
    for text in (
        "azureml:",
        "azureml:a b",
        "azureml:a:",
        "azureml:a@prod",
        "azureml:a:1@latest",
        "azureml://x",
        "azureml:a:\n",
    ):
        with pytest.raises(ValueError, match="azureml:|@latest"):
            parse_place(text)
