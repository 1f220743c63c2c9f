"""Where commands do their work: in the Airflow of this machine, or in one that is reached over HTTP."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from airflow_batch_endpoints.cli import profiles
from airflow_batch_endpoints.exceptions import UserError

if TYPE_CHECKING:
    from airflow_batch_endpoints.cli.here import AirflowBackend
    from airflow_batch_endpoints.cli.remote import ServerBackend

Backend: TypeAlias = Union["AirflowBackend", "ServerBackend"]
"""What commands work on. Both answer alike, and raise the same errors; that each has what a command asks for, mypy sees to."""

SERVER, PROFILE = "BATCH_ENDPOINTS_SERVER", "BATCH_ENDPOINTS_PROFILE"
TOKEN = "BATCH_ENDPOINTS_TOKEN"  # noqa: S105 - the name of a variable
USERNAME, PASSWORD = "BATCH_ENDPOINTS_USERNAME", "BATCH_ENDPOINTS_PASSWORD"


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
