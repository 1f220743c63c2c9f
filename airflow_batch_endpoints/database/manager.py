"""What ``airflow db migrate`` calls: Airflow finds it by the ``db-managers`` of the provider metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.utils.db_manager import BaseDBManager
from alembic import command

from airflow_batch_endpoints.database.models import metadata

_FOLDER = Path(__file__).parent
HEAD = "0001"
VERSION_TABLE = "alembic_version_batch_endpoints"


class BatchEndpointsDBManager(BaseDBManager):
    """Creates and changes the tables of batch endpoints."""

    metadata = metadata
    version_table_name = VERSION_TABLE
    migration_dir = str(_FOLDER / "migrations")
    alembic_file = str(_FOLDER / "alembic.ini")
    supports_table_dropping = True
    revision_heads_map = {"0.1.0": HEAD}  # noqa: RUF012 - as in the base

    def downgrade(self, to_revision: str, from_revision: str | None = None, show_sql_only: bool = False) -> Any:
        """Go back to an older schema; what the newer tables held is lost.

        :param to_revision: number of the revision, or ``base`` to remove the tables.
        :param from_revision: with ``show_sql_only``, where to start from.
        :param show_sql_only: print the statements instead of running them.
        """
        self._release_metadata_locks_if_needed()
        target = f"{from_revision}:{to_revision}" if show_sql_only and from_revision else to_revision
        config = self.get_alembic_config()  # type: ignore[no-untyped-call]
        command.downgrade(config, revision=target, sql=show_sql_only)
