"""Assets: what documents and invocations call by a name and a version. Field names and types are Azure ML's."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from airflow_batch_endpoints.documents.base import Document, Tags
from airflow_batch_endpoints.documents.datastore import without_secrets
from airflow_batch_endpoints.documents.deployment import FieldError, is_relative_path
from airflow_batch_endpoints.documents.references import AssetName, Version, is_reference, parse_place

AssetKind = Literal["data", "environment", "component"]


def _path(value: str) -> str:
    if "\0" in value or not value.strip():
        raise ValueError("a path or a URI")
    if is_reference(value):
        parse_place(value)
    return value


class VersionedAsset(Document):
    """Base of the assets whose versions are kept in the registry. A version's content never changes."""

    name: AssetName
    version: Version | None = None
    """``None`` for the newest if that is the same, else for the next number."""
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}


class DataAsset(VersionedAsset):
    """Files under a name (Azure ML: ``data.schema.json``)."""

    type: Literal["uri_file", "uri_folder"] = "uri_folder"
    path: Annotated[str, AfterValidator(_path)]
    """A relative path, copied when it is applied; a URI or an absolute path, which stays; or a place in a data store."""

    _harmless = model_validator(mode="before")(without_secrets("path"))

    @field_validator("type", mode="before")
    @classmethod
    def _no_tables(cls, value: Any) -> Any:
        if value == "mltable":
            raise ValueError(
                "uri_file or uri_folder: batch endpoints take files, not tables; name the folder of the table's files"
            )
        return value

    @field_validator("path")
    @classmethod
    def _of_itself(cls, value: str) -> str:
        if is_reference(value) and not value.startswith("azureml://datastores/") and "/datastores/" not in value:
            raise ValueError("a path, a URI or a place in a data store: an asset does not name another asset")
        return value


class EnvironmentAsset(VersionedAsset):
    """What workers run in, under a name (Azure ML: ``environment.schema.json``)."""

    image: str | None = None
    conda_file: str | dict[str, Any] | None = None
    os_type: Literal["linux", "Linux"] | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _not_built(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("build") is not None:
            raise FieldError(
                "build", "images are not built here; build it where you build others, and name it as image"
            )
        if isinstance(data, dict) and data.get("image") is None and data.get("conda_file") is None:
            raise FieldError("image", "missing; an environment has an image, a conda_file or both")
        return data


class ModelAsset(Document):
    """A model to be registered in MLflow, which keeps models and their versions (Azure ML: ``model.schema.json``)."""

    name: Annotated[str, Field(min_length=1, max_length=250)]
    version: Version | None = None
    """``None`` for the version that has the same content, else the next number."""
    type: Literal["custom_model", "mlflow_model"] = "custom_model"
    path: str
    """A path beside the document, ``runs:/...``, a URI, or a place in a data store."""
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}

    _harmless = model_validator(mode="before")(without_secrets("path"))

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if re.search(r"[/:@'\"\x00-\x1f\x7f]", value):
            raise ValueError("a name without '/', ':', '@' and quotes")
        return value

    @field_validator("type", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value == "triton_model":
            raise ValueError("mlflow_model or custom_model: batch endpoints do not run models of Triton")
        return value

    @field_validator("path")
    @classmethod
    def _source(cls, value: str) -> str:
        _path(value)
        if value.startswith("azureml:") and "/datastores/" not in value:
            raise ValueError("a path, runs:/<run id>/<path>, a URI or a place in a data store")
        if not is_relative_path(value) and not re.match(
            r"(file|s3|gs|gcs|abfs|abfss|az|adl|runs|azureml):", value, re.IGNORECASE
        ):
            raise ValueError("a path, runs:/<run id>/<path>, or a URI of file, s3, gs, gcs, abfs, abfss, az or adl")
        return value
