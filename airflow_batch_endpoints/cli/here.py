"""The Airflow of this machine: its database, as the user of this terminal."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.loading import load
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.jobs.states import JobState
from airflow_batch_endpoints.runs.table import JobFilter
from airflow_batch_endpoints.services.actor import Actor
from airflow_batch_endpoints.services.documents import Documents, key_of
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.resources import (
    Applied,
    Asset,
    AssetKind,
    DryRun,
    Endpoint,
    Job,
    JobDetails,
    Kind,
    Revision,
    StoredDocument,
)

_ALL = 10**6
_PLACES = {"input": "--input", "output": "--output"}


class AirflowBackend:
    """What commands need, of the services themselves."""

    def __init__(self) -> None:
        actor = Actor(getpass.getuser(), "cli")
        self._documents, self._jobs = Documents(actor), Jobs(actor)

    def apply(self, files: Sequence[Path], *, set_default: bool) -> list[Applied]:
        """Create or update documents from files, with what lies beside them."""
        return self._documents.apply(load_all(files), set_default=set_default)

    def not_invokable(self, endpoints: Sequence[str]) -> tuple[list[str], bool]:
        """Return which endpoints have no DAG yet, and whether one is to be expected."""
        return self._documents.not_invokable(endpoints)

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints."""
        return self._documents.endpoints(limit=_ALL).items

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint."""
        return self._documents.endpoint(name)

    def deployment(self, endpoint: str, name: str) -> StoredDocument:
        """Return a deployment."""
        return self._documents.deployment(endpoint, name)

    def set_default(self, endpoint: str, deployment: str) -> None:
        """Choose the default deployment."""
        self._documents.set_default(endpoint, deployment)

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint."""
        self._documents.delete_endpoint(name)

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        self._documents.delete_deployment(endpoint, name)

    def computes(self) -> list[StoredDocument]:
        """Return all computes."""
        return self._documents.computes()

    def compute(self, name: str) -> StoredDocument:
        """Return a compute."""
        return self._documents.compute(name)

    def delete_compute(self, name: str) -> None:
        """Delete a compute."""
        self._documents.delete_compute(name)

    def datastores(self) -> list[StoredDocument]:
        """Return all data stores."""
        return self._documents.datastores()

    def datastore(self, name: str) -> StoredDocument:
        """Return a data store."""
        return self._documents.datastore(name)

    def delete_datastore(self, name: str) -> None:
        """Delete a data store."""
        self._documents.delete_datastore(name)

    def assets(self, kind: AssetKind) -> list[Asset]:
        """Return the assets of a kind."""
        return self._documents.assets(kind)

    def asset_versions(self, kind: AssetKind, name: str) -> list[StoredDocument]:
        """Return the versions of an asset, newest first."""
        return self._documents.asset_versions(kind, name)

    def asset(self, kind: AssetKind, name: str, version: str | None) -> StoredDocument:
        """Return a version of an asset, the newest by default."""
        return self._documents.asset(kind, name, version)

    def archive_asset(self, kind: AssetKind, name: str, version: str, *, is_archived: bool) -> None:
        """Archive a version of an asset, or take that back."""
        self._documents.archive_asset(kind, name, version, is_archived=is_archived)

    def delete_asset(self, kind: AssetKind, name: str, version: str) -> None:
        """Delete a version of an asset."""
        self._documents.delete_asset(kind, name, version)

    def revisions(self, kind: Kind, name: str, endpoint: str | None, *, limit: int) -> list[Revision]:
        """Return what a document was."""
        return self._documents.revisions(key_of(kind, name, endpoint), limit=limit).items

    def restore(self, kind: Kind, name: str, endpoint: str | None, revision: str) -> Applied:
        """Make a document again what it was."""
        return self._documents.restore(key_of(kind, name, endpoint), revision)

    def invoke(self, endpoint: str, conf: dict[str, Any], *, name: str) -> tuple[Job, bool]:
        """Start a job, and tell whether it was started now."""
        return self._jobs.invoke(endpoint, conf, name=name, places=_PLACES)

    def dry_run(self, endpoint: str, conf: dict[str, Any], *, name: str) -> DryRun:
        """Return the job that would be started."""
        return self._jobs.dry_run(endpoint, conf, name=name, places=_PLACES)

    def jobs(
        self,
        endpoint: str | None,
        *,
        limit: int,
        states: Sequence[JobState] | None = None,
        invoker: str | None = None,
        deployment: str | None = None,
    ) -> list[Job]:
        """Return the newest jobs."""
        wanted = JobFilter(
            endpoints=None if endpoint is None else [endpoint], states=states, invoker=invoker, deployment=deployment
        )
        return self._jobs.list(wanted, limit=limit).items

    def job(self, endpoint: str, name: str) -> JobDetails:
        """Return a job."""
        return self._jobs.find(endpoint, name)

    def cancel(self, endpoint: str, name: str) -> Job:
        """Cancel a job."""
        return self._jobs.cancel(endpoint, name)

    def logs(self, endpoint: str, name: str, *, task: str | None, instance: int | None) -> Iterator[str]:
        """Return the logs of a job."""
        from airflow_batch_endpoints.services.logs import read_logs

        self._jobs.find(endpoint, name)
        return read_logs(endpoint, name, task=task, instance=instance)

    def published(self, endpoint: str, name: str) -> list[str]:
        """Return the names of the files a job published."""
        from airflow_batch_endpoints.services.outputs import JobOutputs

        return JobOutputs(self._jobs, endpoint, name).names()

    def content(self, endpoint: str, name: str, file: str) -> Iterator[bytes]:
        """Return a file that a job published."""
        from airflow_batch_endpoints.services.outputs import JobOutputs

        return JobOutputs(self._jobs, endpoint, name).open(file)

    def sync(self) -> int:
        """Bring the table of jobs up to date; return how many runs were looked at."""
        return self._jobs.sync()


def load_all(files: Sequence[Path]) -> list[tuple[Path, Document]]:
    """Return documents with their folders. :raises DocumentError: with the problems of all of them."""
    documents: list[tuple[Path, Document]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            documents.append((file.absolute().parent, load(file)))
        except DocumentError as error:
            problems += error.problems
    if problems:
        raise DocumentError(problems)
    return documents
