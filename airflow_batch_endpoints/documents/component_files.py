"""Component files beside a document: they are read, checked and put where the document names them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.documents import validation
from airflow_batch_endpoints.documents.component import (
    CommandComponent,
    Component,
    ParallelComponent,
    PipelineComponent,
    Step,
)
from airflow_batch_endpoints.documents.deployment import is_relative_path
from airflow_batch_endpoints.documents.paths import with_paths
from airflow_batch_endpoints.documents.references import is_reference
from airflow_batch_endpoints.exceptions import DocumentError, Problem

MAX_FILES = 100
"""Most component files of one document, each counted as often as it is named."""
MAX_NESTING = 5
"""Most pipelines within pipelines."""
Parse = Callable[[Path], Any]
COMPONENTS: dict[str, type[Component]] = {
    "command": CommandComponent,
    "parallel": ParallelComponent,
    "pipeline": PipelineComponent,
}
"""The kinds of components by their ``type``."""


def component_from_data(data: Any, source: str) -> Component:
    """Return the component that plain data stand for.

    :raises DocumentError: with every problem.
    """
    if not isinstance(data, dict):
        found = f"found {validation.shown(data)}, expected fields and values"
        raise DocumentError([Problem(source, "(document)", found)])
    kind = data.get("type", "pipeline" if "jobs" in data else "parallel" if "task" in data else "command")
    if not isinstance(kind, str) or kind not in COMPONENTS:
        message = f"found {validation.shown(kind)}, expected {', '.join(COMPONENTS)} for a component"
        raise DocumentError([Problem(source, "type", message)])
    component: Component = validation.validate(COMPONENTS[kind], {**data, "type": kind}, source)
    return component


class ComponentFiles:
    """Reads the component files that a document names.

    :param base: folder of the document; relative paths of what is read are written as seen from there.
    :param source: how messages call the document.
    :param within: folder that paths must not lead out of; ``None`` for anywhere.
    :param parse: reads a file.
    """

    def __init__(self, base: Path, source: str, within: Path | None, parse: Parse) -> None:
        # Files are known by their real paths, and so must be what they are seen from: the folder may be a link.
        self._base = Path(os.path.realpath(base))
        self._source, self._within, self._parse = source, within, parse
        self.read: list[Path] = []
        """Every file that was read, in order, again for every time it is named."""
        self.problems: list[Problem] = []

    def component(self, name: str, field: str) -> Component | None:
        """Return the component of a file beside the document; ``None`` when there is a problem with it."""
        return self._load(name, self._base, self._source, field, ())

    def within(self, component: Component, place: str = "") -> Component:
        """Return a component that is written out in the document, with what it names from files.

        :param place: where in the document it stands, with a dot at the end; all of the document by default.
        """
        return self._steps(component, self._base, self._source, place, ())

    def refuse(self, field: str, message: str) -> None:
        """Note a problem with the document."""
        self.problems.append(Problem(self._source, field, message))

    def _load(self, name: str, folder: Path, source: str, field: str, above: tuple[Path, ...]) -> Component | None:
        name = name.removeprefix("file:")
        if "\0" in name or not is_relative_path(name):
            found = (
                f"found {validation.shown(name)}, expected the path of a component file, or azureml:<name>:<version>"
            )
            self.problems.append(Problem(source, field, found))
            return None
        path = Path(os.path.realpath(folder / name))
        reason = self._refusal(name, path, folder, above)
        if reason is not None:
            self.problems.append(Problem(source, field, reason))
            return None
        self.read.append(path)
        try:
            component = component_from_data(self._parse(path), str(path))
        except DocumentError as error:
            self.problems += error.problems
            return None
        # First its own paths and then the components it names: those come with paths as seen from the document already.
        moved = with_paths(component, lambda beside: self._from_base(path.parent, beside.path))
        return self._steps(moved, path.parent, str(path), "", (*above, path))

    def _refusal(self, name: str, path: Path, folder: Path, above: tuple[Path, ...]) -> str | None:
        if self._within is not None and not path.is_relative_to(self._within):
            return f"{validation.shown(name)} leads out of what was uploaded"
        if path in above:
            return f"{path.name} includes itself"
        if len(above) > MAX_NESTING:
            return f"pipelines within pipelines, deeper than {MAX_NESTING} levels"
        if len(self.read) >= MAX_FILES:
            return f"more than {MAX_FILES} component files"
        return None if os.path.isfile(path) else f"there is no file {validation.shown(name)} beside {folder}"

    def _from_base(self, folder: Path, path: str) -> str:
        return path if os.path.isabs(path) else os.path.relpath(folder / path, self._base)

    def _steps(self, component: Component, folder: Path, source: str, place: str, above: tuple[Path, ...]) -> Component:
        if not isinstance(component, PipelineComponent):
            return component
        jobs = {
            name: self._step(step, folder, source, f"{place}jobs.{name}", above)
            for name, step in component.jobs.items()
        }
        return component.model_copy(update={"jobs": jobs})

    def _step(self, step: Step, folder: Path, source: str, place: str, above: tuple[Path, ...]) -> Step:
        if not isinstance(step.component, str):
            inside = self._steps(step.component, folder, source, f"{place}.component.", above)
            return step.model_copy(update={"component": inside})
        if is_reference(step.component):
            return step
        found = self._load(step.component, folder, source, f"{place}.component", above)
        if found is not None and found.type != step.type:
            message = f"found {step.type!r}, but {step.component} is a component of type {found.type!r}"
            self.problems.append(Problem(source, f"{place}.type", message))
        return step if found is None else step.model_copy(update={"component": found})
