"""A document as it is kept, and what a writer expects of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_batch_endpoints.documents.base import Document, digest
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.exceptions import DocumentError, Problem, StaleError


@dataclass(frozen=True)
class Stored:
    """A document as it is kept."""

    document: Document
    revision: str
    updated_at: str
    updated_by: str | None


@dataclass(frozen=True)
class Expected:
    """What a document must be before it is changed, for writers that have looked at it."""

    revisions: tuple[str, ...] | None = None
    """One of these; ``None`` for any."""
    exists: bool | None = None
    """Whether it must be there, or must not; ``None`` for either."""

    def check(self, what: str, found: str | None) -> None:
        """Refuse a document that is something else.

        :param found: its revision; ``None`` when there is none.
        :raises StaleError: naming what was found.
        """
        if self.exists is False and found is not None:
            raise StaleError(f"{what} exists already, with revision {found}")
        if (self.exists or self.revisions is not None) and found is None:
            raise StaleError(f"{what} does not exist, or cannot be read")
        if self.revisions is not None and found not in self.revisions:
            raise StaleError(
                f"{what} has revision {found}, expected {' or '.join(self.revisions)}: somebody has changed it meanwhile; look "
                "at it again and repeat"
            )


ANYTHING = Expected()


def encode(document: Document, *, now: datetime, user: str | None) -> str:
    """Return a document as it is kept.

    :param user: who changes it.
    """
    return json.dumps(
        {
            "document": document.model_dump(mode="json", by_alias=True),
            "revision": digest(document),
            "updated_at": now.isoformat(timespec="seconds"),
            "updated_by": user,
        }
    )


def decode(key: str, text: str, kind: Any = Document) -> Stored:
    """Return a document from its Variable.

    :raises DocumentError: when it cannot be read, or is of another kind.
    """
    source = f"Variable {key}"
    try:
        stored = json.loads(text)
        data = stored["document"]
    except (ValueError, KeyError, TypeError):
        raise DocumentError(
            [
                Problem(
                    source,
                    "(document)",
                    "is not what the registry writes; apply the document again, or delete the Variable",
                )
            ]
        ) from None
    document = from_data(data, source)
    if not isinstance(document, kind):
        raise DocumentError([Problem(source, "type", f"is a {type(document).__name__}; apply the document again")])
    # The digest of what is there, not the one that was written with it: a Variable can be edited by hand.
    return Stored(document, digest(document), str(stored.get("updated_at", "")), stored.get("updated_by"))


def require(read: Callable[..., object], *name: str) -> None:
    """Refuse to delete what is not there. What is there and cannot be read can be deleted: that is one way to mend it.

    :param read: reads what is named.
    :raises NotFoundError: naming what there is.
    """
    with suppress(DocumentError):
        read(*name)
