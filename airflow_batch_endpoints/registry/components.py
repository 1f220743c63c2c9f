"""Components and environments that pipelines name: what they stand for is written out when a document is applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_batch_endpoints.documents.assets import EnvironmentAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.component import (
    CommandComponent,
    Component,
    ParallelComponent,
    PipelineComponent,
    Step,
)
from airflow_batch_endpoints.documents.component_files import MAX_NESTING
from airflow_batch_endpoints.documents.deployment import Environment
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.documents.references import Reference, is_reference, parse
from airflow_batch_endpoints.exceptions import Problem
from airflow_batch_endpoints.pipelines.graph import Graph, build

if TYPE_CHECKING:
    from airflow_batch_endpoints.registry.change import Change

D = TypeVar("D", bound=Document)


def written_out(document: D, change: Change) -> D:
    """Return a pipeline deployment or a component with all that it names: later versions do not reach it.

    What is not there stays a name, for :func:`airflow_batch_endpoints.registry.references.check` to complain of.
    """
    changed: Document = document
    if isinstance(document, PipelineDeployment):
        component = document.component
        found = _named(component, change) if isinstance(component, str) else component
        if isinstance(found, PipelineComponent):
            changed = document.model_copy(update={"component": _component(found, change, 0)})
    elif isinstance(document, CommandComponent | ParallelComponent | PipelineComponent):
        changed = _component(document, change, 0)
    return cast("D", changed)


def _component(component: Component, change: Change, depth: int) -> Component:
    if isinstance(component, CommandComponent):
        return component.model_copy(update={"environment": environment(component.environment, change)})
    if isinstance(component, ParallelComponent):
        found = environment(component.task.environment, change)
        return component.model_copy(update={"task": component.task.model_copy(update={"environment": found})})
    jobs = {name: _step(step, change, depth) for name, step in component.jobs.items()}
    return component.model_copy(update={"jobs": jobs})


def _step(step: Step, change: Change, depth: int) -> Step:
    component = step.component
    if isinstance(component, str):
        component = _named(component, change) or component
    if not isinstance(component, str) and depth <= MAX_NESTING:
        component = _component(component, change, depth + 1)
    return step.model_copy(update={"component": component, "environment": environment(step.environment, change)})


def _named(name: str, change: Change) -> Component | None:
    try:
        found = change.asset("component", parse(name)) if is_reference(name) else None
    except ValueError:
        return None
    return found if isinstance(found, CommandComponent | ParallelComponent | PipelineComponent) else None


def environment(given: Environment | None, change: Change) -> Environment | None:
    """Return an environment with the image and the conda file of the asset it names; as it is when there is none."""
    reference = None if given is None else given.reference
    if (
        reference is None
        and given is not None
        and given.name
        and given.version
        and given.image is given.conda_file is None
    ):
        # Azure ML's SDK sends a name and a version, also of environments that Azure has and nobody applied here.
        reference = Reference(given.name, str(given.version))
    found = None if reference is None else change.asset("environment", reference)
    if not isinstance(found, EnvironmentAsset):
        return given
    return Environment(name=found.name, version=found.version, image=found.image, conda_file=found.conda_file)


def check(document: PipelineDeployment, change: Change) -> list[Problem]:
    """Return a problem for a component that is no pipeline, and for one that nothing was found for."""
    source = f"deployment {document.name}"
    if document.component is None:
        message = f"the job {document.job_definition} was not looked up; apply the document by the command line or REST"
        return [Problem(source, "job_definition", message)]
    found = _named(document.component, change) if isinstance(document.component, str) else None
    if found is not None and not isinstance(found, PipelineComponent):
        message = (
            f"{document.component} is a component of type {found.type}, expected pipeline: make one with it as its step"
        )
        return [Problem(source, "component", message)]
    return []


def graph_of(document: Document) -> Graph | None:
    """Return the steps of a pipeline deployment; ``None`` for other deployments."""
    if not isinstance(document, PipelineDeployment) or not isinstance(document.component, PipelineComponent):
        return None
    return build(document.component, document.settings)[0]


def computes_of(document: PipelineDeployment) -> Iterator[tuple[str, str]]:
    """Return every compute that a pipeline deployment names, each with where it does."""
    graph = graph_of(document)
    named = None if graph is None else graph.settings.default_compute
    default = document.settings.default_compute or named
    if default is not None:
        yield "settings.default_compute", default
    for node in graph.nodes if graph is not None else ():
        compute = node.step.compute or node.settings.default_compute
        if compute is not None and compute != default:
            yield f"component.{node.place}.compute", compute


def index_entry(document: PipelineDeployment) -> dict[str, Any]:
    """Return what the index says of a pipeline: its steps, inputs and outputs."""
    graph = graph_of(document)
    if graph is None:
        return {}
    return {
        "steps": [
            {"name": node.name, "after": sorted(node.after), "parallel": node.component.type == "parallel"}
            for node in graph.nodes
        ],
        "inputs": {
            name: {
                "type": entry.type,
                "required": entry.is_required,
                **entry.model_dump(
                    mode="json", include={"default", "description", "enum", "min", "max"}, exclude_none=True
                ),
            }
            for name, entry in graph.inputs.items()
        },
        "outputs": {name: {"type": graph.output_types[name]} for name in graph.outputs},
    }
