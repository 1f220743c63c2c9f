"""Sessions of the metadata database: short, and with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from typing import Any, cast

from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import get_dialect_name
from sqlalchemy import Insert, Table, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from airflow_batch_endpoints.database.models import Base, LockRow
from airflow_batch_endpoints.exceptions import ConflictError, InfrastructureError


@contextmanager
def open_session() -> Iterator[Session]:
    """Open a session that commits at the end.

    It is never the session of the thread: what is called within may open and close that one.

    :raises InfrastructureError: the database does not answer, is busy, or lacks our tables.
    :raises ConflictError: somebody else has just written the same.
    """
    try:
        with create_session(scoped=False) as session:
            yield session
    except IntegrityError as error:
        raise ConflictError("somebody else has just written the same; look at it again and repeat") from error
    except (ProgrammingError, OperationalError) as error:
        if "batch_endpoints_" in str(error.orig):
            raise InfrastructureError("the tables of batch endpoints are not there; run: airflow db migrate") from error
        raise InfrastructureError(f"the metadata database: {_first_line(error)}; try again") from error
    except PoolTimeoutError as error:
        raise InfrastructureError("too many requests wait for the metadata database; try again") from error


def _first_line(error: SQLAlchemyError) -> str:
    return (str(getattr(error, "orig", None) or error).splitlines() or ["no answer"])[0]


def begin_write(session: Session) -> None:
    """Say that a session will write, before it reads.

    SQLite refuses at once, without waiting, a transaction that has read and then wants to write while another one does.
    """
    if get_dialect_name(session) == "sqlite":
        session.execute(text("BEGIN IMMEDIATE"))


def upsert(session: Session, model: type[Base], keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; where one with these keys is there, update it.

    One statement for a row, executed with many: one that has all their values in it takes longer to compile than to execute.

    :param keys: the columns of a unique constraint. Rows are written in their order: two writers never wait for each other.
    """
    if not rows:
        return
    session.execute(
        upsert_statement(get_dialect_name(session), model, tuple(keys), tuple(rows[0])),
        sorted(rows, key=itemgetter(*keys)),
    )


@cache
def upsert_statement(dialect: str | None, model: type[Base], keys: tuple[str, ...], columns: tuple[str, ...]) -> Insert:
    """Return the statement for one row; of these keys and columns always the same one, so that it is compiled once."""
    table, changed = cast("Table", model.__table__), [name for name in columns if name not in keys]
    if dialect == "mysql":
        from sqlalchemy.dialects.mysql import insert as mysql_insert

        into = mysql_insert(table)
        return into.on_duplicate_key_update({name: into.inserted[name] for name in changed})
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in changed}
    )


def take_lock(session: Session, name: str) -> None:
    """Let writers of one kind go one after another, until the session ends.

    A write and not a ``SELECT ... FOR UPDATE``: SQLite has no row locks, and would let two writers read first.
    """
    upsert(session, LockRow, ["name"], [{"name": name, "taken_at": datetime.now(UTC)}])
