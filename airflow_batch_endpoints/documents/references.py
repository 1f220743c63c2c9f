"""Names of what was applied before: ``azureml:name:version``, ``azureml:name@label``, ``azureml:name``."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "azureml:"
LATEST = "latest"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REFERENCE = re.compile(rf"azureml:(?P<name>{_NAME})(?::(?P<version>{_NAME})|@(?P<label>{_NAME}))?\Z")


@dataclass(frozen=True)
class Reference:
    """What a name refers to: one version, or the one that a label stands for."""

    name: str
    version: str | None = None
    label: str = LATEST
    """What decides when no version is named."""

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}:{self.version}" if self.version else f"{PREFIX}{self.name}@{self.label}"


def is_reference(text: str) -> bool:
    """Tell whether a text is meant to be a reference and not a path or a URI."""
    return text.startswith(PREFIX)


def parse(text: str) -> Reference:
    """Read a reference; without version and label it means the latest.

    :raises ValueError: it is none.
    """
    match = _REFERENCE.match(text)
    if match is None:
        raise ValueError("azureml:<name>:<version>, azureml:<name>@<label> or azureml:<name> for the latest")
    return Reference(match["name"], match["version"], match["label"] or LATEST)
