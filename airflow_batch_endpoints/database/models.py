"""The tables. They have a MetaData of their own, so that Airflow's migrations and ours never touch each other's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.models.base import _get_schema, naming_convention
from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import JSON, BigInteger, Boolean, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

metadata = MetaData(schema=_get_schema(), naming_convention=naming_convention)
NAME = 250
"""Characters of a name: what Airflow allows ids to have."""


class Base(DeclarativeBase):
    """Base of our tables."""

    metadata = metadata


class JobRow(Base):
    """A job: what its DAG run and XComs said when it was last looked at. Rows outlive their runs."""

    __tablename__ = "batch_endpoints_job"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    endpoint: Mapped[str] = mapped_column(String(NAME))
    name: Mapped[str] = mapped_column(String(NAME))
    """The run id."""
    dag_run_id: Mapped[int] = mapped_column(Integer)
    submission: Mapped[int] = mapped_column(Integer)
    """How often the run has been cleared."""
    deployment: Mapped[str | None] = mapped_column(String(NAME))
    deployment_revision: Mapped[str | None] = mapped_column(String(64))
    invoker: Mapped[str | None] = mapped_column(String(512))
    state: Mapped[str] = mapped_column(String(32))
    is_settled: Mapped[bool] = mapped_column(Boolean)
    """Whether nothing more is expected: more than that the state is final, for tasks may still have something to say."""
    compute: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    input: Mapped[str | None] = mapped_column(Text)
    output: Mapped[str | None] = mapped_column(Text)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Parameters of the run."""
    listed: Mapped[int | None] = mapped_column(BigInteger)
    succeeded: Mapped[int | None] = mapped_column(BigInteger)
    failed: Mapped[int | None] = mapped_column(BigInteger)
    rows: Mapped[int | None] = mapped_column(BigInteger)
    shards: Mapped[int | None] = mapped_column(Integer)
    shards_done: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime(timezone=True))
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime(timezone=True))
    run_updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime(timezone=True))
    """When the run had last changed; another time there now means that this row is out of date."""
    refreshed_at: Mapped[datetime] = mapped_column(UtcDateTime(timezone=True))

    __table_args__ = (
        UniqueConstraint("endpoint", "name", name="batch_endpoints_job_endpoint_name_uq"),
        Index("idx_batch_endpoints_job_created", "created_at", "dag_run_id"),
        Index("idx_batch_endpoints_job_endpoint", "endpoint", "created_at"),
        Index("idx_batch_endpoints_job_state", "state", "created_at"),
        Index("idx_batch_endpoints_job_settled", "is_settled"),
        Index("idx_batch_endpoints_job_dag_run", "dag_run_id"),
    )

    def seconds(self, now: datetime | None = None) -> float | None:
        """Return how long the job ran, or has been running until now."""
        end = self.ended_at or now
        return None if self.started_at is None or end is None else round((end - self.started_at).total_seconds(), 1)


class RevisionRow(Base):
    """What a document was at one time: a table of record, nothing in it is ever changed."""

    __tablename__ = "batch_endpoints_revision"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(NAME))
    """Of the document's Variable."""
    revision: Mapped[str | None] = mapped_column(String(64))
    """Digest of the content; empty for a deletion and for what cannot be read."""
    document: Mapped[str | None] = mapped_column(Text)
    """The content as JSON."""
    change: Mapped[str] = mapped_column(String(16))
    """``created``, ``updated``, ``deleted``, or ``found``: changed by a task or by hand, and noticed later; ``unreadable`` if
    it cannot be read since."""
    changed_by: Mapped[str | None] = mapped_column(String(512))
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime(timezone=True))

    __table_args__ = (Index("idx_batch_endpoints_revision_key", "key", "id"),)


class LockRow(Base):
    """What writers of documents touch first, so that they go one after another."""

    __tablename__ = "batch_endpoints_lock"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime(timezone=True))
