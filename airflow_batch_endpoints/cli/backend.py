"""Where commands do their work: in the Airflow of this machine, or in one that is reached over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from airflow_batch_endpoints.cli import profiles
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs.states import JobState
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

SERVER, PROFILE = "BATCH_ENDPOINTS_SERVER", "BATCH_ENDPOINTS_PROFILE"
TOKEN = "BATCH_ENDPOINTS_TOKEN"  # noqa: S105 - the name of a variable
USERNAME, PASSWORD = "BATCH_ENDPOINTS_USERNAME", "BATCH_ENDPOINTS_PASSWORD"


class Backend(Protocol):
    """What commands need. Both implementations answer alike, and raise the same errors."""

    def apply(self, files: Sequence[Path], *, set_default: bool) -> list[Applied]:
        """Create or update documents from files, with what lies beside them."""
        ...

    def not_invokable(self, endpoints: Sequence[str]) -> tuple[list[str], bool]:
        """Return which endpoints have no DAG yet, and whether one is to be expected."""
        ...

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints."""
        ...

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint."""
        ...

    def deployment(self, endpoint: str, name: str) -> StoredDocument:
        """Return a deployment."""
        ...

    def set_default(self, endpoint: str, deployment: str) -> None:
        """Choose the default deployment."""
        ...

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint."""
        ...

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        ...

    def computes(self) -> list[StoredDocument]:
        """Return all computes."""
        ...

    def compute(self, name: str) -> StoredDocument:
        """Return a compute."""
        ...

    def delete_compute(self, name: str) -> None:
        """Delete a compute."""
        ...

    def datastores(self) -> list[StoredDocument]:
        """Return all data stores."""
        ...

    def datastore(self, name: str) -> StoredDocument:
        """Return a data store."""
        ...

    def delete_datastore(self, name: str) -> None:
        """Delete a data store."""
        ...

    def assets(self, kind: AssetKind) -> list[Asset]:
        """Return the assets of a kind."""
        ...

    def asset_versions(self, kind: AssetKind, name: str) -> list[StoredDocument]:
        """Return the versions of an asset, newest first."""
        ...

    def asset(self, kind: AssetKind, name: str, version: str | None) -> StoredDocument:
        """Return a version of an asset, the newest by default."""
        ...

    def archive_asset(self, kind: AssetKind, name: str, version: str, *, is_archived: bool) -> None:
        """Archive a version of an asset, or take that back."""
        ...

    def delete_asset(self, kind: AssetKind, name: str, version: str) -> None:
        """Delete a version of an asset."""
        ...

    def revisions(self, kind: Kind, name: str, endpoint: str | None, *, limit: int) -> list[Revision]:
        """Return what a document was."""
        ...

    def restore(self, kind: Kind, name: str, endpoint: str | None, revision: str) -> Applied:
        """Make a document again what it was."""
        ...

    def invoke(self, endpoint: str, conf: dict[str, Any], *, name: str) -> tuple[Job, bool]:
        """Start a job, and tell whether it was started now."""
        ...

    def dry_run(self, endpoint: str, conf: dict[str, Any], *, name: str) -> DryRun:
        """Return the job that would be started."""
        ...

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
        ...

    def job(self, endpoint: str, name: str) -> JobDetails:
        """Return a job."""
        ...

    def cancel(self, endpoint: str, name: str) -> Job:
        """Cancel a job."""
        ...

    def logs(self, endpoint: str, name: str, *, task: str | None, instance: int | None) -> Iterator[str]:
        """Return the logs of a job."""
        ...

    def published(self, endpoint: str, name: str) -> list[str]:
        """Return the names of the files a job published."""
        ...

    def content(self, endpoint: str, name: str, file: str) -> Iterator[bytes]:
        """Return a file that a job published."""
        ...

    def sync(self) -> int:
        """Bring the table of jobs up to date; return how many runs were looked at."""
        ...


def choose(args: Any) -> Backend:
    """Return what a command works on: the server or profile that is named, else the Airflow of this machine.

    What the command line says goes before what the environment says.

    :raises UserError: neither is there.
    """
    server, token_file = _server(args)
    if server:
        from airflow_batch_endpoints.cli.remote import ServerBackend

        return ServerBackend(server, token=_token(token_file))
    if find_spec("airflow") is None:
        raise UserError(f"Airflow is not installed here; name a server with --server URL, --profile NAME or {SERVER}")
    from airflow_batch_endpoints.cli.here import AirflowBackend

    return AirflowBackend()


def _server(args: Any) -> tuple[str | None, Path | None]:
    """Return the server to work on, if any, and the file with its token, if one is named."""
    if args.server and args.profile:
        raise UserError("--server and --profile both name a server; give one")
    token_file = Path(args.token_file) if args.token_file else None
    server = args.server or (None if args.profile else os.environ.get(SERVER))
    if server:
        return server, token_file
    name = args.profile or os.environ.get(PROFILE)
    if not name:
        return None, None
    profile = profiles.load(name)
    return profile.server, token_file or profile.token_file


def _token(file: Path | None) -> str | None:
    """Return the token in a file, or that of the environment: a file is a server's own, the environment anybody's."""
    if file is None:
        return os.environ.get(TOKEN) or None
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the token file {file} cannot be read: {error}") from None
