"""Translates between Azure's resources and documents by a table: which field of the one is which field of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_batch_endpoints.azure.ids import Workspace
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.validation import shown, validate
from airflow_batch_endpoints.exceptions import DocumentError, Problem

Model = TypeVar("Model", bound=Document)

SOURCE = "body"
_ENVELOPE = ("id", "name", "type", "location", "kind", "sku", "systemData")
"""What Azure asks for, or what a client sends back as it got it; it changes nothing here."""


def _same(value: Any) -> Any:
    return value


def _told(value: Any, _: Workspace) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """One field on both sides."""

    theirs: str
    """Dotted path in Azure's resource; a client may write it in any case."""
    ours: str
    """Dotted path in the document."""
    read: Callable[[Any], Any] = _same
    """From their value to ours. :raises ValueError: saying what was found and what is expected."""
    write: Callable[[Any, Workspace], Any] = _told
    """From our value to theirs; ``None`` for one that they have no words for."""


@dataclass
class Found:
    """What a resource says, in the document's words."""

    values: dict[str, Any] = field(default_factory=dict)
    """By dotted path in the document."""
    places: dict[str, str] = field(default_factory=dict)
    """Where each stands in the resource."""

    def document(self, kind: type[Model], **names: str) -> Model:
        """Return the document.

        :param names: what the path of the request says.
        :raises DocumentError: with every problem, by the names that the client knows.
        """
        try:
            return validate(kind, {**nested(self.values), **names}, SOURCE)
        except DocumentError as error:
            raise DocumentError([self._placed(problem) for problem in error.problems]) from None

    def _placed(self, problem: Problem) -> Problem:
        path, rest = problem.field, ""
        while path not in self.places and "." in path:
            path, _, last = path.rpartition(".")
            rest = f".{last}{rest}"
        place = self.places.get(path)
        return problem if place is None else Problem(problem.source, place + rest, problem.message)


@dataclass(frozen=True)
class Table:
    """The fields of one kind of resource."""

    fields: Sequence[Field]
    ignored: Sequence[str] = ()
    """Further paths that change nothing here."""

    def read(self, resource: Any) -> Found:
        """Read a resource.

        :raises DocumentError: with every field that is none of these, or holds something else.
        """
        found, problems = Found(), []
        known = {entry.theirs.lower(): entry for entry in self.fields}
        ignored = {name.lower() for name in (*_ENVELOPE, *self.ignored)}
        for place, value in _leaves(resource, _objects(entry.theirs for entry in self.fields)):
            name = place.lower()
            entry = known.get(name)
            if value is None or name in ignored:
                continue
            if entry is None:
                problems.append(Problem(SOURCE, place or "(body)", self._unknown(place, value)))
            elif entry.ours in found.values:
                problems.append(Problem(SOURCE, place, "stands twice, in different case; keep one of the two"))
            else:
                try:
                    found.values[entry.ours], found.places[entry.ours] = entry.read(value), place
                except ValueError as error:
                    problems.append(Problem(SOURCE, place, str(error)))
        if problems:
            raise DocumentError(problems)
        return found

    def _unknown(self, place: str, value: Any) -> str:
        if not place or place.lower() in _objects(entry.theirs for entry in self.fields):
            return f"found {shown(value)}, expected fields and values"
        return f"no such field; known are {', '.join(entry.theirs for entry in self.fields)}"

    def write(self, document: Document, workspace: Workspace) -> dict[str, Any]:
        """Return a document as a resource, as far as that has words for it."""
        content = document.model_dump(mode="json", by_alias=True)
        written = {}
        for entry in self.fields:
            value = at(content, entry.ours)
            if value is not None and (told := entry.write(value, workspace)) is not None:
                written[entry.theirs] = told
        return nested(written)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted paths as objects in objects."""
    content: dict[str, Any] = {}
    for path, value in values.items():
        *folders, name = path.split(".")
        inner = content
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = value
    return content


def at(content: Any, path: str) -> Any:
    """Return what stands at a dotted path, ``None`` when nothing does."""
    for name in path.split("."):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def _objects(paths: Iterator[str] | Sequence[str]) -> set[str]:
    """Return the paths of the objects that fields stand in, in lower case."""
    found = set()
    for path in paths:
        parts = path.lower().split(".")
        found |= {".".join(parts[:length]) for length in range(1, len(parts))}
    return found


def _leaves(data: Any, objects: set[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field with its path, going into those that are known to be objects."""
    if not isinstance(data, Mapping):
        yield path, data
        return
    for name, value in data.items():
        place = f"{path}.{name}" if path else str(name)
        if place.lower() in objects and value is not None:
            yield from _leaves(value, objects, place)
        else:
            yield place, value
