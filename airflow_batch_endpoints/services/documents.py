"""Endpoints, deployments, computes, data stores and assets: applying, reading, deleting and rolling back."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.database.session import open_session
from airflow_batch_endpoints.documents.assets import DataAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.compute import BUILT_IN
from airflow_batch_endpoints.documents.endpoint import Endpoint as EndpointDocument
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.documents.paths import paths
from airflow_batch_endpoints.exceptions import BatchEndpointsError, DocumentError, Problem
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.registry import applying, revisions, versions
from airflow_batch_endpoints.registry.index import index_of
from airflow_batch_endpoints.registry.keys import COMPUTE, DATASTORE, DEPLOYMENT, ENDPOINT, INDEX, described
from airflow_batch_endpoints.registry.metadata import MetadataStore
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.store import PREFIX
from airflow_batch_endpoints.registry.stored import ANYTHING, Expected, Stored, decode
from airflow_batch_endpoints.registry.versions import Versions
from airflow_batch_endpoints.runs import dags, table
from airflow_batch_endpoints.services import events, history
from airflow_batch_endpoints.services.actor import Actor, audit
from airflow_batch_endpoints.services.earlier import looked_up
from airflow_batch_endpoints.services.endpoint_details import endpoint_of, recent_of
from airflow_batch_endpoints.services.resources import (
    Applied,
    Asset,
    AssetKind,
    Endpoint,
    Kind,
    Page,
    Revision,
    StoredDocument,
)

RECENT_JOBS = 12
"""How many jobs the strip of an endpoint shows."""


class Documents:
    """What can be done with documents.

    :param actor: who asks. Whether they may is decided before.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._store = MetadataStore(on_write=self._written)
        self.registry = Registry(
            self._store,
            user=actor.name,
            has_running_jobs=_has_running,
            allow_unrestricted_pods=settings().allow_unrestricted_pods,
        )

    def _written(self, session: Session, changes: Mapping[str, str | None]) -> None:
        """Keep revisions and the audit log in the transaction of the change, and have the DAGs parsed."""
        revisions.record(session, changes, user=self._actor.name)
        for key, text in changes.items():
            if key == INDEX or versions.is_list(key):
                continue
            revision = None if text is None else json.loads(text)["revision"]
            if key.startswith(ENDPOINT) and text is None:
                dags.retire_dag(session, key.removeprefix(ENDPOINT))
            audit(
                session,
                self._actor,
                "document.delete" if text is None else "document.put",
                dag=_dag_of(key),
                document=key,
                revision=revision,
            )
            if text is not None and _is_new_data(key, changes):
                events.announce(session, decode(key, text, DataAsset).document)
        if INDEX in changes:
            dags.request_parsing(session)

    # -- applying ----------------------------------------------------------------------------------------------------

    def apply(
        self, documents: Iterable[tuple[Path, Document]], *, set_default: bool = False, expected: Expected = ANYTHING
    ) -> list[Applied]:
        """Create or update documents, all or none, and copy the code and models that lie beside them.

        :param documents: each with the folder that its relative paths start from.
        :param set_default: make the (one) deployment among them the default of its endpoint.
        :param expected: what the documents must be now.
        """
        documents = [(base, looked_up(document)) for base, document in documents]
        done = applying.apply(self.registry, documents, settings(), set_default=set_default, expected=expected)
        return [Applied.model_validate(described(what, document)) for what, document in done]

    def put(self, document: Document, *, expected: Expected = ANYTHING) -> Applied:
        """Create or update one document that brings no files.

        :raises DocumentError: it names a path beside it.
        """
        problems = [
            Problem("document", beside.field, f"{beside.path!r} is a path beside the document, which brings no files; upload them "
                    "with apply, or name a URI")
            for beside in paths(document)
        ]  # fmt: skip
        if problems:
            raise DocumentError(problems)
        ((what, applied),) = applying.apply(
            self.registry, [(Path(), looked_up(document))], settings(), expected=expected
        )
        return Applied.model_validate(described(what, applied))

    def set_default(self, endpoint: str, deployment: str, *, expected: Expected = ANYTHING) -> None:
        """Choose the deployment that invocations get which name none."""
        self.registry.set_default(endpoint, deployment, expected=expected)

    def delete_endpoint(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete an endpoint with its deployments; its jobs stay."""
        self.registry.delete_endpoint(name, expected=expected)

    def delete_deployment(self, endpoint: str, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a deployment."""
        self.registry.delete_deployment(endpoint, name, expected=expected)

    def delete_compute(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a compute that no deployment names."""
        self.registry.delete_compute(name, expected=expected)

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def endpoints(
        self,
        *,
        allowed: Callable[[set[str]], Collection[str]] = lambda names: names,
        contains: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Endpoint]:
        """Return a page of endpoints by name. One that cannot be read is a row with an error.

        :param allowed: which of some names the caller may read.
        :param contains: part of the name, in any case.
        """
        found = {name for name in self.registry.endpoint_names() if contains.lower() in name.lower()}
        names = sorted(allowed(found))
        return Page(items=self._described(names[offset : offset + limit]), total=len(names), limit=limit, offset=offset)

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint; while it has no DAG, asking for it also asks for that. :raises NotFoundError: when there is none."""
        if self._store.get(ENDPOINT + name) is None:
            self.registry.endpoint(name)
        (found,) = self._described([name])
        if not found.is_invokable:
            self.not_invokable([name])
        return found

    def endpoint_document(self, name: str) -> StoredDocument:
        """Return an endpoint as it is kept. :raises NotFoundError: when there is none."""
        return self._stored("endpoint", ENDPOINT + name, self.registry.endpoint(name), name=name)

    def _described(self, names: Sequence[str]) -> list[Endpoint]:
        """Return endpoints with their jobs: a few queries, however many there are."""
        texts = self._store.get_all([ENDPOINT + name for name in names] + [INDEX])
        index = index_of(texts.get(INDEX))
        with open_session() as session:
            invokable = dags.with_dag(session, list(names))
            recent = {
                endpoint: [recent_of(row) for row in rows]
                for endpoint, rows in table.newest(session, names, each=RECENT_JOBS).items()
            }
        return [
            endpoint_of(name, texts.get(ENDPOINT + name), index.get(name), name in invokable, recent.get(name, []))
            for name in names
        ]

    # -- deployments and computes ------------------------------------------------------------------------------------

    def deployments(self, endpoint: str) -> list[StoredDocument]:
        """Return the deployments of an endpoint. One that cannot be read is a row with an error."""
        owner = self.registry.endpoint(endpoint).document
        default = owner.defaults.deployment_name if isinstance(owner, EndpointDocument) else None
        keys = self._store.keys(f"{DEPLOYMENT}{endpoint}.")
        found = [self._row("deployment", key, text) for key, text in sorted(self._store.get_all(keys).items())]
        return [row.model_copy(update={"is_default": row.name == default}) for row in found]

    def deployment(self, endpoint: str, name: str) -> StoredDocument:
        """Return a deployment. :raises NotFoundError: when there is none."""
        stored, owner = self.registry.deployment(endpoint, name), self.registry.endpoint(endpoint).document
        default = owner.defaults.deployment_name if isinstance(owner, EndpointDocument) else None
        found = self._stored("deployment", f"{DEPLOYMENT}{endpoint}.{name}", stored, name=name, endpoint=endpoint)
        return found.model_copy(update={"is_default": name == default})

    def computes(self) -> list[StoredDocument]:
        """Return the computes. One that cannot be read is a row with an error."""
        texts = self._store.get_all(self._store.keys(COMPUTE))
        rows = [self._row("compute", key, text) for key, text in sorted(texts.items())]
        if COMPUTE + BUILT_IN.name not in texts:
            rows.append(self.compute(BUILT_IN.name))
        return sorted(rows, key=lambda row: row.name)

    def compute(self, name: str) -> StoredDocument:
        """Return a compute. :raises NotFoundError: when there is none."""
        return self._stored("compute", COMPUTE + name, self.registry.compute(name), name=name)

    # -- data stores and assets --------------------------------------------------------------------------------------

    def datastores(self) -> list[StoredDocument]:
        """Return the data stores. One that cannot be read is a row with an error."""
        texts = self._store.get_all(self._store.keys(DATASTORE))
        return [self._row("datastore", key, text) for key, text in sorted(texts.items())]

    def datastore(self, name: str) -> StoredDocument:
        """Return a data store. :raises NotFoundError: when there is none."""
        return self._stored("datastore", DATASTORE + name, self.registry.datastore(name), name=name)

    def delete_datastore(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a data store that no deployment and no asset names."""
        self.registry.delete_datastore(name, expected=expected)

    def assets(
        self, kind: AssetKind, *, allowed: Callable[[str], bool] = lambda _: True, contains: str = ""
    ) -> list[Asset]:
        """Return the assets of a kind by name. One that cannot be read is a row with an error.

        :param allowed: whether the caller may read one, by the Variable that lists its versions.
        :param contains: part of the name, in any case.
        """
        names = [name for name in self.registry.asset_names(kind) if contains.lower() in name.lower()]
        return [self.asset_summary(kind, name) for name in names if allowed(versions.list_key(kind, name))]

    def asset_summary(self, kind: AssetKind, name: str) -> Asset:
        """Return an asset with its versions; one that cannot be read with an error."""
        try:
            found = self.registry.versions(kind, name)
            document = None if found.latest is None else self.registry.asset(kind, name, found.latest).document
        except BatchEndpointsError as error:
            return Asset(kind=kind, name=name, error=str(error))
        return Asset(
            kind=kind,
            name=name,
            latest=found.latest,
            versions=[*found.versions],
            archived=[*found.archived],
            type=getattr(document, "type", None),
            description=getattr(document, "description", None),
        )

    def asset_versions(self, kind: AssetKind, name: str) -> list[StoredDocument]:
        """Return the versions of an asset, newest first. :raises NotFoundError: when there is none."""
        found = self.registry.versions(kind, name)
        if not found.versions:
            self.registry.asset(kind, name)
        keys = {versions.version_key(kind, name, version): version for version in reversed(found.versions)}
        texts = self._store.get_all(keys)
        return [
            self._row(kind, key, texts[key]).model_copy(update=_standing(found, version))
            for key, version in keys.items()
            if key in texts
        ]

    def asset(self, kind: AssetKind, name: str, version: str | None = None) -> StoredDocument:
        """Return a version of an asset, the newest by default. :raises NotFoundError: when there is none."""
        stored, found = self.registry.asset(kind, name, version), self.registry.versions(kind, name)
        version = str(getattr(stored.document, "version", version))
        row = self._stored(kind, versions.version_key(kind, name, version), stored, name=name)
        return row.model_copy(update=_standing(found, version))

    def archive_asset(self, kind: AssetKind, name: str, version: str, *, is_archived: bool = True) -> None:
        """Archive a version of an asset, or take that back."""
        self.registry.archive_asset(kind, name, version, is_archived=is_archived)

    def delete_asset(self, kind: AssetKind, name: str, version: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a version of an asset that nothing names."""
        self.registry.delete_asset(kind, name, version, expected=expected)

    # -- documents of any kind ---------------------------------------------------------------------------------------

    def _row(self, kind: Kind | AssetKind, key: str, text: str) -> StoredDocument:
        endpoint, _, name = key.removeprefix(DEPLOYMENT).rpartition(".") if kind == "deployment" else ("", "", key)
        name = name.removeprefix(f"{PREFIX}{kind}.").partition(":")[0]
        try:
            return self._stored(kind, key, decode(key, text), name=name, endpoint=endpoint or None)
        except BatchEndpointsError as error:
            return StoredDocument(kind=kind, name=name, endpoint=endpoint or None, error=str(error))

    def _stored(
        self, kind: Kind | AssetKind, key: str, stored: Stored, *, name: str, endpoint: str | None = None
    ) -> StoredDocument:
        if stored.document != BUILT_IN:
            with open_session() as session:
                revisions.notice(session, key, stored)
        return StoredDocument(
            kind=kind,
            name=name,
            endpoint=endpoint,
            document=stored.document.model_dump(mode="json", by_alias=True, exclude_none=True),
            revision=stored.revision,
            updated_at=stored.updated_at or None,
            updated_by=stored.updated_by,
        )

    # -- revisions ---------------------------------------------------------------------------------------------------

    def revisions(self, key: str, *, limit: int = 50, offset: int = 0) -> Page[Revision]:
        """Return what a document was, newest first.

        :param key: see :func:`key_of`.
        """
        return history.page(self._store, key, limit=limit, offset=offset)

    def revision(self, key: str, revision: str) -> Revision:
        """Return what a document was at a revision."""
        return history.find(self._store, key, revision)

    def restore(self, key: str, revision: str, *, expected: Expected = ANYTHING) -> Applied:
        """Make a document again what it was at a revision."""
        found = self.revision(key, revision)
        return self.put(from_data(found.document, f"revision {revision}"), expected=expected)

    # -- waiting -----------------------------------------------------------------------------------------------------

    def not_invokable(self, endpoints: Collection[str]) -> tuple[list[str], bool]:
        """Return which endpoints cannot be invoked yet, and ask for their DAGs once more if there are any.

        :return: their names, and whether a file is known that defines the DAGs.
        """
        with open_session() as session:
            missing = sorted(set(endpoints) - dags.with_dag(session, list(endpoints)))
            return missing, dags.request_parsing(session) if missing else True


def key_of(kind: Kind, name: str, endpoint: str | None = None) -> str:
    """Return the Variable that holds a document."""
    return f"{DEPLOYMENT}{endpoint}.{name}" if kind == "deployment" else f"{PREFIX}{kind}.{name}"


def _is_new_data(key: str, changes: Mapping[str, str | None]) -> bool:
    """Tell whether a version of a data asset is new: then the list of versions is written, too."""
    found = versions.split(key)
    return found is not None and found[0] == "data" and versions.list_key("data", found[1]) in changes


def _standing(found: Versions, version: str) -> dict[str, Any]:
    return {"version": version, "is_latest": version == found.latest, "is_archived": version in found.archived}


def _has_running(endpoint: str) -> bool:
    with open_session() as session:
        return table.has_running(session, endpoint)


def _dag_of(key: str) -> str | None:
    if key.startswith(ENDPOINT):
        return dag_id(key.removeprefix(ENDPOINT))
    return dag_id(key.removeprefix(DEPLOYMENT).partition(".")[0]) if key.startswith(DEPLOYMENT) else None
