"""What documents were: their revisions, and what changed from one to the next."""

from __future__ import annotations

import difflib
import json
from contextlib import suppress

import yaml

from airflow_batch_endpoints.database.models import RevisionRow
from airflow_batch_endpoints.database.session import open_session
from airflow_batch_endpoints.exceptions import DocumentError, NotFoundError
from airflow_batch_endpoints.registry import revisions
from airflow_batch_endpoints.registry.store import DocumentStore
from airflow_batch_endpoints.registry.stored import decode
from airflow_batch_endpoints.services.resources import Page, Revision


def page(store: DocumentStore, key: str, *, limit: int, offset: int) -> Page[Revision]:
    """Return what a document was, newest first, each with what changed since the one before.

    :param store: what it is now.
    :param key: of its Variable.
    :raises NotFoundError: there never was one.
    """
    _notice(store, key)
    with open_session() as session:
        # One more than asked for: the last one is compared with it.
        rows, total = revisions.page(session, key, limit=limit + 1, offset=offset)
        if not total:
            raise NotFoundError(f"nothing is known of {key}")
        items = [
            _revision(row, rows[number + 1] if number + 1 < len(rows) else None)
            for number, row in enumerate(rows[:limit])
        ]
    return Page(items=items, total=total, limit=limit, offset=offset)


def find(store: DocumentStore, key: str, revision: str) -> Revision:
    """Return what a document was at a revision. :raises NotFoundError: when that is not known."""
    _notice(store, key)
    with open_session() as session:
        row = revisions.find(session, key, revision)
        if row is None:
            raise NotFoundError(f"{key} never was revision {revision!r}; its revisions are listed")
        return _revision(row, None)


def _notice(store: DocumentStore, key: str) -> None:
    """Keep what is there now, in case that somebody changed it past us."""
    text = store.get(key)
    if text is None:
        return
    stored = None
    # One that cannot be read is part of its history: what it was before is what mends it.
    with suppress(DocumentError):
        stored = decode(key, text)
    with open_session() as session:
        revisions.notice(session, key, stored)


def _revision(row: RevisionRow, before: RevisionRow | None) -> Revision:
    document = None if row.document is None else json.loads(row.document)
    return Revision(
        number=row.id,
        revision=row.revision,
        change=row.change,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        document=document,
        diff=None if before is None or row.change == "unreadable" else _diff(before, row),
    )


def _diff(before: RevisionRow, after: RevisionRow) -> str:
    old, new = (
        [] if row.document is None else yaml.safe_dump(json.loads(row.document), sort_keys=False).splitlines()
        for row in (before, after)
    )
    return "\n".join(
        difflib.unified_diff(old, new, before.revision or "nothing", after.revision or "nothing", lineterm="")
    )
