"""What all documents have in common."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Part(BaseModel):
    """A part of a document: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False, hide_input_in_errors=False)


class Document(Part):
    """A document as people write it."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True, repr=False)
    """Help for editors; ignored."""


def digest(document: Document) -> str:
    """Return the revision of a document: a digest of its content, defaults included."""
    content = json.dumps(document.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _whole(value: Any) -> Any:
    # Python takes True for 1 and YAML reads "yes" as True: neither is a count.
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number written as one: not a float, not a text, not ``yes``."""

Tags = dict[str, str]
