"""The store of processes that may use Airflow's database: CLI and API server. Writes are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.registry.store import check_expected


class MetadataStore:
    """Implements :class:`~airflow_batch_endpoints.registry.store.DocumentStore` on Variables in the metadata database.

    :param on_write: called with the session of every write, before it is committed.
    """

    def __init__(self, on_write: Callable[[Session], object] | None = None) -> None:
        self._on_write = on_write

    def get(self, key: str) -> str | None:
        """Return a value."""
        with create_session() as session:
            return self._get(session, key)

    @staticmethod
    def _get(session: Session, key: str) -> str | None:
        row = session.scalar(select(Variable).where(Variable.key == key))
        return None if row is None else row.get_val()

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that start with a prefix."""
        with create_session() as session:
            return sorted(session.scalars(select(Variable.key).where(Variable.key.startswith(prefix, autoescape=True))))

    def write(self, changes: Mapping[str, str | None], expected: Mapping[str, str | None]) -> None:
        """Set and delete values in one transaction that first compares."""
        with create_session() as session:
            check_expected({key: self._get(session, key) for key in expected}, expected)
            for key, value in changes.items():
                if value is None:
                    Variable.delete(key, session=session)
                else:
                    Variable.set(key, value, session=session)
            if self._on_write is not None:
                self._on_write(session)
