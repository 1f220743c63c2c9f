"""Which endpoints, deployments, computes, data stores and assets there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from airflow_batch_endpoints.documents.assets import AssetKind, VersionedAsset
from airflow_batch_endpoints.documents.base import digest
from airflow_batch_endpoints.documents.compute import BUILT_IN, Compute
from airflow_batch_endpoints.documents.datastore import Datastore
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.exceptions import NotFoundError
from airflow_batch_endpoints.registry import versions
from airflow_batch_endpoints.registry.keys import COMPUTE, DATASTORE, DEPLOYMENT, ENDPOINT, Deployment
from airflow_batch_endpoints.registry.store import DocumentStore
from airflow_batch_endpoints.registry.stored import Stored, decode
from airflow_batch_endpoints.registry.versions import Versions


class RegistryReader:
    """What is in a store, by name.

    :param store: where documents are kept.
    """

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def endpoint(self, name: str) -> Stored:
        """Return an endpoint. :raises NotFoundError: when there is none."""
        return self._require(ENDPOINT + name, Endpoint, f"endpoint {name!r}", self.endpoint_names)

    def deployment(self, endpoint: str, name: str) -> Stored:
        """Return a deployment of an endpoint. :raises NotFoundError: when there is none."""
        key, what = f"{DEPLOYMENT}{endpoint}.{name}", f"deployment {name!r} of endpoint {endpoint!r}"
        return self._require(key, Deployment, what, lambda: self.deployment_names(endpoint))

    def compute(self, name: str) -> Stored:
        """Return a compute; ``local`` is there without being applied. :raises NotFoundError: when there is none."""
        if name == BUILT_IN.name and self._store.get(COMPUTE + name) is None:
            return Stored(BUILT_IN, digest(BUILT_IN), "", None)
        return self._require(COMPUTE + name, Compute, f"compute {name!r}", self.compute_names)

    def endpoint_names(self) -> list[str]:
        """Return the names of all endpoints."""
        return [key.removeprefix(ENDPOINT) for key in self._store.keys(ENDPOINT)]

    def deployment_names(self, endpoint: str) -> list[str]:
        """Return the names of an endpoint's deployments."""
        prefix = f"{DEPLOYMENT}{endpoint}."
        return [key.removeprefix(prefix) for key in self._store.keys(prefix)]

    def compute_names(self) -> list[str]:
        """Return the names of all computes."""
        return sorted({BUILT_IN.name, *(key.removeprefix(COMPUTE) for key in self._store.keys(COMPUTE))})

    def datastore(self, name: str) -> Stored:
        """Return a data store. :raises NotFoundError: when there is none."""
        return self._require(DATASTORE + name, Datastore, f"data store {name!r}", self.datastore_names)

    def datastore_names(self) -> list[str]:
        """Return the names of all data stores."""
        return [key.removeprefix(DATASTORE) for key in self._store.keys(DATASTORE)]

    def asset(self, kind: AssetKind, name: str, version: str | None = None) -> Stored:
        """Return a version of an asset.

        :param version: ``None`` for the newest that is not archived.
        :raises NotFoundError: when there is none.
        """
        found = self.versions(kind, name)
        version = version or found.latest
        if not found.versions:
            known = ", ".join(self.asset_names(kind)) or "none"
            raise NotFoundError(f"there is no {kind} {name!r}; there is: {known}. Apply its document first")
        if version not in found.versions:
            known = ", ".join(found.versions)
            which = (
                f"version {version!r} of {kind} {name!r}"
                if version
                else f"version of {kind} {name!r} that is not archived"
            )
            raise NotFoundError(f"there is no {which}; there is: {known}")
        key = versions.version_key(kind, name, version)
        return self._require(key, VersionedAsset, f"{kind} {name}:{version}", lambda: found.versions)

    def versions(self, kind: AssetKind, name: str) -> Versions:
        """Return which versions of an asset there are."""
        key = versions.list_key(kind, name)
        return versions.decode(key, self._store.get(key))

    def asset_names(self, kind: AssetKind) -> list[str]:
        """Return the names of all assets of a kind."""
        prefix = versions.list_key(kind, "")
        return [name for key in self._store.keys(prefix) if ":" not in (name := key.removeprefix(prefix))]

    def _require(self, key: str, kind: Any, what: str, names: Callable[[], Iterable[str]]) -> Stored:
        stored = self._get(key, kind)
        if stored is None:
            known = ", ".join(names()) or "none"
            raise NotFoundError(f"there is no {what}; there is: {known}")
        return stored

    def _get(self, key: str, kind: Any) -> Stored | None:
        text = self._store.get(key)
        return None if text is None else decode(key, text, kind)
