"""A store on any file system that fsspec knows: S3, Google Cloud Storage, Azure Data Lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO

import fsspec

from airflow_batch_endpoints.exceptions import InfrastructureError, UserError
from airflow_batch_endpoints.storage.retries import retrying
from airflow_batch_endpoints.storage.uris import shown

_MODIFIED = ("LastModified", "last_modified", "mtime", "updated")
"""How the file systems call the time an object was last written."""


def file_system(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URI, without its caches of listings, and the path in it.

    :raises UserError: when the library for the scheme is not installed.
    """
    try:
        return fsspec.core.url_to_fs(uri, use_listings_cache=False)  # type: ignore[no-any-return]
    except ImportError as error:
        raise UserError(f"{shown(uri)} cannot be opened: {error}") from error


class RemoteStore:
    """Implements :class:`~airflow_batch_endpoints.storage.store.Store` on an object store.

    :param uri: of the folder.
    :param fs: the fsspec file system to use, which must not cache listings; by default, one with the access that the
        environment gives.
    """

    def __init__(self, uri: str, fs: Any = None) -> None:
        self._fs, root = file_system(uri) if fs is None else (fs, fs._strip_protocol(uri))
        self._root = root.rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def create(self, key: str, content: bytes) -> bool:
        """Create an object by a conditional request; when it is refused, reading back tells whether it was ours."""
        path = self._path(key)

        def attempt() -> bool:
            try:
                self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return self.read(key) == content
            return True

        return retrying(f"creating {path}", attempt)

    def write(self, key: str, content: bytes) -> None:
        """Write an object whole: one request."""
        path = self._path(key)
        retrying(f"writing {path}", lambda: self._fs.pipe_file(path, content))

    def read(self, key: str) -> bytes | None:
        """Return an object's content."""
        path = self._path(key)
        try:
            content: bytes = retrying(f"reading {path}", lambda: self._fs.cat_file(path))
        except FileNotFoundError:
            return None
        return content

    def list(self, prefix: str) -> list[str]:
        """Return the keys directly below a folder."""
        return sorted(key for key, _ in self._entries(prefix))

    def times(self, prefix: str) -> dict[str, datetime | None]:
        """Return the keys directly below a folder with when each was last written."""
        return {
            key: next((entry[name] for name in _MODIFIED if isinstance(entry.get(name), datetime)), None)
            for key, entry in self._entries(prefix)
        }

    def _entries(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        path = self._path(prefix)
        try:
            found = retrying(f"listing {path}", lambda: self._fs.ls(path, detail=True))
        except FileNotFoundError:
            return
        for entry in found:
            name = entry["name"].rstrip("/")
            if name != path:
                name = name.rsplit("/", 1)[-1]
                yield (f"{prefix}/{name}" if prefix else name), entry

    def delete(self, key: str) -> None:
        """Delete an object or a folder."""
        path = self._path(key)
        try:
            retrying(f"deleting {path}", lambda: self._fs.rm(path, recursive=True))
        except FileNotFoundError:
            return

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        """Stream an object; an upload that is not ended well is discarded by the store."""
        path = self._path(key)
        file = retrying(f"writing {path}", lambda: self._fs.open(path, "wb"))
        try:
            yield file
        except BaseException:
            file.discard()
            file.closed = True  # or its destructor would try to finish the upload
            raise
        try:
            file.close()
        except OSError as error:
            raise InfrastructureError(f"writing {path}: {error}") from error

    @contextmanager
    def reader(self, key: str) -> Iterator[BinaryIO]:
        """Stream an object's content."""
        path = self._path(key)
        with retrying(f"reading {path}", lambda: self._fs.open(path, "rb")) as file:
            yield file

    def copy(self, source: str, target: str) -> None:
        """Have the store copy an object."""
        path = self._path(target)
        retrying(f"writing {path}", lambda: self._fs.cp_file(self._path(source), path))

    def walk(self, prefix: str) -> Iterator[str]:
        """Yield every key below a folder."""
        path = self._path(prefix)
        for name in sorted(retrying(f"listing {path}", lambda: self._fs.find(path))):
            yield name.removeprefix(f"{self._root}/")
