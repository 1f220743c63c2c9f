"""References, as Azure ML writes them: ``azureml:heart-data:3``, ``azureml:heart-data@latest``, ``azureml://datastores/lake/paths/raw``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

PREFIX = "azureml:"
LATEST = "latest"
MAX_NAME, MAX_VERSION = 128, 30
_NAME = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}"
_VERSION = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_VERSION - 1}}}"
_ASSET = re.compile(rf"azureml:(?P<name>{_NAME})(?::(?P<version>{_VERSION})|@(?P<label>{_VERSION}))?\Z")
_WORKSPACE = r"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
_IN_STORE = re.compile(rf"{_WORKSPACE}datastores/(?P<store>{_NAME})/paths/(?P<path>[^\0-\x1f\x7f]*)\Z", re.IGNORECASE)
_OF_WORKSPACE = re.compile(
    rf"{_WORKSPACE}(?:data|components|environments)/(?P<name>{_NAME})/versions/(?P<version>{_VERSION})\Z", re.IGNORECASE
)


@dataclass(frozen=True)
class Reference:
    """A version of an asset, or the one that a label stands for."""

    name: str
    version: str | None = None
    label: str = LATEST
    """What decides when no version is named; only ``latest`` is known."""

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}:{self.version}" if self.version else f"{PREFIX}{self.name}@{self.label}"


@dataclass(frozen=True)
class StoreReference:
    """A place in a data store."""

    datastore: str
    path: str

    def __str__(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"


def is_reference(text: str) -> bool:
    """Tell whether a text refers to something that was applied, instead of saying where it is."""
    return text.startswith(PREFIX)


def parse(text: str) -> Reference:
    """Read a reference to an asset; without version and label it means the latest.

    :raises ValueError: when it is none; the message says what one looks like.
    """
    if text.startswith("azureml://registries/"):
        raise ValueError("azureml:<name>:<version>: there are no registries here, apply the asset's document")
    match = _ASSET.match(text) or _OF_WORKSPACE.match(text)
    if match is None:
        raise ValueError("azureml:<name>:<version>, azureml:<name>@latest or azureml:<name>")
    if match.groupdict().get("label") not in (None, LATEST):
        raise ValueError(f"@{LATEST} or a version: the label {match['label']!r} is not known")
    return Reference(match["name"], match["version"])


def parse_place(text: str) -> Reference | StoreReference:
    """Read a reference to a data asset, or to a place in a data store.

    :raises ValueError: when it is none; the message says what one looks like.
    """
    if match := _IN_STORE.match(text):
        return StoreReference(match["store"], match["path"])
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"azureml://datastores/<store>/paths/<path>, or {error}") from None


def _name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(
            f"a name: 1 to {MAX_NAME} letters, digits, '.', '_' and '-', not starting with one of those signs"
        )
    return value


def _version(value: Any) -> Any:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(_VERSION, text):
        raise ValueError(f"a version such as 3 or \"2024-01-31\": 1 to {MAX_VERSION} letters, digits, '.', '_' and '-'")
    if text == LATEST:
        raise ValueError("a version of its own; latest means the newest one")
    return text


AssetName = Annotated[str, AfterValidator(_name)]
"""Name of a data asset, an environment, a component or a data store."""
Version = Annotated[str, BeforeValidator(_version)]
"""Version of an asset, a number or a text."""
