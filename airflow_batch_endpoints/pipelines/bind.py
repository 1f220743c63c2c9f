"""What an invocation gives, matched with what a pipeline takes: everything wrong is told before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from airflow_batch_endpoints.documents.job import JobInput, JobOutput
from airflow_batch_endpoints.documents.ports import ComponentInput, LiteralValue, fits, literal
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.pipelines.graph import FromJob, Graph

SOURCE = "job request"
UNNAMED_INPUTS = ("input", "urifolder", "urifile")
"""Names, in any case, under which clients send an input that nobody named: ours, and Azure ML's SDK."""
UNNAMED_OUTPUTS = ("output", "score")
"""Likewise for the output."""


def bind_inputs(
    graph: Graph, given: Mapping[str, JobInput], unnamed: JobInput | None = None
) -> dict[str, LiteralValue | None]:
    """Return the value of every input of a pipeline: literals typed, data as they are written.

    :param given: by name.
    :param unnamed: an input that nobody named: that which is called ``input``, or else the only data without default.
    :raises DocumentError: with every input that is missing, unknown or wrongly typed.
    """
    problems: list[Problem] = []
    named = dict(given)
    for name in given:
        if name not in graph.inputs and name.lower() in UNNAMED_INPUTS and unnamed is None:
            unnamed = named.pop(name)
    if unnamed is not None:
        target = _only_data(graph, named)
        if target is None:
            problems.append(
                Problem(SOURCE, "input", f"has no name, and {_described(graph)}; give inputs by their names")
            )
        else:
            named[target] = unnamed
    problems += [
        Problem(SOURCE, f"inputs.{name}", f"the pipeline has no such input; {_hint(name, graph.inputs)}")
        for name in named
        if name not in graph.inputs
    ]
    values: dict[str, LiteralValue | None] = {}
    for name, declared in graph.inputs.items():
        try:
            values[name] = _value(declared, named.get(name))
        except ValueError as error:
            # The caller knows an unnamed input by another name.
            place = "input" if unnamed is not None and named.get(name) is unnamed else f"inputs.{name}"
            problems.append(Problem(SOURCE, place, str(error)))
    if not problems:
        problems += _of_steps(graph, values)
    if problems:
        raise DocumentError(problems)
    return values


def _value(declared: ComponentInput, given: JobInput | None) -> LiteralValue | None:
    if given is None:
        if declared.is_required:
            what = f" ({declared.description.splitlines()[0]})" if declared.description else ""
            raise ValueError(f"missing; the pipeline requires this {declared.type}{what}")
        if declared.default is None or declared.is_data:
            return declared.default
        return literal(declared.default, declared)
    wanted = str(declared.type)
    if given.type is not None and not fits(given.type, wanted):
        raise ValueError(f"found an input of type {given.type}, expected {wanted}")
    if declared.is_data:
        if given.path is None:
            raise ValueError(f"found {shown(given.value)}, expected data: {{type: {wanted}, path: <URI>}}")
        return given.path
    if given.path is not None:
        raise ValueError(f"found data, expected a value ({wanted})")
    try:
        return literal(given.value, declared)
    except ValueError as error:
        raise ValueError(f"found {shown(given.value)}, expected {error}") from None


def _of_steps(graph: Graph, values: Mapping[str, LiteralValue | None]) -> Iterator[Problem]:
    """Return a problem for each value that a step does not take, though the pipeline does."""
    for node in graph.nodes:
        for name, entry in node.inputs.items():
            if not isinstance(entry.source, FromJob) or entry.declared.is_data:
                continue
            value = values[entry.source.name]
            if value is None:
                continue
            try:
                literal(value, entry.declared)
            except ValueError as error:
                message = f"found {shown(value)}, expected {error}: step {node.name} takes no other as its {name}"
                yield Problem(SOURCE, f"inputs.{entry.source.name}", message)


def _only_data(graph: Graph, named: Mapping[str, JobInput]) -> str | None:
    """Return the input that one without a name is meant for."""
    data = [name for name, declared in graph.inputs.items() if declared.is_data and name not in named]
    if "input" in data:
        return "input"
    needed = [name for name in data if graph.inputs[name].is_required]
    found = needed or data
    return found[0] if len(found) == 1 else None


def _described(graph: Graph) -> str:
    known = [f"{name} ({declared.type})" for name, declared in graph.inputs.items()]
    return f"the pipeline takes {', '.join(known)}" if known else "the pipeline takes no input"


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(known) or 'none'}"


def bind_outputs(graph: Graph, given: Mapping[str, JobOutput]) -> tuple[dict[str, str], str | None]:
    """Return where the outputs of a pipeline are to go that the invocation says it of, and the job's folder if it says that.

    :param given: by name; one that nobody named is the job's folder.
    :raises DocumentError: with every output that is unknown or of another type.
    """
    problems: list[Problem] = []
    places: dict[str, str] = {}
    folder: str | None = None
    for name, wanted in given.items():
        if name in graph.outputs:
            kind = graph.output_types[name]
            if wanted.type is not None and not fits(kind, wanted.type):
                message = f"found {wanted.type}, but the pipeline makes {kind}"
                problems.append(Problem(SOURCE, f"outputs.{name}.type", message))
            if wanted.path is not None:
                places[name] = wanted.path
        elif name.lower() in UNNAMED_OUTPUTS and folder is None:
            folder = wanted.path
        else:
            message = f"the pipeline has no such output; {_hint(name, graph.outputs)}"
            problems.append(Problem(SOURCE, f"outputs.{name}", message))
    if problems:
        raise DocumentError(problems)
    return places, folder
