"""Every problem of a pipeline or component, in one pass and as sentences."""

from __future__ import annotations

from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.component import CommandComponent, ParallelComponent, PipelineComponent
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.documents.references import is_reference
from airflow_batch_endpoints.documents.references import parse as parse_reference
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.pipelines.commands import check_component
from airflow_batch_endpoints.pipelines.graph import build


def problems_of(document: Document) -> list[Problem]:
    """Return every problem of a pipeline deployment or a component; other documents have none here.

    Components that are only named are not looked into.
    """
    if isinstance(document, PipelineDeployment):
        source = f"deployment {document.name}"
        if isinstance(document.component, PipelineComponent):
            return [Problem(source, f"component.{place}", message) for place, message in _of_graph(document.component)]
        return _of_name(document.component, source)
    if isinstance(document, PipelineComponent):
        found = _of_graph(document)
    elif isinstance(document, CommandComponent | ParallelComponent):
        found = list(check_component(document))
    else:
        return []
    return [Problem(f"component {document.name or ''}".strip(), place, message) for place, message in found]


def require_sound(document: Document) -> None:
    """Refuse a pipeline or a component with problems. :raises DocumentError: with all of them."""
    problems = problems_of(document)
    if problems:
        raise DocumentError(problems)


def _of_graph(component: PipelineComponent) -> list[tuple[str, str]]:
    return [(problem.place, problem.message) for problem in build(component)[1]]


def _of_name(name: str | None, source: str) -> list[Problem]:
    if name is None:
        return []
    if not is_reference(name):
        message = (
            f"{shown(name)} is the path of a file beside the document, which brings no files; apply it from its file"
        )
        return [Problem(source, "component", message)]
    try:
        parse_reference(name)
    except ValueError as error:
        return [Problem(source, "component", f"found {shown(name)}, expected {error}")]
    return []
