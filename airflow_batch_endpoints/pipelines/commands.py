"""A component by itself: whether its command and its settings speak of inputs and outputs that it has."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_batch_endpoints.documents.component import (
    CommandComponent,
    Component,
    ParallelComponent,
    PipelineComponent,
)
from airflow_batch_endpoints.documents.expressions import Own, parse, references
from airflow_batch_endpoints.documents.ports import ComponentInput
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import shell


def check_component(component: Component) -> Iterator[tuple[str, str]]:
    """Return every problem of a component by itself, each with its place; of the steps of a pipeline nothing.

    Whether steps fit together is what :func:`airflow_batch_endpoints.pipelines.graph.build` tells.
    """
    if isinstance(component, CommandComponent):
        yield from _command(component, "command", component.command)
    elif isinstance(component, ParallelComponent):
        yield from _command(component, "task.program_arguments", component.task.program_arguments)
        yield from _data_input(component)
        yield from _output(component)
    elif isinstance(component, PipelineComponent):
        for name, entry in component.inputs.items():
            if entry.type is None:
                yield f"inputs.{name}.type", "missing; it is required"


def _command(component: CommandComponent | ParallelComponent, place: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        found = list(references(text))
    except ValueError as error:
        yield place, f"found {shown(text)}, expected {error}"
        return
    is_sound = True
    for own, is_optional in dict.fromkeys(found):
        ports = component.inputs if own.kind == "inputs" else component.outputs
        if own.name not in ports:
            is_sound = False
            known = ", ".join(ports) or "none"
            yield place, f"names {own.kind}.{own.name}, which the component does not have; there is: {known}"
        elif own.kind == "inputs" and not is_optional and _may_be_absent(component.inputs[own.name]):
            is_sound = False
            yield (
                place,
                (
                    f"names the optional input {own.name!r} outside of $[[...]]; write $[[--{own.name} "
                    f"${{{{inputs.{own.name}}}}}]], which vanishes when it is not given"
                ),
            )
    if is_sound and (reason := _refusal(component, text)):
        yield place, reason


def _may_be_absent(declared: ComponentInput) -> bool:
    return declared.optional and declared.default is None


def _refusal(component: CommandComponent | ParallelComponent, text: str) -> str | None:
    """Return why no command line can be made of a text, with its optional parts or without them."""
    full: dict[str, shell.Kind] = {
        # What is not known yet has the benefit of the doubt.
        name: "number" if declared.type in (None, "number", "integer", "boolean") else "text"
        for name, declared in component.inputs.items()
    }
    absent: dict[str, shell.Kind] = {
        name: "absent" if _may_be_absent(component.inputs[name]) else kind for name, kind in full.items()
    }
    write = shell.for_shell if isinstance(component, CommandComponent) else shell.arguments
    try:
        for kinds in (full, absent):
            write(text, kinds, component.outputs)
    except UserError as error:
        return str(error)
    return None


def _data_input(component: ParallelComponent) -> Iterator[tuple[str, str]]:
    name = _own(component.input_data, "inputs")
    declared = component.inputs.get(name) if name is not None else None
    if declared is None:
        known = ", ".join(component.inputs) or "none"
        yield "input_data", f"found {shown(component.input_data)}, expected ${{{{inputs.x}}}} with one of: {known}"
    elif declared.type is not None and not declared.is_data:
        yield "input_data", f"input {name!r} is of type {declared.type}, expected data"
    elif _may_be_absent(declared):
        yield "input_data", f"input {name!r} is optional; what is cut into mini-batches must be there"


def _output(component: ParallelComponent) -> Iterator[tuple[str, str]]:
    text = component.task.append_row_to
    if text is not None and _own(text, "outputs") not in component.outputs:
        known = ", ".join(component.outputs) or "none"
        yield "task.append_row_to", f"found {shown(text)}, expected ${{{{outputs.x}}}} with one of: {known}"


def _own(text: str, kind: str) -> str | None:
    try:
        found = parse(text)
    except ValueError:
        return None
    return found.name if isinstance(found, Own) and found.kind == kind else None


def own_name(text: str) -> str:
    """Return the ``x`` of ``${{inputs.x}}`` or ``${{outputs.x}}``, which is known to be one of them."""
    return parse(text).name
