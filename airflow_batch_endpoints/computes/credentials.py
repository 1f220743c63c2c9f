"""Credentials of data stores: what an Airflow connection holds, as the environment variables that storage libraries read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from airflow_batch_endpoints.exceptions import UserError


class Connection(Protocol):
    """What is read of an Airflow connection."""

    conn_id: str
    conn_type: str | None
    host: str | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The connection's extra."""
        ...


def variables(connections: Mapping[str, Connection]) -> dict[str, str]:
    """Return the variables of some connections together.

    :param connections: by their ids.
    :raises UserError: one is of another kind, or two say different things of one variable. No value is in the message.
    """
    found: dict[str, str] = {}
    origin: dict[str, str] = {}
    for name, connection in connections.items():
        for variable, value in _variables(connection).items():
            if found.setdefault(variable, value) != value:
                raise UserError(
                    f"connections {origin[variable]!r} and {name!r} both set {variable}, and a job has one set of credentials for "
                    "each kind of storage; use one connection for both data stores"
                )
            origin.setdefault(variable, name)
    return found


def _variables(connection: Connection) -> dict[str, str]:
    read = _KINDS.get(connection.conn_type or "")
    if read is None:
        raise UserError(
            f"connection {connection.conn_id!r} is of type {connection.conn_type!r}; data stores are reached with one of "
            f"{', '.join(_KINDS)}"
        )
    return {name: str(value) for name, value in read(connection).items() if value not in (None, "")}


def _aws(connection: Connection) -> dict[str, Any]:
    extra = connection.extra_dejson
    if extra.get("role_arn"):
        raise UserError(
            f"connection {connection.conn_id!r} assumes a role, which the workers of a job cannot; give them a key, or a role by "
            "where they run (then the data store needs no conn_id)"
        )
    return {
        "AWS_ACCESS_KEY_ID": connection.login or extra.get("aws_access_key_id"),
        "AWS_SECRET_ACCESS_KEY": connection.password or extra.get("aws_secret_access_key"),
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        "AWS_DEFAULT_REGION": extra.get("region_name"),
        "AWS_ENDPOINT_URL": extra.get("endpoint_url"),
        "AWS_PROFILE": extra.get("profile_name"),
    }


def _google(connection: Connection) -> dict[str, Any]:
    extra = connection.extra_dejson
    key = extra.get("keyfile_dict")
    try:
        content = json.loads(key) if isinstance(key, str) and key else key
    except ValueError:
        raise UserError(f"connection {connection.conn_id!r}: its keyfile_dict is no JSON") from None
    # fsspec reads what it is to hand to a file system; gcsfs takes the key itself as its token.
    token = json.dumps({"token": content}) if content else None
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": extra.get("key_path"),
        "GOOGLE_CLOUD_PROJECT": extra.get("project"),
        "FSSPEC_GS": token,
        "FSSPEC_GCS": token,
    }


def _azure(connection: Connection) -> dict[str, Any]:
    extra = connection.extra_dejson
    common = {
        "AZURE_STORAGE_CONNECTION_STRING": extra.get("connection_string"),
        "AZURE_STORAGE_SAS_TOKEN": extra.get("sas_token"),
    }
    if extra.get("tenant_id"):
        account = (connection.host or "").removeprefix("https://").partition(".")[0]
        return common | {
            "AZURE_STORAGE_ACCOUNT_NAME": account,
            "AZURE_STORAGE_TENANT_ID": extra["tenant_id"],
            "AZURE_STORAGE_CLIENT_ID": connection.login,
            "AZURE_STORAGE_CLIENT_SECRET": connection.password,
        }
    return common | {
        "AZURE_STORAGE_ACCOUNT_NAME": connection.login,
        "AZURE_STORAGE_ACCOUNT_KEY": connection.password or extra.get("account_key"),
    }


_KINDS: dict[str, Callable[[Connection], dict[str, Any]]] = {
    "aws": _aws,
    "google_cloud_platform": _google,
    "wasb": _azure,
    "adls": _azure,
}
