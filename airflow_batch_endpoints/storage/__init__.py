"""Files wherever they are: URIs and their limits, and the store a job directory lives in."""

from __future__ import annotations

from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import is_local, local_path


def open_store(uri: str) -> Store:
    """Return the store at a URI.

    :param uri: a normalised URI (see :func:`~airflow_batch_endpoints.storage.uris.normalise`).
    """
    # Imported where needed: fsspec costs a local job a fifth of a second in every process.
    if is_local(uri):
        from airflow_batch_endpoints.storage.local import LocalStore

        return LocalStore(local_path(uri))
    from airflow_batch_endpoints.storage.remote import RemoteStore

    return RemoteStore(uri)
