"""Where documents are kept: the Variables that hold them, and what they are called."""

from __future__ import annotations

from airflow_batch_endpoints.documents.assets import ModelAsset, VersionedAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.compute import Compute
from airflow_batch_endpoints.documents.datastore import Datastore
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.documents.pipeline import DagDeployment, PipelineDeployment
from airflow_batch_endpoints.registry import versions
from airflow_batch_endpoints.registry.store import PREFIX

INDEX = f"{PREFIX}index"
"""What DAG parsing and pages need of every endpoint; a cache, never trusted when a job runs."""

ENDPOINT, DEPLOYMENT, COMPUTE = f"{PREFIX}endpoint.", f"{PREFIX}deployment.", f"{PREFIX}compute."
DATASTORE = f"{PREFIX}datastore."
"""How the keys of the kinds of documents begin."""

Deployment = ModelDeployment | PipelineDeployment | DagDeployment
"""A deployment of any type."""


def key_of(document: Document) -> str:
    """Return the Variable that holds a document; for an asset without a version the one that lists its versions.

    A model has none, for MLflow keeps it; by this name the right to register one is asked for.
    """
    if isinstance(document, Endpoint):
        return ENDPOINT + document.name
    if isinstance(document, Deployment):
        return f"{DEPLOYMENT}{document.endpoint_name}.{document.name}"
    if isinstance(document, Compute):
        return COMPUTE + document.name
    if isinstance(document, Datastore):
        return DATASTORE + document.name
    if isinstance(document, ModelAsset):
        return versions.list_key("model", document.name)
    if isinstance(document, VersionedAsset):
        kind, name, version = versions.kind_of(document), document.name, document.version
        return versions.version_key(kind, name, version) if version else versions.list_key(kind, name)
    raise TypeError(f"{type(document).__name__} is not kept in the registry")


def endpoint_of(key: str) -> str | None:
    """Return the endpoint whose entry of the index a document is a part of."""
    if key.startswith(ENDPOINT):
        return key.removeprefix(ENDPOINT)
    return key.removeprefix(DEPLOYMENT).partition(".")[0] if key.startswith(DEPLOYMENT) else None


def described(result: str, document: Document) -> dict[str, str]:
    """Say of an applied document what it is, whose, and what was done to it."""
    name, version = str(getattr(document, "name", "")), str(getattr(document, "version", None) or "")
    endpoint = ""
    if isinstance(document, Deployment):
        kind, endpoint = "deployment", document.endpoint_name
    elif isinstance(document, Endpoint):
        kind, endpoint = "endpoint", name
    elif isinstance(document, VersionedAsset):
        kind = versions.kind_of(document)
    elif isinstance(document, ModelAsset):
        kind = "model"
    else:
        kind = "datastore" if isinstance(document, Datastore) else "compute"
    return {"kind": kind, "name": name, "version": version, "endpoint": endpoint, "result": result}
