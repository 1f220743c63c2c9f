"""Reading parts of input files, local or in any store that fsspec knows."""

from __future__ import annotations

from typing import Any

from airflow_batch_endpoints.storage.uris import is_local, local_path


def open_input(uri: str) -> Any:
    """Open a file for reading at any position; a binary file, to be closed.

    :raises OSError: it is not there or cannot be read.
    """
    if is_local(uri):
        return open(local_path(uri), "rb")
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, path = file_system(uri)
    return retrying(f"opening {uri}", lambda: fs.open(path, "rb"))


def read_range(uri: str, start: int, end: int) -> bytes:
    """Return some bytes of a file: fewer when it is shorter.

    :raises OSError: it is not there or cannot be read.
    """
    if is_local(uri):
        with open(local_path(uri), "rb") as file:
            file.seek(start)
            return file.read(end - start)
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, path = file_system(uri)
    content: bytes = retrying(f"reading {uri}", lambda: fs.cat_file(path, start=start, end=end))
    return content


def size_of(uri: str) -> int:
    """Return the size of a file now, in bytes."""
    if is_local(uri):
        import os

        return os.stat(local_path(uri)).st_size
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, path = file_system(uri)
    return int(retrying(f"asking for {uri}", lambda: fs.info(path))["size"])
