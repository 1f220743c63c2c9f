"""Create the tables of jobs and revisions.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
airflow_version = "3.3.0"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "batch_endpoints_job",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("dag_run_id", sa.Integer(), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("deployment", sa.String(250), nullable=True),
        sa.Column("deployment_revision", sa.String(64), nullable=True),
        sa.Column("invoker", sa.String(512), nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
        sa.Column("compute", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("input", sa.Text(), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("listed", sa.BigInteger(), nullable=True),
        sa.Column("succeeded", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("shards", sa.Integer(), nullable=True),
        sa.Column("shards_done", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("started_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("run_updated_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("refreshed_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="batch_endpoints_job_pkey"),
        sa.UniqueConstraint("endpoint", "name", name="batch_endpoints_job_endpoint_name_uq"),
    )
    op.create_index("idx_batch_endpoints_job_created", "batch_endpoints_job", ["created_at", "dag_run_id"])
    op.create_index("idx_batch_endpoints_job_endpoint", "batch_endpoints_job", ["endpoint", "created_at"])
    op.create_index("idx_batch_endpoints_job_state", "batch_endpoints_job", ["state", "created_at"])
    op.create_index("idx_batch_endpoints_job_settled", "batch_endpoints_job", ["is_settled"])
    op.create_index("idx_batch_endpoints_job_dag_run", "batch_endpoints_job", ["dag_run_id"])
    op.create_table(
        "batch_endpoints_revision",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("revision", sa.String(64), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("changed_by", sa.String(512), nullable=True),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="batch_endpoints_revision_pkey"),
    )
    op.create_index("idx_batch_endpoints_revision_key", "batch_endpoints_revision", ["key", "id"])
    op.create_table(
        "batch_endpoints_lock",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("taken_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="batch_endpoints_lock_pkey"),
    )


def downgrade() -> None:
    """Drop the tables. Jobs can be projected again from the runs that are left; revisions of documents are gone."""
    op.drop_table("batch_endpoints_lock")
    op.drop_table("batch_endpoints_revision")
    op.drop_table("batch_endpoints_job")
