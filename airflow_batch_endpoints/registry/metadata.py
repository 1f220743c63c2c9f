"""The store of processes that may use Airflow's database: CLI and API server. Writes are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from airflow.models.variable import Variable
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.database.session import open_session, take_lock
from airflow_batch_endpoints.registry.store import check_expected

Changes = Mapping[str, str | None]


class MetadataStore:
    """Implements :class:`~airflow_batch_endpoints.registry.store.DocumentStore` on Variables in the metadata database.

    :param on_write: called with the session and the changes of every write, before it is committed.
    """

    def __init__(self, on_write: Callable[[Session, Changes], object] | None = None) -> None:
        self._on_write = on_write

    def get(self, key: str) -> str | None:
        """Return a value."""
        return self.get_all([key]).get(key)

    def get_all(self, keys: Collection[str]) -> dict[str, str]:
        """Return the values of those keys that are there, with one query."""
        with open_session() as session:
            return _values(session, keys)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that start with a prefix."""
        with open_session() as session:
            return sorted(session.scalars(select(Variable.key).where(Variable.key.startswith(prefix, autoescape=True))))

    def write(self, changes: Changes, expected: Mapping[str, str | None]) -> None:
        """Set and delete values in one transaction that first compares; writers go one after another."""
        with open_session() as session:
            take_lock(session, "documents")
            found = _values(session, expected)
            check_expected({key: found.get(key) for key in expected}, expected)
            for key, value in changes.items():
                if value is None:
                    Variable.delete(key, session=session)
                else:
                    Variable.set(key, value, session=session)
            if self._on_write is not None:
                self._on_write(session, changes)


def _values(session: Session, keys: Collection[str]) -> dict[str, str]:
    found = {row.key: row.get_val() for row in session.scalars(select(Variable).where(Variable.key.in_(keys)))}
    return {key: value for key, value in found.items() if value is not None}
