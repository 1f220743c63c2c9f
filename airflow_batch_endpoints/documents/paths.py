"""The paths in documents: what lies beside a document on the machine of who applies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from airflow_batch_endpoints.documents.assets import DataAsset, EnvironmentAsset, ModelAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.component import (
    CommandComponent,
    Component,
    ParallelComponent,
    PipelineComponent,
    Step,
    StepInput,
)
from airflow_batch_endpoints.documents.deployment import Environment, ModelDeployment, is_relative_path
from airflow_batch_endpoints.documents.expressions import is_expression
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Beside:
    """A path in a document."""

    field: str
    """Where it stands."""
    path: str
    """Absolute, or relative to the document."""
    is_code: bool = False
    script: str | None = None
    """File that must be in the folder."""
    script_field: str = ""


Change = Callable[[Beside], str]


def paths(document: Document) -> list[Beside]:
    """Return every path that a document names; URIs and references are none."""
    found: list[Beside] = []

    def note(beside: Beside) -> str:
        found.append(beside)
        return beside.path

    with_paths(document, note)
    return found


def with_paths(document: D, change: Change) -> D:
    """Return a document with other paths.

    :param change: returns what to write for a path.
    """
    changed: Document = document
    if isinstance(document, ModelDeployment):
        changed = _model_deployment(document, change)
    elif isinstance(document, PipelineDeployment) and isinstance(document.component, PipelineComponent):
        changed = document.model_copy(update={"component": _component(document.component, change, "component.")})
    elif isinstance(document, CommandComponent | ParallelComponent | PipelineComponent):
        changed = _component(document, change, "")
    elif (isinstance(document, DataAsset) and _is_beside(document.path)) or (
        isinstance(document, ModelAsset) and is_relative_path(document.path)
    ):
        changed = document.model_copy(update={"path": change(Beside("path", document.path))})
    elif isinstance(document, EnvironmentAsset) and _is_path(document.conda_file):
        changed = document.model_copy(update={"conda_file": change(Beside("conda_file", str(document.conda_file)))})
    return cast("D", changed)


def _model_deployment(document: ModelDeployment, change: Change) -> ModelDeployment:
    changes: dict[str, object] = {}
    if is_relative_path(document.model.path):
        path = change(Beside("model.path", document.model.path))
        changes["model"] = document.model.model_copy(update={"path": path})
    code = document.code_configuration
    if code is not None and is_relative_path(code.code):
        beside = Beside(
            "code_configuration.code", code.code, True, code.scoring_script, "code_configuration.scoring_script"
        )
        changes["code_configuration"] = code.model_copy(update={"code": change(beside)})
    if document.environment is not None:
        changes["environment"] = _environment(document.environment, change, "environment")
    return document.model_copy(update=changes)


def _environment(environment: Environment, change: Change, place: str) -> Environment:
    if not _is_path(environment.conda_file):
        return environment
    beside = Beside(f"{place}.conda_file", str(environment.conda_file))
    return environment.model_copy(update={"conda_file": change(beside)})


def _is_path(value: object) -> bool:
    return isinstance(value, str) and is_relative_path(value)


def _component(component: Component, change: Change, place: str) -> Component:
    changes: dict[str, object] = {
        "inputs": {
            name: entry.model_copy(
                update={"default": change(Beside(f"{place}inputs.{name}.default", str(entry.default)))}
            )
            if entry.is_data and _is_beside(entry.default)
            else entry
            for name, entry in component.inputs.items()
        }
    }
    if isinstance(component, CommandComponent):
        if component.code is not None and is_relative_path(component.code):
            changes["code"] = change(Beside(f"{place}code", component.code, True))
        if component.environment is not None:
            changes["environment"] = _environment(component.environment, change, f"{place}environment")
    elif isinstance(component, ParallelComponent):
        task = component.task
        if is_relative_path(task.code):
            beside = Beside(f"{place}task.code", task.code, True, task.entry_script, f"{place}task.entry_script")
            task = task.model_copy(update={"code": change(beside)})
        if task.environment is not None:
            environment = _environment(task.environment, change, f"{place}task.environment")
            task = task.model_copy(update={"environment": environment})
        changes["task"] = task
    else:
        changes["jobs"] = {name: _step(step, change, f"{place}jobs.{name}.") for name, step in component.jobs.items()}
    return component.model_copy(update=changes)


def _step(step: Step, change: Change, place: str) -> Step:
    inputs = {
        name: given.model_copy(update={"path": change(Beside(f"{place}inputs.{name}.path", given.path))})
        if isinstance(given, StepInput) and _is_beside(given.path)
        else given
        for name, given in step.inputs.items()
    }
    changes: dict[str, object] = {"inputs": inputs}
    if not isinstance(step.component, str):
        changes["component"] = _component(step.component, change, f"{place}component.")
    if step.environment is not None:
        changes["environment"] = _environment(step.environment, change, f"{place}environment")
    return step.model_copy(update=changes)


def _is_beside(path: object) -> bool:
    """Tell whether data lie beside the document: only relative paths do, an absolute one means the data where they are."""
    return isinstance(path, str) and not path.startswith("/") and is_relative_path(path) and not is_expression(path)
