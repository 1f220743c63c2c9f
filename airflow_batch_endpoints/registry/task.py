"""The store of tasks, triggers and DAG files: Variables through Airflow's Task SDK, without any database."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import Variable

from airflow_batch_endpoints.registry.store import check_expected


class TaskStore:
    """Implements :class:`~airflow_batch_endpoints.registry.store.DocumentStore` over the Execution API.

    The API has no compare-and-set, so between the comparison and the write somebody else may still write: then the last
    write wins. Values are written one by one.
    """

    def get(self, key: str) -> str | None:
        """Return a value."""
        value = Variable.get(key, default=None)
        return None if value is None else str(value)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that start with a prefix."""
        return sorted(Variable.keys(prefix=prefix))

    def write(self, changes: Mapping[str, str | None], expected: Mapping[str, str | None]) -> None:
        """Set and delete values, one after another."""
        check_expected({key: self.get(key) for key in expected}, expected)
        for key, value in changes.items():
            if value is None:
                Variable.delete(key)
            else:
                Variable.set(key, value)
