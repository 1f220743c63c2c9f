"""The registry: which endpoints, deployments, computes, data stores and assets there are, and the rules for changing them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from airflow_batch_endpoints.computes.kubernetes import security
from airflow_batch_endpoints.documents.assets import AssetKind, ModelAsset, VersionedAsset
from airflow_batch_endpoints.documents.base import Document, digest
from airflow_batch_endpoints.documents.component import CommandComponent, ParallelComponent, PipelineComponent
from airflow_batch_endpoints.documents.compute import BUILT_IN, Compute, KubernetesCompute
from airflow_batch_endpoints.documents.datastore import Datastore
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint, EndpointDefaults
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.documents.pipeline import DagDeployment, PipelineDeployment
from airflow_batch_endpoints.documents.references import Reference
from airflow_batch_endpoints.exceptions import ConflictError, DocumentError, NotFoundError, Problem, StaleError
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.pipelines.check import problems_of
from airflow_batch_endpoints.registry import components, references, versions
from airflow_batch_endpoints.registry.store import PREFIX, DocumentStore, LostRaceError
from airflow_batch_endpoints.registry.versions import Versions

INDEX = f"{PREFIX}index"
"""What DAG parsing and pages need of every endpoint; a cache, never trusted when a job runs."""

ENDPOINT, DEPLOYMENT, COMPUTE = f"{PREFIX}endpoint.", f"{PREFIX}deployment.", f"{PREFIX}compute."
DATASTORE = f"{PREFIX}datastore."
"""How the keys of the kinds of documents begin."""
RACES = 20
"""How many writers may be faster than a change before it gives up."""

T = TypeVar("T")
Deployment = ModelDeployment | PipelineDeployment | DagDeployment


@dataclass(frozen=True)
class Stored:
    """A document as it is kept."""

    document: Document
    revision: str
    updated_at: str
    updated_by: str | None


@dataclass(frozen=True)
class Expected:
    """What a document must be before it is changed, for writers that have looked at it."""

    revisions: tuple[str, ...] | None = None
    """One of these; ``None`` for any."""
    exists: bool | None = None
    """Whether it must be there, or must not; ``None`` for either."""

    def check(self, what: str, found: str | None) -> None:
        """Refuse a document that is something else.

        :param found: its revision; ``None`` when there is none.
        :raises StaleError: naming what was found.
        """
        if self.exists is False and found is not None:
            raise StaleError(f"{what} exists already, with revision {found}")
        if (self.exists or self.revisions is not None) and found is None:
            raise StaleError(f"{what} does not exist")
        if self.revisions is not None and found not in self.revisions:
            raise StaleError(
                f"{what} has revision {found}, expected {' or '.join(self.revisions)}: somebody has changed it meanwhile; look "
                "at it again and repeat"
            )


ANYTHING = Expected()


class Registry:
    """Documents with their rules (Azure ML's, and those of the design).

    :param store: where they are kept.
    :param user: who changes them, for the record.
    :param has_running_jobs: tells of an endpoint whether jobs of it are running.
    :param allow_unrestricted_pods: whether computes may make pods that the restricted Pod Security Standard forbids.
    :param now: the time, for the record.
    """

    def __init__(
        self,
        store: DocumentStore,
        *,
        user: str | None = None,
        has_running_jobs: Callable[[str], bool] = lambda _: False,
        allow_unrestricted_pods: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._user = user
        self._has_running_jobs = has_running_jobs
        self.allow_unrestricted_pods = allow_unrestricted_pods
        self._now = now

    # -- reading ------------------------------------------------------------------------------------------------

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

    def index_entry(self, endpoint: str) -> dict[str, Any] | None:
        """Return what the index should say of an endpoint, from its documents; ``None`` when there is none."""
        return Change(self, self._store).entry(endpoint)

    # -- writing ------------------------------------------------------------------------------------------------

    def apply(
        self, documents: Iterable[Document], *, set_default: bool = False, expected: Expected = ANYTHING
    ) -> list[tuple[str, Document]]:
        """Create or update documents, all or none.

        :param documents: endpoints, deployments, computes, data stores and assets, in any order.
        :param set_default: make the (one) deployment among them the default of its endpoint.
        :param expected: what the documents must be now.
        :return: what was done to each, ``created``, ``updated`` or ``unchanged``, and the document as it is kept now.
        :raises DocumentError: when they do not fit together, or do not fit what is there.
        :raises ConflictError: when a version of an asset has another content already.
        :raises StaleError: when one is not what was expected.
        """
        documents = list(documents)
        deployments = [document for document in documents if isinstance(document, Deployment)]
        if set_default and len(deployments) != 1:
            found = f"needs exactly one deployment, found {len(deployments)}; use set-default"
            raise DocumentError([Problem("apply", "--set-default", found)])

        def decide(change: Change) -> list[tuple[str, Document]]:
            for document in documents:
                change.require(key_of(document), expected)
            # What names others comes after them: those may be among the documents.
            order = sorted(documents, key=_rank)
            results = {id(document): change.put(document) for document in order}
            done = [results[id(document)] for document in documents]
            if set_default:
                change.set_default(deployments[0].endpoint_name, deployments[0].name)
            change.check()
            return done

        return self._change(decide)

    def set_default(self, endpoint: str, deployment: str, *, expected: Expected = ANYTHING) -> None:
        """Make a deployment the one that invocations get which name none. Running jobs are not touched.

        :param expected: what the endpoint must be now.
        """

        def decide(change: Change) -> None:
            self.deployment(endpoint, deployment)
            change.require(ENDPOINT + endpoint, expected)
            change.set_default(endpoint, deployment)

        self._change(decide)

    def delete_endpoint(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete an endpoint with its deployments. Its jobs and their outputs stay.

        :raises ConflictError: while jobs of it are running.
        """

        def decide(change: Change) -> None:
            self.endpoint(name)
            if self._has_running_jobs(name):
                raise ConflictError(f"endpoint {name!r} has running jobs; cancel them or wait, then delete it")
            change.require(ENDPOINT + name, expected)
            change.delete(ENDPOINT + name)
            for deployment in self.deployment_names(name):
                change.delete(f"{DEPLOYMENT}{name}.{deployment}")

        self._change(decide)

    def delete_deployment(self, endpoint: str, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a deployment. Jobs that run it have their own copy and go on.

        :raises ConflictError: when it is its endpoint's default.
        """

        def decide(change: Change) -> None:
            self.deployment(endpoint, name)
            owner = self.endpoint(endpoint).document
            if isinstance(owner, Endpoint) and owner.defaults.deployment_name == name:
                raise ConflictError(
                    f"deployment {name!r} is the default of endpoint {endpoint!r}; set another default first, or delete the "
                    "endpoint"
                )
            change.require(f"{DEPLOYMENT}{endpoint}.{name}", expected)
            change.delete(f"{DEPLOYMENT}{endpoint}.{name}")

        self._change(decide)

    def delete_compute(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a compute.

        :raises ConflictError: while deployments name it.
        """

        def decide(change: Change) -> None:
            self.compute(name)
            users = [
                f"{endpoint}/{deployment}"
                for endpoint, deployment, document in self._deployments()
                if any(used == name for _, used in _computes_of(document))
            ]
            if users:
                raise ConflictError(f"compute {name!r} is used by {', '.join(users)}; change or delete those first")
            change.require(COMPUTE + name, expected)
            change.delete(COMPUTE + name)

        self._change(decide)

    def delete_datastore(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a data store.

        :raises ConflictError: while deployments or assets name it.
        """

        def decide(change: Change) -> None:
            self.datastore(name)
            users = self._users(lambda document: references.names_datastore(document, name))
            if users:
                raise ConflictError(f"data store {name!r} is used by {', '.join(users)}; change or delete those first")
            change.require(DATASTORE + name, expected)
            change.delete(DATASTORE + name)

        self._change(decide)

    def archive_asset(self, kind: AssetKind, name: str, version: str, *, is_archived: bool = True) -> None:
        """Archive a version of an asset: it is the newest no longer, but still found by its number. Or take that back."""

        def decide(change: Change) -> None:
            self.asset(kind, name, version)
            change.set_versions(kind, name, change.versions(kind, name).with_archived(version, is_archived))

        self._change(decide)

    def delete_asset(self, kind: AssetKind, name: str, version: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a version of an asset. Jobs have pinned what it stood for and go on; files stay where they are.

        :raises ConflictError: while deployments or components name it.
        """

        def decide(change: Change) -> None:
            self.asset(kind, name, version)
            is_latest = self.versions(kind, name).latest == version
            users = self._users(
                lambda document: references.names_asset(document, kind, name, version, is_latest=is_latest)
            )
            if users:
                raise ConflictError(
                    f"{kind} {name}:{version} is used by {', '.join(users)}; change or delete those first, or archive it"
                )
            key = versions.version_key(kind, name, version)
            change.require(key, expected)
            change.delete(key)
            change.set_versions(kind, name, change.versions(kind, name).without(version))

        self._change(decide)

    def _deployments(self) -> Iterator[tuple[str, str, Document]]:
        for endpoint in self.endpoint_names():
            for deployment in self.deployment_names(endpoint):
                yield endpoint, deployment, self.deployment(endpoint, deployment).document

    def _users(self, names: Callable[[Document], bool]) -> list[str]:
        """Return which deployments and assets name something."""
        users = [f"deployment {endpoint}/{name}" for endpoint, name, document in self._deployments() if names(document)]
        for kind in versions.KINDS:
            for name in self.asset_names(kind):
                found = self.versions(kind, name).versions
                users += [f"{kind} {name}:{each}" for each in found if names(self.asset(kind, name, each).document)]
        return users

    def mend_index(self, endpoint: str) -> bool:
        """Have the index say of an endpoint what its documents do: of two tasks that wrote at once, one may have lost its entry.

        :return: whether it said something else.
        """
        return self._change(lambda change: change.mend(endpoint))

    def _change(self, decide: Callable[[Change], T]) -> T:
        """Read, decide and write; when somebody else wrote in between, do it all again on what is there now."""
        for attempt in Retrying(
            retry=retry_if_exception_type(LostRaceError),
            stop=stop_after_attempt(RACES),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            reraise=True,
        ):
            with attempt:
                change = Change(self, self._store)
                done = decide(change)
                change.commit()
        return done

    def encode(self, document: Document) -> str:
        """Return a document as it is kept."""
        return json.dumps(
            {
                "document": document.model_dump(mode="json", by_alias=True),
                "revision": digest(document),
                "updated_at": self._now().isoformat(timespec="seconds"),
                "updated_by": self._user,
            }
        )


class Change:
    """A set of changes that are written together.

    :param registry: what is there.
    :param store: where it is kept.
    """

    def __init__(self, registry: Registry, store: DocumentStore) -> None:
        self._registry = registry
        self._store = store
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
        for field, name in _computes_of(document):
            if name != BUILT_IN.name and self._read(COMPUTE + name, Compute) is None:
                known = ", ".join(self._registry.compute_names())
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
        if not self._registry.allow_unrestricted_pods:
            hint = (
                "the restricted Pod Security Standard forbids it, and [batch_endpoints] allow_unrestricted_pods is off"
            )
            problems += [
                Problem(source, "pod", f"{weakness}; {hint}")
                for weakness in security.weaknesses_of_launch(Launch(compute=document))
            ]
        return problems

    def commit(self) -> None:
        """Write the changes and what they make of the index."""
        if not self._documents and not self._versions and not self._mended:
            return
        # Versions before the lists that name them, for stores that write one after another.
        changes: dict[str, str | None] = {
            key: None if document is None else self._registry.encode(document)
            for key, document in self._documents.items()
        }
        changes |= {key: found.model_dump_json() if found.versions else None for key, found in self._versions.items()}
        endpoints = {name for key in changes if (name := _endpoint_of(key))} | self._mended
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
        """Return what the index is to say of an endpoint; ``None`` when there is none."""
        endpoint = self._read(ENDPOINT + name, Endpoint)
        if endpoint is None:
            return None
        prefix = f"{DEPLOYMENT}{name}."
        names = {key.removeprefix(prefix) for key in self._store.keys(prefix)}
        names |= {key.removeprefix(prefix) for key in self._documents if key.startswith(prefix)}
        deployments = {}
        for deployment in sorted(names):
            document = self._read(prefix + deployment, Deployment)
            if document is not None:
                deployments[deployment] = _index_entry(document)
        return {
            "description": endpoint.description,
            "tags": endpoint.tags,
            "default": endpoint.defaults.deployment_name,
            "deployments": deployments,
        }


def _rank(document: Document) -> int:
    """Return a number that is higher for documents that may name others."""
    if isinstance(document, Deployment):
        return 3
    if isinstance(document, PipelineComponent):
        return 2
    return 1 if isinstance(document, CommandComponent | ParallelComponent) else 0


def _computes_of(document: Document) -> Iterator[tuple[str, str]]:
    """Return every compute that a deployment names, each with where it does."""
    if isinstance(document, PipelineDeployment):
        yield from components.computes_of(document)
    elif isinstance(document, ModelDeployment) and document.compute is not None:
        yield "compute", document.compute


def _index_entry(document: Deployment) -> dict[str, Any]:
    """Return what DAG parsing, the trigger form and pages need of a deployment."""
    entry: dict[str, Any] = {"description": document.description, "type": document.type, "compute": None}
    if isinstance(document, ModelDeployment):
        entry["compute"] = document.compute
    elif isinstance(document, PipelineDeployment):
        entry["compute"] = document.settings.default_compute
        entry |= components.index_entry(document)
    else:
        entry |= {
            "dag_id": document.dag_id,
            "inputs": {name: {"default": value} for name, value in document.inputs.items()},
        }
    return entry


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


def index_of(text: str | None) -> dict[str, Any]:
    """Return the content of the index; an unreadable one counts as empty, for it is only a cache."""
    try:
        index = json.loads(text or "{}")
    except ValueError:
        return {}
    return index if isinstance(index, dict) else {}


def _endpoint_of(key: str) -> str | None:
    if key.startswith(ENDPOINT):
        return key.removeprefix(ENDPOINT)
    return key.removeprefix(DEPLOYMENT).partition(".")[0] if key.startswith(DEPLOYMENT) else None


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


def decode(key: str, text: str, kind: Any = Document) -> Stored:
    """Return a document from its Variable.

    :raises DocumentError: when it cannot be read, or is of another kind.
    """
    source = f"Variable {key}"
    try:
        stored = json.loads(text)
        data = stored["document"]
    except (ValueError, KeyError, TypeError):
        raise DocumentError(
            [
                Problem(
                    source,
                    "(document)",
                    "is not what the registry writes; apply the document again, or delete the Variable",
                )
            ]
        ) from None
    document = from_data(data, source)
    if not isinstance(document, kind):
        raise DocumentError([Problem(source, "type", f"is a {type(document).__name__}; apply the document again")])
    # The digest of what is there, not the one that was written with it: a Variable can be edited by hand.
    return Stored(document, digest(document), str(stored.get("updated_at", "")), stored.get("updated_by"))
