"""The storage of outputs, as the API server reads it: where jobs may write, through one connection, and never for long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from airflow_batch_endpoints.config import SECTION, settings
from airflow_batch_endpoints.exceptions import BatchEndpointsError, InfrastructureError, NotFoundError, ReachError
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.reach import check_reach
from airflow_batch_endpoints.storage.remote import RemoteStore
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import is_local

GENERIC = "generic"
"""The type of connections whose extra holds the options of fsspec's file system as they are."""
Result = TypeVar("Result")

_readers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="batch-endpoints-storage")
"""A storage that never answers holds these threads, and no others."""
_file_systems: dict[tuple[str, str, str], Any] = {}
"""File systems by scheme, connection, and digest of what the connection says."""


def open_output(uri: str) -> Store:
    """Return the store at an output: through the connection that is configured, if any, and else with the server's own access.

    Call it within :func:`bounded`: it may ask who gives credentials.

    :raises ReachError: the output is where jobs may not write (any more).
    :raises InfrastructureError: the connection is not there, or leads to no file system.
    """
    check_output(uri)
    connection = settings().storage_conn_id
    if connection is None or is_local(uri):
        return open_store(uri)
    return RemoteStore(uri, _file_system(uri.partition(":")[0], connection))


def check_output(uri: str) -> None:
    """Refuse what is outside of where jobs may write."""
    check_reach(uri, settings().allowed_output_uris, what="output", option="allowed_output_uris")


def bounded(read: Callable[[], Result]) -> Result:
    """Return what a storage answers, if it does in time.

    :raises InfrastructureError: it does not answer, or refuses.
    """
    seconds = settings().storage_timeout_seconds
    future = _readers.submit(read)
    try:
        return future.result(timeout=seconds)
    except FutureTimeoutError:
        future.cancel()
        raise InfrastructureError(f"the storage of the output did not answer the API server in {seconds:g} s") from None
    except FileNotFoundError:
        raise NotFoundError("the file is gone from the output") from None
    except ReachError:
        raise
    except Exception as error:
        is_refused = isinstance(error.__cause__, PermissionError)
        if isinstance(error, BatchEndpointsError) and not (isinstance(error, InfrastructureError) or is_refused):
            raise
        reason = str(error) if isinstance(error, InfrastructureError) else f"{type(error).__name__}: {error}"
        reason = "permission denied" if is_refused else reason
        raise InfrastructureError(f"the API server cannot read the output: {reason[:400]}; {_advice()}") from error


def _advice() -> str:
    connection = settings().storage_conn_id
    if connection is not None:
        return f"it reads with the connection {connection!r} ([{SECTION}] storage_conn_id)"
    return f"it needs access of its own, or a connection ([{SECTION}] storage_conn_id)"


def _file_system(scheme: str, name: str) -> Any:
    """Return the file system that a connection opens, always the same one while the connection says the same."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.io import get_fs

    try:
        connection = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise InfrastructureError(f"there is no connection {name!r}") from None
    key = (scheme, name, hashlib.sha256(connection.get_uri().encode()).hexdigest())
    if key not in _file_systems:
        if connection.conn_type == GENERIC:
            import fsspec

            found = fsspec.filesystem(scheme, **connection.extra_dejson)
        else:
            try:
                found = get_fs(scheme, name)
            except ValueError as error:
                raise InfrastructureError(
                    f"{error}: no installed provider opens {scheme}:// with a connection; install it, or use one of type "
                    f"{GENERIC!r} whose extra holds the options of fsspec"
                ) from None
        # What workers write must be seen at once.
        found.dircache.use_listings_cache = False
        for old in [known for known in _file_systems if known[:2] == key[:2]]:
            _file_systems.pop(old, None)
        _file_systems[key] = found
    return _file_systems[key]
