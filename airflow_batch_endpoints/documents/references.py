"""References, as Azure ML writes them: ``azureml:heart-data:3``, ``azureml:heart-data@latest``, ``azureml://datastores/lake/paths/raw``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

SCHEME = "azureml:"
LATEST = "latest"
MAX_NAME, MAX_VERSION = 128, 30
_NAME = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}"
_VERSION = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_VERSION - 1}}}"
_ASSET = re.compile(rf"azureml:(?P<name>{_NAME})(?::(?P<version>{_VERSION})|@(?P<label>{_VERSION}))\Z")
_WORKSPACE = r"azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
_IN_STORE = re.compile(rf"{_WORKSPACE}datastores/(?P<store>{_NAME})/paths/(?P<path>[^\0-\x1f\x7f]*)\Z")
_OF_WORKSPACE = re.compile(
    rf"{_WORKSPACE}(?:data|components|environments)/(?P<name>{_NAME})/versions/(?P<version>{_VERSION})\Z"
)
EXPECTED = (
    "azureml:<name>:<version>, azureml:<name>@latest or azureml://datastores/<store>/paths/<path>, such as "
    "azureml:heart-data@latest"
)


@dataclass(frozen=True)
class AssetReference:
    """A version of an asset, or the newest."""

    name: str
    version: str | None = None
    """``None`` for the newest."""

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}:{self.version}" if self.version else f"{SCHEME}{self.name}@{LATEST}"


@dataclass(frozen=True)
class StoreReference:
    """A place in a data store."""

    datastore: str
    path: str

    def __str__(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"


def is_reference(text: str) -> bool:
    """Tell whether a text refers to something that was applied, instead of saying where it is."""
    return text.startswith(SCHEME)


def parse(text: str) -> AssetReference | StoreReference:
    """Read a reference.

    :raises ValueError: when it is none; the message says what one looks like.
    """
    if text.startswith("azureml://registries/"):
        raise ValueError(
            "there are no registries here; apply the asset's document and name it as azureml:<name>:<version>"
        )
    if match := _IN_STORE.match(text):
        return StoreReference(match["store"], match["path"])
    match = _ASSET.match(text) or _OF_WORKSPACE.match(text)
    if match is None:
        raise ValueError(EXPECTED)
    if match.groupdict().get("label") not in (None, LATEST):
        raise ValueError(f"the label {match['label']!r} is not known, only @{LATEST} is")
    return AssetReference(match["name"], match["version"])


def asset(text: str) -> AssetReference:
    """Read a reference to an asset.

    :raises ValueError: when it is none.
    """
    found = parse(text)
    if not isinstance(found, AssetReference):
        raise ValueError("azureml:<name>:<version> or azureml:<name>@latest, not a place in a data store")
    return found


def _name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(
            f"a name: 1 to {MAX_NAME} letters, digits, '.', '_' and '-', not starting with one of those signs"
        )
    return value


def _version(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(_VERSION, text):
        raise ValueError(f"a version such as 3 or \"2024-01-31\": 1 to {MAX_VERSION} letters, digits, '.', '_' and '-'")
    if text == LATEST:
        raise ValueError("a version of its own; latest means the newest one")
    return text


AssetName = Annotated[str, AfterValidator(_name)]
"""Name of a data asset, an environment, a component or a data store."""
Version = Annotated[str, BeforeValidator(_version)]
"""Version of an asset, a number or a text."""
