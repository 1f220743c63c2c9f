"""Alembic's environment: our tables in Airflow's database, with a version table of our own."""

from __future__ import annotations

import contextlib
from logging import getLogger
from logging.config import fileConfig
from typing import Any

from airflow import settings
from alembic import context

from airflow_batch_endpoints.database.manager import VERSION_TABLE
from airflow_batch_endpoints.database.models import metadata

config = context.config
if not getLogger().handlers and config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def _include(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    return kind != "table" or name in metadata.tables


def run_migrations_offline() -> None:
    """Print the statements."""
    context.configure(
        url=settings.SQL_ALCHEMY_CONN,
        target_metadata=metadata,
        literal_binds=True,
        include_object=_include,
        render_as_batch=True,
        version_table=VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    """Run the statements."""
    with contextlib.ExitStack() as stack:
        connection = config.attributes.get("connection") or stack.enter_context(settings.get_engine().connect())
        context.configure(
            connection=connection,
            transaction_per_migration=True,
            target_metadata=metadata,
            include_object=_include,
            render_as_batch=True,
            version_table=VERSION_TABLE,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
