"""Data stores: a name for where data lie, and how jobs get to them. A store holds no secret, only the name of one."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from airflow_batch_endpoints.documents.base import Document, Tags
from airflow_batch_endpoints.documents.deployment import FieldError
from airflow_batch_endpoints.documents.references import AssetName

_SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "az", "adl", "https", "http")
_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_CONNECTION = re.compile(r"[A-Za-z0-9_.-]{1,250}\Z")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")
_CONTAINER = re.compile(r"[a-z0-9$](-?[a-z0-9])*\Z")
_CREDENTIALS = re.compile(
    r"://[^/@\s]*:[^/@\s]*@|[?&;](sig|signature|x-amz-\w+|x-goog-\w+|token|password|\w*key)=", re.IGNORECASE
)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
WHERE_SECRETS_ARE = (
    "documents are read by many, so no secret may stand in one; put it into an Airflow connection and name that as conn_id (for "
    "local compute), or into a Kubernetes secret and name that as secret_name (for pods)"
)
NOT_SUPPORTED = {
    "azure_file": "file shares cannot be read by URI; mount the share as a volume of the compute, and name the folder by a "
    "data store of type: uri with uri: file:///<mount path>",
    "hdfs": "HDFS is not supported; copy the data to object storage, or mount it and use type: uri",
    "azure_data_lake_gen1": "Data Lake Storage Gen1 was retired by Azure; use azure_data_lake_gen2",
    "one_lake": "OneLake is not supported yet; give its place as type: uri with uri: abfss://<workspace>@<host>/<item>",
}
"""Types of data store that Azure ML has and we do not, and what to do instead."""


def _uri(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme.lower() not in _SCHEMES or not rest.strip("/"):
        raise ValueError(
            f"the URI of a folder, such as s3://bucket/folder, with one of the schemes {', '.join(_SCHEMES)}"
        )
    if "?" in value or "#" in value:
        raise ValueError("the URI of a folder, without '?' and '#'")
    return value.rstrip("/")


def without_secrets(field: str) -> Callable[[Any], Any]:
    """Return a validator that refuses a URI with credentials in it, without repeating them."""

    def check(data: Any) -> Any:
        value = data.get(field) if isinstance(data, dict) else None
        if isinstance(value, str) and _CREDENTIALS.search(value):
            raise FieldError(field, f"the URI carries credentials or a signature; {WHERE_SECRETS_ARE}")
        return data

    return check


def _matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.match(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


class Datastore(Document):
    """Base of the data stores."""

    name: AssetName
    description: str | None = None
    tags: Tags = {}
    properties: dict[str, Any] = {}
    conn_id: Annotated[str, _matching(_CONNECTION, "the id of an Airflow connection")] | None = None
    """Ours. Airflow connection whose credentials local workers get as the variables that storage libraries read."""
    secret_name: Annotated[str, _matching(_SECRET_NAME, "the name of a Kubernetes secret")] | None = None
    """Ours. Kubernetes secret in the compute's namespace, whose entries pods get as environment variables."""

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("credentials") is not None:
            raise FieldError("credentials", WHERE_SECRETS_ARE)
        return data

    @property
    @abstractmethod
    def base_uri(self) -> str:
        """URI that paths in the store start from."""


class UriDatastore(Datastore):
    """Any folder that jobs reach by a URI. Ours."""

    type: Literal["uri"]
    uri: Annotated[str, AfterValidator(_uri)]

    _harmless = model_validator(mode="before")(without_secrets("uri"))

    @property
    def base_uri(self) -> str:
        """URI that paths in the store start from."""
        return self.uri


class _AzureDatastore(Datastore):
    account_name: Annotated[
        str, _matching(_ACCOUNT, "the name of a storage account: 3 to 24 lower case letters and digits")
    ]
    endpoint: Annotated[str, _matching(_HOST, "a host name such as core.windows.net")] = "core.windows.net"
    protocol: Literal["https", "abfss", "wasbs"] = Field(default="https", exclude=True)

    def _in(self, container: str) -> str:
        return f"abfss://{container}@{self.account_name}.dfs.{self.endpoint}"


_Container = Annotated[
    str, _matching(_CONTAINER, "the name of a container: lower case letters, digits and single dashes")
]


class AzureBlobDatastore(_AzureDatastore):
    """A container of Azure Blob Storage (Azure ML: ``azureBlob.schema.json``)."""

    type: Literal["azure_blob"]
    container_name: _Container

    @property
    def base_uri(self) -> str:
        """URI that paths in the store start from."""
        return self._in(self.container_name)


class AzureDataLakeDatastore(_AzureDatastore):
    """A file system of Azure Data Lake Storage (Azure ML: ``azureDataLakeGen2.schema.json``)."""

    type: Literal["azure_data_lake_gen2"]
    filesystem: _Container

    @property
    def base_uri(self) -> str:
        """URI that paths in the store start from."""
        return self._in(self.filesystem)


DATASTORES: dict[str, type[Datastore]] = {
    "uri": UriDatastore,
    "azure_blob": AzureBlobDatastore,
    "azure_data_lake_gen2": AzureDataLakeDatastore,
}
"""The data stores by their type."""
