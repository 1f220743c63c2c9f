"""Versions of assets: a list of them under the asset's name, and each under a key of its own, whose content never changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_batch_endpoints.documents.assets import AssetKind, DataAsset, EnvironmentAsset, VersionedAsset
from airflow_batch_endpoints.documents.base import Document, digest
from airflow_batch_endpoints.exceptions import ConflictError, DocumentError, Problem
from airflow_batch_endpoints.registry.store import PREFIX

if TYPE_CHECKING:
    from airflow_batch_endpoints.registry.change import Change

KINDS: tuple[AssetKind, ...] = get_args(AssetKind)
_NOTES = {"version", "description", "tags", "properties"}
"""What may be said of a version later: it changes nothing of what a job gets."""
Result = Literal["created", "updated", "unchanged"]


class Versions(BaseModel):
    """Which versions of an asset there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions: tuple[str, ...] = ()
    """In the order in which they were made."""
    archived: tuple[str, ...] = ()
    """Those that are never the newest, and only found by their number."""
    next: int = 1
    """The number of the next version; no number is given twice."""

    @property
    def latest(self) -> str | None:
        """The newest version that is not archived."""
        return next((version for version in reversed(self.versions) if version not in self.archived), None)

    def with_version(self, version: str) -> Versions:
        """Return the list with one more."""
        number = int(version) + 1 if version.isdecimal() else 1
        return self._changed(versions=(*self.versions, version), next=max(self.next, number))

    def without(self, version: str) -> Versions:
        """Return the list with one less."""
        return self._changed(
            versions=tuple(each for each in self.versions if each != version),
            archived=tuple(each for each in self.archived if each != version),
        )

    def with_archived(self, version: str, is_archived: bool) -> Versions:
        """Return the list with a version archived, or not any more."""
        archived = {*self.archived, version} if is_archived else {*self.archived} - {version}
        return self._changed(archived=tuple(each for each in self.versions if each in archived))

    def _changed(self, **changes: Any) -> Versions:
        return self.model_copy(update=changes)


def kind_of(document: VersionedAsset) -> AssetKind:
    """Return what an asset is called."""
    if isinstance(document, DataAsset):
        return "data"
    return "environment" if isinstance(document, EnvironmentAsset) else "component"


def list_key(kind: str, name: str) -> str:
    """Return the Variable that lists the versions of an asset."""
    return f"{PREFIX}{kind}.{name}"


def version_key(kind: str, name: str, version: str) -> str:
    """Return the Variable that holds a version of an asset."""
    return f"{list_key(kind, name)}:{version}"


def split(key: str) -> tuple[AssetKind, str, str | None] | None:
    """Return what asset a Variable is of: kind, name and version, without a version for its list; ``None`` for none."""
    kind, _, rest = key.removeprefix(PREFIX).partition(".")
    if kind not in KINDS or not rest:
        return None
    name, _, version = rest.partition(":")
    return kind, name, version or None


def is_list(key: str) -> bool:
    """Tell whether a Variable lists versions, and so holds no document."""
    found = split(key)
    return found is not None and found[2] is None


def decode(key: str, text: str | None) -> Versions:
    """Return a list of versions; an empty one when there is none.

    :raises DocumentError: when it cannot be read.
    """
    if text is None:
        return Versions()
    try:
        return Versions.model_validate_json(text)
    except ValidationError:
        message = "is not what the registry writes; restore the Variable, or delete it with those of the versions"
        raise DocumentError([Problem(f"Variable {key}", "(document)", message)]) from None


def put(change: Change, document: VersionedAsset) -> tuple[Result, VersionedAsset]:
    """Add a version, unless it is there.

    :return: what was done, and the document with its version.
    :raises ConflictError: the version is there, with another content.
    """
    kind, name = kind_of(document), document.name
    if name is None:
        raise DocumentError([Problem(kind, "name", "missing; it is required")])
    versions = change.versions(kind, name)
    version = document.version
    if version is None:
        latest = versions.latest
        is_known = latest is not None and _content(change.read(version_key(kind, name, latest))) == _content(document)
        version = latest if latest is not None and is_known else str(versions.next)
    document = document.model_copy(update={"version": version})
    key = version_key(kind, name, version)
    if version not in versions.versions:
        change.set(key, document)
        change.set_versions(kind, name, versions.with_version(version))
        return "created", document
    before = change.read(key)
    if _content(before) != _content(document):
        raise ConflictError(
            f"{kind} {name}:{version} is there with another content, and versions do not change; give another version, or leave "
            f"the version out for the next one ({versions.next})"
        )
    if before is not None and digest(before) == digest(document):
        return "unchanged", document
    change.set(key, document)
    return "updated", document


def _content(document: Document | None) -> str:
    if document is None:
        return ""
    return json.dumps(document.model_dump(mode="json", exclude=_NOTES), sort_keys=True)
