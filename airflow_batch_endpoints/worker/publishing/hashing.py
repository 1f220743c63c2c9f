"""Files that are counted and hashed on their way out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from airflow_batch_endpoints.storage.store import Store


class Hashing:
    """A binary file that counts and hashes what goes through it."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Write, count and hash."""
        view = memoryview(data)
        self._target.write(view)
        self._digest.update(view)
        self.bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Flush what is underneath."""
        self._target.flush()

    def writable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def tell(self) -> int:
        """Return how much was written."""
        return self.bytes

    def close(self) -> None:
        """Say that all is written; what is underneath stays open."""
        self.closed = True

    @property
    def digest(self) -> str:
        """SHA-256 of what was written."""
        return self._digest.hexdigest()

    def described(self, name: str, rows: int | None) -> dict[str, Any]:
        """Return what the manifest says of the file."""
        return {"name": name, "rows": rows, "bytes": self.bytes, "sha256": self.digest}


@contextmanager
def hashing(store: Store, key: str) -> Iterator[Hashing]:
    """Stream an object to a store, counted and hashed."""
    with store.writer(key) as target:
        yield Hashing(target)
