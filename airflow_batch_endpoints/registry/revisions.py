"""Revisions: what documents were, who changed them when. A table of record, written with every change and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.database.models import RevisionRow
from airflow_batch_endpoints.registry import versions
from airflow_batch_endpoints.registry.keys import INDEX
from airflow_batch_endpoints.registry.stored import Stored

Change = Literal["created", "updated", "deleted", "found", "unreadable"]


def record(session: Session, changes: Mapping[str, str | None], *, user: str | None) -> None:
    """Keep what a write makes of documents.

    :param changes: as the registry writes them.
    """
    now = datetime.now(UTC)
    for key, text in changes.items():
        if key == INDEX or versions.is_list(key):
            continue
        if text is None:
            session.add(RevisionRow(key=key, change="deleted", changed_by=user, changed_at=now))
            continue
        content = json.loads(text)
        before = newest(session, key)
        session.add(
            RevisionRow(
                key=key,
                revision=content["revision"],
                document=json.dumps(content["document"]),
                change="created" if before is None or before.change == "deleted" else "updated",
                changed_by=user,
                changed_at=now,
            )
        )


def notice(session: Session, key: str, stored: Stored | None) -> None:
    """Keep a document that is not what was kept last: a task wrote it, which cannot use the database, or somebody by hand.

    :param stored: ``None`` for one that cannot be read, of which that is kept.
    """
    before = newest(session, key)
    row = RevisionRow(key=key, change="unreadable", changed_at=datetime.now(UTC))
    if stored is not None:
        row.change, row.revision, row.changed_by = "found", stored.revision, stored.updated_by
        row.document = json.dumps(stored.document.model_dump(mode="json", by_alias=True))
    if before is None or before.revision != row.revision or (stored is None and before.change != row.change):
        session.add(row)


def newest(session: Session, key: str) -> RevisionRow | None:
    """Return the newest revision of a document, which may be its deletion."""
    query = select(RevisionRow).where(RevisionRow.key == key).order_by(RevisionRow.id.desc()).limit(1)
    return session.scalar(query)


def page(session: Session, key: str, *, limit: int, offset: int) -> tuple[list[RevisionRow], int]:
    """Return revisions of a document, newest first, and how many there are."""
    query = select(RevisionRow).where(RevisionRow.key == key).order_by(RevisionRow.id.desc())
    total = session.scalar(select(func.count()).select_from(RevisionRow).where(RevisionRow.key == key)) or 0
    return list(session.scalars(query.limit(limit).offset(offset))), total


def find(session: Session, key: str, revision: str) -> RevisionRow | None:
    """Return a document as it was at a revision."""
    query = select(RevisionRow).where(RevisionRow.key == key, RevisionRow.revision == revision)
    return session.scalar(query.order_by(RevisionRow.id.desc()).limit(1))
