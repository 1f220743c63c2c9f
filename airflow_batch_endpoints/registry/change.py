"""A set of changes to documents: what they are from then on, whether they fit together, and what is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

from airflow_batch_endpoints.computes.kubernetes import security
from airflow_batch_endpoints.documents.assets import AssetKind, VersionedAsset
from airflow_batch_endpoints.documents.base import Document, digest
from airflow_batch_endpoints.documents.compute import BUILT_IN, Compute, KubernetesCompute
from airflow_batch_endpoints.documents.datastore import Datastore
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint, EndpointDefaults
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.documents.references import Reference
from airflow_batch_endpoints.exceptions import DocumentError, NotFoundError, Problem
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.pipelines.check import problems_of
from airflow_batch_endpoints.registry import components, references, versions
from airflow_batch_endpoints.registry.index import index_entry, index_of
from airflow_batch_endpoints.registry.keys import (
    COMPUTE,
    DATASTORE,
    DEPLOYMENT,
    ENDPOINT,
    INDEX,
    Deployment,
    endpoint_of,
    key_of,
)
from airflow_batch_endpoints.registry.reading import RegistryReader
from airflow_batch_endpoints.registry.store import PREFIX, DocumentStore
from airflow_batch_endpoints.registry.stored import ANYTHING, Expected, decode
from airflow_batch_endpoints.registry.versions import Versions

log = logging.getLogger(__name__)


class Change:
    """A set of changes that are written together.

    :param store: what is there.
    :param allow_unrestricted_pods: whether computes may make pods that the restricted Pod Security Standard forbids.
    """

    def __init__(self, store: DocumentStore, *, allow_unrestricted_pods: bool = False) -> None:
        self._store = store
        self._allow_unrestricted_pods = allow_unrestricted_pods
        self._expected: dict[str, str | None] = {}
        self._documents: dict[str, Document | None] = {}
        self._mended: set[str] = set()
        self._versions: dict[str, Versions] = {}

    def read(self, key: str) -> Document | None:
        """Return a document as it will be; ``None`` when there is none, or one that cannot be read."""
        try:
            return self._read(key, Document)  # type: ignore[no-any-return]
        except DocumentError:
            return None

    def asset(self, kind: AssetKind, reference: Reference) -> VersionedAsset | None:
        """Return an asset as it will be."""
        found = self.versions(kind, reference.name)
        version = reference.version or found.latest
        document = self.read(versions.version_key(kind, reference.name, version)) if version in found.versions else None
        return document if isinstance(document, VersionedAsset) else None

    def datastore(self, name: str) -> Datastore | None:
        """Return a data store as it will be."""
        document = self.read(DATASTORE + name)
        return document if isinstance(document, Datastore) else None

    def set(self, key: str, document: Document) -> None:
        """Keep a document."""
        self.read(key)
        self._documents[key] = document

    def versions(self, kind: str, name: str) -> Versions:
        """Return the versions of an asset as they will be."""
        key = versions.list_key(kind, name)
        if key in self._versions:
            return self._versions[key]
        return versions.decode(key, self._expected.setdefault(key, self._store.get(key)))

    def set_versions(self, kind: str, name: str, found: Versions) -> None:
        """Keep the versions of an asset."""
        self.versions(kind, name)
        self._versions[versions.list_key(kind, name)] = found

    def _read(self, key: str, kind: Any) -> Any:
        """Return a document as it will be."""
        if key in self._documents:
            return self._documents[key]
        text = self._expected.setdefault(key, self._store.get(key))
        return None if text is None else decode(key, text, kind).document

    def require(self, key: str, expected: Expected) -> None:
        """Refuse a document that is not what a writer expects."""
        if expected != ANYTHING:
            before = self.read(key)
            expected.check(key.removeprefix(PREFIX), None if before is None else digest(before))

    def put(self, document: Document) -> tuple[str, Document]:
        """Keep a document, unless it is there. Returns what was done, and the document as it is kept."""
        document = components.written_out(document, self)
        if isinstance(document, VersionedAsset):
            return versions.put(self, document)
        key = key_of(document)
        # One that cannot be read counts as none: applying it again is what mends it.
        before = self.read(key)
        if (
            isinstance(document, Endpoint)
            and isinstance(before, Endpoint)
            and document.defaults.deployment_name is None
        ):
            # Applying an endpoint again must not take its default away: the document just doesn't speak of it.
            document = document.model_copy(update={"defaults": before.defaults})
        if isinstance(document, ModelDeployment):
            environment = components.environment(document.environment, self)
            document = document.model_copy(update={"environment": environment})
        if before is not None and digest(before) == digest(document):
            return "unchanged", document
        self.set(key, document)
        return "created" if self._expected[key] is None else "updated", document

    def delete(self, key: str) -> None:
        """Delete a document."""
        self._expected.setdefault(key, self._store.get(key))
        self._documents[key] = None

    def default(self, endpoint: str) -> str | None:
        """Return the default deployment of an endpoint; ``None`` when it has none or is not there.

        :raises DocumentError: the endpoint cannot be read.
        """
        document = self._read(ENDPOINT + endpoint, Endpoint)
        return None if document is None else document.defaults.deployment_name

    def set_default(self, endpoint: str, deployment: str) -> None:
        """Make a deployment the default of its endpoint."""
        document = self._read(ENDPOINT + endpoint, Endpoint)
        if document is None:
            raise NotFoundError(
                f"there is no endpoint {endpoint!r}; apply its document first, or together with the deployment"
            )
        self._documents[ENDPOINT + endpoint] = document.model_copy(
            update={"defaults": EndpointDefaults(deployment_name=deployment)}
        )

    def check(self) -> None:
        """Refuse documents that name what is not there."""
        problems = []
        for document in self._documents.values():
            if document is not None:
                problems += references.check(document, self) + problems_of(document)
            if isinstance(document, Deployment):
                problems += self._check_deployment(document)
            elif isinstance(document, KubernetesCompute):
                problems += self._check_compute(document)
            elif isinstance(document, Endpoint) and (default := document.defaults.deployment_name):
                key = f"{DEPLOYMENT}{document.name}.{default}"
                if self._read(key, Deployment) is None:
                    message = f"endpoint {document.name!r} has no deployment {default!r}; apply it first, or together"
                    problems.append(Problem(f"endpoint {document.name}", "defaults.deployment_name", message))
        if problems:
            raise DocumentError(problems)

    def _check_deployment(self, document: Deployment) -> list[Problem]:
        source, problems = f"deployment {document.name}", []
        if self._read(ENDPOINT + document.endpoint_name, Endpoint) is None:
            message = f"there is no endpoint {document.endpoint_name!r}; apply its document first, or together"
            problems.append(Problem(source, "endpoint_name", message))
        if isinstance(document, PipelineDeployment):
            problems += components.check(document, self)
        for field, name in computes_of(document):
            if name != BUILT_IN.name and self._read(COMPUTE + name, Compute) is None:
                known = ", ".join(RegistryReader(self._store).compute_names())
                message = (
                    f"there is no compute {name!r}; there is: {known}. Apply a compute document of that name, such as "
                    f"{{name: {name}, type: local}}"
                )
                problems.append(Problem(source, field, message))
        return problems

    def _check_compute(self, document: KubernetesCompute) -> list[Problem]:
        source, problems = f"compute {document.name}", []
        if document.fallback is not None:
            other = self._read(COMPUTE + document.fallback.compute, Compute)
            if not isinstance(other, KubernetesCompute) or other.fallback is not None:
                message = (
                    f"{document.fallback.compute!r} is no compute of type kubernetes without a fallback of its own"
                )
                problems.append(Problem(source, "fallback.compute", message))
        if not self._allow_unrestricted_pods:
            hint = (
                "the restricted Pod Security Standard forbids it, and [batch_endpoints] allow_unrestricted_pods is off"
            )
            problems += [
                Problem(source, "pod", f"{weakness}; {hint}")
                for weakness in security.weaknesses_of_launch(Launch(compute=document))
            ]
        return problems

    def commit(self, encode: Callable[[Document], str]) -> None:
        """Write the changes and what they make of the index.

        :param encode: says a document as it is kept.
        """
        if not self._documents and not self._versions and not self._mended:
            return
        # Versions before the lists that name them, for stores that write one after another.
        changes: dict[str, str | None] = {
            key: None if document is None else encode(document) for key, document in self._documents.items()
        }
        changes |= {key: found.model_dump_json() if found.versions else None for key, found in self._versions.items()}
        endpoints = {name for key in changes if (name := endpoint_of(key))} | self._mended
        if endpoints:
            text = self._store.get(INDEX)
            index = index_of(text)
            for name in endpoints:
                entry = self.entry(name)
                if entry is None:
                    index.pop(name, None)
                else:
                    index[name] = entry
            changes[INDEX] = json.dumps(index, sort_keys=True)
            self._expected[INDEX] = text
        self._store.write(changes, self._expected)

    def mend(self, name: str) -> bool:
        """Have the index say of an endpoint what its documents do; return whether it says something else now."""
        if index_of(self._store.get(INDEX)).get(name) == self.entry(name):
            return False
        self._mended.add(name)
        return True

    def entry(self, name: str) -> dict[str, Any] | None:
        """Return what the index is to say of an endpoint; ``None`` when there is none.

        A deployment that cannot be read is left out, and keeps nobody from changing the others.
        """
        endpoint = self._read(ENDPOINT + name, Endpoint)
        if endpoint is None:
            return None
        prefix = f"{DEPLOYMENT}{name}."
        names = {key.removeprefix(prefix) for key in self._store.keys(prefix)}
        names |= {key.removeprefix(prefix) for key in self._documents if key.startswith(prefix)}
        deployments = {}
        for deployment in sorted(names):
            try:
                document = self._read(prefix + deployment, Deployment)
            except DocumentError as error:
                log.warning("deployment %r is missing in the DAG of endpoint %r: %s", deployment, name, error)
                continue
            if document is not None:
                deployments[deployment] = index_entry(document)
        return {
            "description": endpoint.description,
            "tags": endpoint.tags,
            "default": endpoint.defaults.deployment_name,
            "deployments": deployments,
        }


def computes_of(document: Document) -> Iterator[tuple[str, str]]:
    """Return every compute that a deployment names, each with where it does."""
    if isinstance(document, PipelineDeployment):
        yield from components.computes_of(document)
    elif isinstance(document, ModelDeployment) and document.compute is not None:
        yield "compute", document.compute
