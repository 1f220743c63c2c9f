"""What a step gets: literals, and data as local paths or URIs; and what tells whether it is the same as another time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.documents.ports import LITERAL_TYPES
from airflow_batch_endpoints.exceptions import InputError, UserError
from airflow_batch_endpoints.jobs import shell
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec, StepInput, StepSpec
from airflow_batch_endpoints.jobs.steps import PublishedOutput, StepDone
from airflow_batch_endpoints.storage.contents import Contents, File, contents
from airflow_batch_endpoints.storage.uris import is_local, local_path, shown, without_query
from airflow_batch_endpoints.worker import models
from airflow_batch_endpoints.worker.steps import outputs, transfer


@dataclass(frozen=True)
class Data:
    """Data that a step gets."""

    uri: str
    given: StepInput
    allowed: tuple[str, ...] = ()
    published: PublishedOutput | None = None
    """The output of another step that it is."""

    def look(self) -> Contents | None:
        """Return what is there now; ``None`` for a model that only MLflow can fetch.

        :raises InputError: there is nothing, it is of another type, or the output of the other step is not what it was.
        """
        if self.published is not None:
            outputs.verify(self.published)
            files = tuple(File(file.name, file.bytes, file.identity) for file in self.published.files)
            return Contents(self.uri, is_file=self.published.is_file, files=files)
        if models.is_registered(self.uri):
            _, artifacts = models.locate(self.uri)
            return contents(artifacts, ()) if models.is_stored(artifacts) else None
        found = contents(self.uri, self.allowed)
        if self.given.type in ("uri_file", "uri_folder") and found.is_file != (self.given.type == "uri_file"):
            is_what = "a file" if found.is_file else "a folder"
            raise InputError(f"input {shown(self.uri)} is {is_what}, and the step takes a {self.given.type}")
        return found

    def is_still(self, found: Contents | None) -> bool:
        """Tell whether what is there is what was there before."""
        try:
            return self.look() == found
        except InputError:
            return False

    def identity(self, found: Contents | None) -> Any | None:
        """Return what the content is known by, as JSON; ``None`` when it is not known.

        :param found: what :meth:`look` returned. The output of another step is known by its digests, wherever it lies; other
            data by the URI and what the store says of each file; a model by its version.
        """
        if self.published is not None:
            files = [(file.name, file.bytes, file.sha256 or file.identity) for file in self.published.files]
            return None if any(mark is None for *_, mark in files) else files
        if models.is_registered(self.uri) or found is None:
            return self.uri
        if any(file.identity is None for file in found.files):
            return None
        return [self.uri, [(file.path, file.identity) for file in found.files]]

    def have(self, found: Contents | None, target: Path) -> str:
        """Return what a command is told: a local path, or the URI.

        :param target: path of a copy, if one is made. Local data are used where they are, unless a copy was asked for.
        """
        if self.given.mode == "direct":
            return self.uri
        if found is None:
            return str(models.download(self.uri, target))
        if is_local(found.uri) and self.given.mode == "ro_mount":
            return local_path(found.uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Many programs look at the name of a file; a folder of its own keeps it.
        if found.is_file:
            target.mkdir()
            target /= without_query(found.uri).rpartition("/")[2]
        transfer.fetch(found, target, self.allowed)
        return str(target)


Given = Mapping[str, Data | str | None]
"""What a step gets, by name: data, a literal as text, or nothing."""


def resolve(spec: PipelineSpec, step: StepSpec, done: Mapping[str, StepDone]) -> Given:
    """Return what a step gets.

    :param done: the steps that it comes after.
    """
    return {name: _resolve(spec, name, given, done) for name, given in step.inputs.items()}


def _resolve(spec: PipelineSpec, name: str, given: StepInput, done: Mapping[str, StepDone]) -> Data | str | None:
    if given.source is not None:
        published = done[given.source.step].outputs.get(given.source.output)
        if published is None:
            raise UserError(f"input {name}: step {given.source.step} has no output {given.source.output!r}")
        return Data(published.uri, given, (published.uri,), published)
    if given.value is None:
        return None
    if given.type in LITERAL_TYPES:
        return shell.as_text(given.value)
    return Data(str(given.value), given, spec.allowed_input_uris)


def kinds(step: StepSpec, given: Given) -> dict[str, shell.Kind]:
    """Return what a command line may know of the inputs."""
    found: dict[str, shell.Kind] = {}
    for name, value in given.items():
        is_number = step.inputs[name].type in ("number", "integer", "boolean")
        found[name] = "absent" if value is None else "number" if is_number else "text"
    return found


def look(given: Given) -> dict[str, Contents | None]:
    """Return what is there of all data."""
    return {name: value.look() for name, value in given.items() if isinstance(value, Data)}


def made_by_steps(given: Given) -> Given:
    """Return the inputs that are outputs of other steps."""
    return {name: value for name, value in given.items() if isinstance(value, Data) and value.published is not None}


def have(given: Given, found: Mapping[str, Contents | None], folder: Path) -> dict[str, str]:
    """Return what a command is told of each input that is given; what must be fetched is fetched.

    :param folder: where copies go.
    """
    return {
        name: value.have(found[name], folder / name) if isinstance(value, Data) else value
        for name, value in given.items()
        if value is not None
    }


def identities(given: Given, found: Mapping[str, Contents | None]) -> dict[str, Any] | None:
    """Return what the inputs are known by; ``None`` when one of them is not known."""
    known: dict[str, Any] = {}
    for name, value in given.items():
        known[name] = value.identity(found[name]) if isinstance(value, Data) else value
        if isinstance(value, Data) and known[name] is None:
            return None
    return known
