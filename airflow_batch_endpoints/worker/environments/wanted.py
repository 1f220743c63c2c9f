"""What a model or a deployment asks to run in: read from a ``requirements.txt`` or a conda file, compared with what is here."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from airflow_batch_endpoints.exceptions import DocumentError, ModelError
from airflow_batch_endpoints.storage.uris import shown, without_credentials

_COMMENT = re.compile(r"(^|\s+)#.*$")
_HASHES = re.compile(r"\s--hash=\S+")
_EXACT_PYTHON = re.compile(r"(?:==?|\s)\s*(\d+(?:\.\d+)?)(?:[.*\w]*)(?:=\S*)?\Z")
_LIGHTER = {"mlflow": "mlflow-skinny"}
"""Packages that do as well for scoring: images hold them instead."""


@dataclass
class Wanted:
    """What somebody asks to run in."""

    source: str
    """Who asks, as messages call it."""
    requirements: list[Requirement] = field(default_factory=list)
    python: SpecifierSet | None = None
    foreign: list[str] = field(default_factory=list)
    """What is asked for and cannot be installed by us: packages of conda, folders, repositories."""
    options: list[str] = field(default_factory=list)
    """Options for pip among the requirements; nothing is asked for by them."""

    def unmet(self) -> list[str]:
        """Name what the environment of this process does not hold as asked."""
        python = platform.python_version()
        unmet = [] if self.is_this_python() else [f"Python {self.python} (this is {python})"]
        return [*unmet, *unmet_requirements(self.requirements), *self.foreign]

    def require_installable(self) -> None:
        """Refuse what an environment cannot be built from.

        :raises ModelError: naming the first such line.
        """
        remedy = "or run in the worker's own environment (build_environments: false of the compute)"
        if self.foreign:
            raise ModelError(
                f"{self.source}: {shown(self.foreign[0])} is no package of a Python package index; name one that is, such as "
                f"scikit-learn==1.5.2, {remedy}"
            )
        if self.options:
            raise ModelError(
                f"{self.source}: {shown(self.options[0])}: options are not taken from there; say where packages come from by UV_* "
                f"or PIP_* variables of the worker, {remedy}"
            )

    def is_this_python(self) -> bool:
        """Tell whether the interpreter of this process will do."""
        return self.python is None or self.python.contains(platform.python_version(), prereleases=True)


def unmet_requirements(requirements: Iterable[Requirement]) -> list[str]:
    """Name the packages that are not installed here as they are asked for, and what is."""
    unmet = []
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        found = _installed(requirement.name)
        if found is None:
            unmet.append(f"{requirement} (not installed)")
        elif requirement.url is not None or not requirement.specifier.contains(found, prereleases=True):
            unmet.append(f"{requirement} ({found} is installed)")
    return unmet


def _installed(name: str) -> str | None:
    for candidate in (name, _LIGHTER.get(canonicalize_name(name))):
        if candidate is not None:
            try:
                return version(candidate)
            except PackageNotFoundError:
                continue
    return None


# -- reading ------------------------------------------------------------------------------------------------------


def from_requirements(text: str, source: str) -> Wanted:
    """Read a ``requirements.txt``.

    :param source: whose it is, for messages.
    """
    wanted = Wanted(source)
    _add_requirements(wanted, text)
    return wanted


def from_conda(content: bytes | Mapping[str, Any], source: str) -> Wanted:
    """Read a conda file, as YAML or as the mapping it stands for: its ``python`` and its ``pip`` part.

    :param source: whose it is, for messages.
    :raises ModelError: it is no conda file.
    """
    dependencies = _mapping(content, source).get("dependencies") or []
    if not isinstance(dependencies, list):
        raise ModelError(f"{source}: dependencies: found {shown(dependencies)}, expected a list")
    wanted = Wanted(source)
    for entry in dependencies:
        if isinstance(entry, Mapping) and entry.keys() == {"pip"} and isinstance(entry["pip"], list):
            _add_requirements(wanted, "\n".join(map(str, entry["pip"])))
            continue
        if not isinstance(entry, str):
            raise ModelError(
                f"{source}: dependencies: found {shown(entry)}, expected a package, or pip: with a list of them"
            )
        package = entry.rpartition("::")[2].strip()
        name = re.split(r"[\s=<>!~]", package, maxsplit=1)[0].lower()
        if name == "python":
            wanted.python = _python(package, source)
        elif name != "pip":
            wanted.foreign.append(without_credentials(entry))
    return wanted


def _mapping(content: bytes | Mapping[str, Any], source: str) -> Mapping[str, Any]:
    data: Any = content
    if isinstance(content, bytes):
        from airflow_batch_endpoints.documents.loading import parse

        try:
            data = parse(content, source)
        except DocumentError as error:
            raise ModelError(str(error)) from None
    if not isinstance(data, Mapping):
        raise ModelError(f"{source}: found {shown(data)}, expected a conda file with dependencies")
    return data


def _python(text: str, source: str) -> SpecifierSet | None:
    """Return which interpreters will do. Packages are made for 3.x, so what follows that is not asked for."""
    wanted = text[len("python") :]
    exact = _EXACT_PYTHON.match(wanted)
    if not wanted.strip():
        return None
    try:
        return SpecifierSet(f"=={exact[1]}.*" if exact else wanted)
    except InvalidSpecifier:
        raise ModelError(f"{source}: {shown(text)}: expected a version, such as python=3.11 or python>=3.11") from None


def _add_requirements(wanted: Wanted, text: str) -> None:
    for line in text.removeprefix("\ufeff").replace("\\\n", " ").splitlines():
        line = _HASHES.sub("", _COMMENT.sub("", line)).strip()
        if line.startswith("-"):
            wanted.options.append(without_credentials(line))
        elif line:
            requirement = _requirement(line)
            if requirement is None:
                wanted.foreign.append(without_credentials(line))
            else:
                wanted.requirements.append(requirement)


def _requirement(line: str) -> Requirement | None:
    """Return a package of an index, or one at a public address; anything else is none of ours."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    if requirement.url is not None:
        url = urlsplit(requirement.url)
        if url.scheme not in ("http", "https") or "@" in url.netloc:
            return None
    return requirement
