"""The registry: documents, and the rules for changing them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from airflow_batch_endpoints.documents.assets import AssetKind
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.component import CommandComponent, ParallelComponent, PipelineComponent
from airflow_batch_endpoints.exceptions import ConflictError, DocumentError, Problem
from airflow_batch_endpoints.registry import references, versions
from airflow_batch_endpoints.registry.change import Change, computes_of
from airflow_batch_endpoints.registry.keys import COMPUTE, DATASTORE, DEPLOYMENT, ENDPOINT, Deployment, key_of
from airflow_batch_endpoints.registry.reading import RegistryReader
from airflow_batch_endpoints.registry.store import PREFIX, DocumentStore, LostRaceError
from airflow_batch_endpoints.registry.stored import ANYTHING, Expected, decode, encode, require

log = logging.getLogger(__name__)

RACES = 20
"""How many writers may be faster than a change before it gives up."""

T = TypeVar("T")


class Registry(RegistryReader):
    """Documents with the rules for changing them (Azure ML's, and those of the design).

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
        super().__init__(store)
        self._user = user
        self._has_running_jobs = has_running_jobs
        self._allow_unrestricted_pods = allow_unrestricted_pods
        self._now = now

    def index_entry(self, endpoint: str) -> dict[str, Any] | None:
        """Return what the index should say of an endpoint, from its documents; ``None`` when there is none."""
        return Change(self._store).entry(endpoint)

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
            # Before it is looked for, and so compared when this is written: somebody may delete it meanwhile.
            change.read(f"{DEPLOYMENT}{endpoint}.{deployment}")
            self.deployment(endpoint, deployment)
            change.require(ENDPOINT + endpoint, expected)
            change.set_default(endpoint, deployment)

        self._change(decide)

    def delete_endpoint(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete an endpoint with its deployments. Its jobs and their outputs stay.

        :raises ConflictError: while jobs of it are running.
        """

        def decide(change: Change) -> None:
            require(self.endpoint, name)
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
            require(self.deployment, endpoint, name)
            if change.default(endpoint) == name:
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
            require(self.compute, name)
            self._require_unused(
                f"compute {name!r}", lambda document: any(used == name for _, used in computes_of(document))
            )
            change.require(COMPUTE + name, expected)
            change.delete(COMPUTE + name)

        self._change(decide)

    def delete_datastore(self, name: str, *, expected: Expected = ANYTHING) -> None:
        """Delete a data store.

        :raises ConflictError: while deployments or assets name it.
        """

        def decide(change: Change) -> None:
            require(self.datastore, name)
            self._require_unused(f"data store {name!r}", lambda document: references.names_datastore(document, name))
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
            require(self.asset, kind, name, version)
            is_latest = self.versions(kind, name).latest == version
            self._require_unused(
                f"{kind} {name}:{version}",
                lambda document: references.names_asset(document, kind, name, version, is_latest=is_latest),
                hint=", or archive it",
            )
            key = versions.version_key(kind, name, version)
            change.require(key, expected)
            change.delete(key)
            change.set_versions(kind, name, change.versions(kind, name).without(version))

        self._change(decide)

    def _require_unused(self, what: str, names: Callable[[Document], bool], *, hint: str = "") -> None:
        """Refuse to delete what deployments or assets name.

        One that cannot be read refuses nothing, for no job can use it; applying or restoring it asks for what it names.

        :param names: tells whether a document names it.
        :raises ConflictError: saying which do.
        """
        keys = self._store.keys(DEPLOYMENT)
        for kind in versions.KINDS:
            keys += [key for key in self._store.keys(versions.list_key(kind, "")) if not versions.is_list(key)]
        users = []
        for key in keys:
            text = self._store.get(key)
            try:
                if text is not None and names(decode(key, text).document):
                    users.append(_described(key))
            except DocumentError as error:
                log.warning(
                    "whether %s uses %s is not known; it counts as not using it: %s", _described(key), what, error
                )
        if users:
            raise ConflictError(f"{what} is used by {', '.join(users)}; change or delete those first{hint}")

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
                change = Change(self._store, allow_unrestricted_pods=self._allow_unrestricted_pods)
                done = decide(change)
                change.commit(lambda document: encode(document, now=self._now(), user=self._user))
        return done


def _described(key: str) -> str:
    """Return how messages call a deployment or a version of an asset."""
    kind, _, name = key.removeprefix(PREFIX).partition(".")
    return f"{kind} {name.replace('.', '/', 1) if kind == 'deployment' else name}"


def _rank(document: Document) -> int:
    """Return a number that is higher for documents that may name others."""
    if isinstance(document, Deployment):
        return 3
    if isinstance(document, PipelineComponent):
        return 2
    return 1 if isinstance(document, CommandComponent | ParallelComponent) else 0
