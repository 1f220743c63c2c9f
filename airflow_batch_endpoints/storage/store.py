"""The store a job directory lives in: the few operations the ledger is built on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import BinaryIO, Protocol


class Store(Protocol):
    """A directory of objects. Keys are relative, separated by ``/``.

    Every method raises :class:`~airflow_batch_endpoints.exceptions.InfrastructureError` when the store does not
    answer after retries with backoff. A missing object is an answer.
    """

    def create(self, key: str, content: bytes) -> bool:
        """Create an object unless it exists, atomically.

        :param content: not empty (some stores overwrite when asked to create an empty object), and unique to the
            caller: when a response was lost, reading the object back tells who won.
        :return: whether the object now there is this caller's.
        """
        ...

    def write(self, key: str, content: bytes) -> None:
        """Write an object whole, replacing what is there; a reader sees the old or the new one, never a part."""
        ...

    def read(self, key: str) -> bytes | None:
        """Return an object's content, or ``None`` when there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Return the keys directly below the folder ``prefix``, sorted; empty when there is no such folder."""
        ...

    def times(self, prefix: str) -> dict[str, datetime | None]:
        """Return the keys directly below the folder ``prefix`` with when each was last written, by the store's clock.

        Folders, and objects of stores that do not say, have ``None``. For people who look, never for a decision.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete an object, or a folder with all that is in it. Missing is fine."""
        ...

    def writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Stream an object: it appears whole when the context ends well, and not at all when it raises."""
        ...

    def reader(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Stream an object's content; ``FileNotFoundError`` when there is none."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Make ``target`` the same object as ``source`` without moving its content through here; replaces what is there.

        :raises FileNotFoundError: there is no such object.
        """
        ...

    def walk(self, prefix: str) -> Iterator[str]:
        """Yield the keys of every object below the folder ``prefix``, at any depth."""
        ...
