"""Where documents are kept: the few operations the registry needs, and what each implementation promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from airflow_batch_endpoints.exceptions import ConflictError

PREFIX = "batch_endpoints."


class LostRaceError(ConflictError):
    """Somebody wrote between a change's reading and its writing."""


class DocumentStore(Protocol):
    """Text by key. Keys start with :data:`PREFIX`."""

    def get(self, key: str) -> str | None:
        """Return a value, ``None`` when there is none."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that start with a prefix, sorted."""
        ...

    def write(self, changes: Mapping[str, str | None], expected: Mapping[str, str | None]) -> None:
        """Set and delete (``None``) values, all or none where the implementation can.

        :param expected: values that must still be there as they were read; a difference means that somebody was faster.
        :raises LostRaceError: when they are not.
        """
        ...


class MemoryStore:
    """A store in this process, for tests and for looking at documents without an Airflow."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """Return a value."""
        return self._values.get(key)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that start with a prefix."""
        return sorted(key for key in self._values if key.startswith(prefix))

    def write(self, changes: Mapping[str, str | None], expected: Mapping[str, str | None]) -> None:
        """Set and delete values, all or none."""
        check_expected({key: self._values.get(key) for key in expected}, expected)
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value


def check_expected(found: Mapping[str, str | None], expected: Mapping[str, str | None]) -> None:
    """Refuse to write over what somebody else has changed.

    :raises LostRaceError: naming the first document that differs.
    """
    for key, value in expected.items():
        if found[key] != value:
            raise LostRaceError(
                f"{key.removeprefix(PREFIX)} was changed by somebody else meanwhile; look at it again (show) and repeat"
            )
