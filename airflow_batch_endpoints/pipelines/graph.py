"""A pipeline component as a graph: its steps, those of pipelines within it too, and where each gets its inputs from.

Whoever builds the graph sees every problem of it on the way, so building and checking are one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from airflow_batch_endpoints.documents.component import (
    CommandComponent,
    ParallelComponent,
    PipelineComponent,
    PipelineSettings,
    Step,
    StepInput,
    StepOutput,
)
from airflow_batch_endpoints.documents.component_files import MAX_NESTING
from airflow_batch_endpoints.documents.expressions import JobOutput, Parent, is_expression, parse
from airflow_batch_endpoints.documents.ports import (
    DATA_TYPES,
    ComponentInput,
    DataType,
    LiteralValue,
    fits,
    literal,
)
from airflow_batch_endpoints.documents.references import Reference, is_reference
from airflow_batch_endpoints.documents.references import parse as parse_reference
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.pipelines.commands import check_component

MAX_STEPS = 500
"""Most steps of a pipeline; each is a task."""
MAX_NAME = 160
"""Most characters of a step's full name, which is a part of its task's id."""


@dataclass(frozen=True)
class Given:
    """A literal, or data by path, URI or reference, that stands in the document."""

    value: LiteralValue
    is_data: bool


@dataclass(frozen=True)
class FromJob:
    """An input of the whole pipeline."""

    name: str
    default: LiteralValue | None = None
    """What a step takes when the job gives nothing: the pipeline's default, or else that of what is next on the way in."""


@dataclass(frozen=True)
class FromStep:
    """An output of another step."""

    step: str
    output: str


Source = Given | FromJob | FromStep | None
"""Where an input comes from; ``None`` for an optional one that nobody gives."""


@dataclass(frozen=True)
class NodeInput:
    """One input of a step."""

    declared: ComponentInput
    """As its component has it, its type known."""
    source: Source
    mode: Literal["ro_mount", "download", "direct"]


@dataclass(frozen=True)
class NodeOutput:
    """One output of a step."""

    type: DataType
    mode: Literal["rw_mount", "upload", "direct"]


@dataclass(frozen=True)
class Node:
    """A step of the flattened graph."""

    name: str
    """``prepare``, or ``outer.prepare`` within a pipeline that is a step itself."""
    place: str
    """Where in the document the step is."""
    step: Step
    component: CommandComponent | ParallelComponent
    inputs: dict[str, NodeInput]
    outputs: dict[str, NodeOutput]
    settings: PipelineSettings
    """Of the pipelines around it, the innermost before the others."""

    @property
    def after(self) -> frozenset[str]:
        """Names of the steps that must be done before."""
        return frozenset(given.source.step for given in self.inputs.values() if isinstance(given.source, FromStep))


@dataclass(frozen=True)
class Graph:
    """A whole pipeline."""

    inputs: dict[str, ComponentInput]
    nodes: tuple[Node, ...]
    """In an order in which each comes after those it depends on."""
    outputs: dict[str, FromStep]
    """Which step makes each output of the pipeline."""
    output_types: dict[str, DataType]
    output_assets: dict[str, Reference]
    """The data assets that outputs of the pipeline become versions of; without a version, of the next."""
    settings: PipelineSettings
    """Of the whole pipeline."""


@dataclass(frozen=True)
class GraphProblem:
    """Something wrong with a pipeline."""

    place: str
    """Dotted path of the field, from the pipeline component on."""
    message: str


def build(component: PipelineComponent, settings: PipelineSettings | None = None) -> tuple[Graph, list[GraphProblem]]:
    """Flatten a pipeline, and return every problem of it. With problems, the graph is what could be made of the rest.

    Components that are still names are not looked into: what depends on them is taken to be right.

    :param settings: go before the component's own; those of its deployment.
    """
    builder = _Builder()
    top = _Level(component, "", "", 0, {}, _over(component.settings, settings or PipelineSettings()))
    builder.walk(top)
    outputs, *_ = [builder.outputs_of(level) for level in builder.levels()]
    nodes = {name: builder.finished(node) for name, node in builder.nodes.items()}
    if len(nodes) > MAX_STEPS:
        builder.fail("jobs", f"found {len(nodes)} steps, expected at most {MAX_STEPS}")
    order = _ordered(nodes, builder.problems)
    graph = Graph(
        inputs=dict(component.inputs),
        nodes=tuple(nodes[name] for name in order),
        outputs={name: made for name, (made, _) in outputs.items() if made is not None},
        output_types={name: kind for name, (_, kind) in outputs.items() if kind is not None},
        output_assets=builder.output_assets,
        settings=top.settings,
    )
    return graph, list(dict.fromkeys(builder.problems))


def _ordered(nodes: Mapping[str, Node], problems: list[GraphProblem]) -> list[str]:
    """Return the steps in an order that they can run in; cut every cycle, and tell of it."""
    after = {name: sorted(other for other in node.after if other in nodes) for name, node in nodes.items()}
    while True:
        sorter = TopologicalSorter(dict.fromkeys(nodes, ()))
        for name, others in after.items():
            sorter.add(name, *others)
        try:
            return list(sorter.static_order())
        except CycleError as error:
            cycle: list[str] = error.args[1]
            path = " -> ".join(cycle)
            problems.append(
                GraphProblem(
                    nodes[cycle[0]].place, f"the steps wait for each other: {path}; take one of the inputs out"
                )
            )
            after[cycle[1]].remove(cycle[0])


@dataclass(frozen=True)
class _Bound:
    """What stands behind a name on one level: where it comes from, and its type as far as it is known."""

    source: Source
    type: str | None
    is_optional: bool = False


@dataclass
class _Level:
    """A pipeline on the way down: the outermost, or one that is a step of another."""

    component: PipelineComponent
    prefix: str
    place: str
    depth: int
    given: dict[str, _Bound]
    settings: PipelineSettings
    inner: dict[str, _Level] = field(default_factory=dict)
    """Those of its steps that are pipelines."""


class _Builder:
    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.problems: list[GraphProblem] = []
        self.output_assets: dict[str, Reference] = {}
        self._levels: dict[str, _Level] = {}

    def fail(self, place: str, message: str) -> None:
        self.problems.append(GraphProblem(place, message))

    def levels(self) -> list[_Level]:
        """Return the pipelines that were walked, the outermost first."""
        return list(self._levels.values())

    # -- down ---------------------------------------------------------------------------------------------------------

    def walk(self, level: _Level) -> None:
        self._levels[level.prefix] = level
        settings = level.settings
        if level.depth == 0:
            level.given = {
                name: _Bound(FromJob(name, entry.default), entry.type, not entry.is_required and entry.default is None)
                for name, entry in level.component.inputs.items()
            }
            for name, entry in level.component.inputs.items():
                if entry.type is None:
                    self.fail(f"inputs.{name}.type", "missing; it is required")
        for name, step in level.component.jobs.items():
            place = f"{level.place}jobs.{name}"
            if len(level.prefix + name) > MAX_NAME:
                self.fail(place, f"its full name {level.prefix + name!r} is longer than {MAX_NAME} characters")
            if isinstance(step.component, str):
                self._check_name(step.component, place)
                continue
            if step.component.type != step.type:
                self.fail(f"{place}.type", f"found {step.type}, but its component is of type {step.component.type}")
            for found_place, message in check_component(step.component):
                self.fail(f"{place}.component.{found_place}", message)
            bound = self._inputs(level, step, place)
            if isinstance(step.component, PipelineComponent):
                self._enter(level, name, step.component, bound, settings, place)
            else:
                self._node(level, name, step, step.component, bound, settings, place)

    def _check_name(self, name: str, place: str) -> None:
        if is_reference(name):
            try:
                parse_reference(name)
            except ValueError as error:
                self.fail(f"{place}.component", f"found {shown(name)}, expected {error}")
        else:
            self.fail(
                f"{place}.component",
                f"{shown(name)} is the path of a file beside the document, which brings no files; apply it from its file",
            )

    def _enter(
        self,
        level: _Level,
        name: str,
        component: PipelineComponent,
        bound: dict[str, _Bound],
        settings: PipelineSettings,
        place: str,
    ) -> None:
        if level.depth >= MAX_NESTING:
            self.fail(place, f"pipelines within pipelines, deeper than {MAX_NESTING} levels")
            return
        inner = _Level(
            component,
            f"{level.prefix}{name}.",
            f"{place}.component.",
            level.depth + 1,
            bound,
            _over(settings, component.settings),
        )
        level.inner[name] = inner
        self.walk(inner)

    def _node(
        self,
        level: _Level,
        name: str,
        step: Step,
        component: CommandComponent | ParallelComponent,
        bound: dict[str, _Bound],
        settings: PipelineSettings,
        place: str,
    ) -> None:
        modes = {given: value.mode for given, value in step.inputs.items() if isinstance(value, StepInput)}
        inputs = {
            port: NodeInput(
                declared.model_copy(update={"type": declared.type or bound[port].type or "string"}),
                bound[port].source,
                modes.get(port) or declared.mode or "ro_mount",
            )
            for port, declared in component.inputs.items()
        }
        outputs = {
            port: NodeOutput(
                self._output_type(level, step, port) or "uri_folder",
                (step.outputs[port].mode if port in step.outputs else None) or declared.mode or "rw_mount",
            )
            for port, declared in component.outputs.items()
        }
        self.nodes[level.prefix + name] = Node(level.prefix + name, place, step, component, inputs, outputs, settings)

    # -- inputs -------------------------------------------------------------------------------------------------------

    def _inputs(self, level: _Level, step: Step, place: str) -> dict[str, _Bound]:
        """Return what stands behind each input of a step's component."""
        component = step.component
        assert not isinstance(component, str)  # noqa: S101 - the caller has looked
        for name in sorted(step.inputs.keys() - component.inputs.keys()):
            known = ", ".join(component.inputs) or "none"
            self.fail(f"{place}.inputs.{name}", f"the component has no such input; there is: {known}")
        for name in sorted(step.outputs.keys() - component.outputs.keys()):
            known = ", ".join(component.outputs) or "none"
            self.fail(f"{place}.outputs.{name}", f"the component has no such output; there is: {known}")
        return {
            name: self._input(level, step, name, declared, f"{place}.inputs.{name}")
            for name, declared in component.inputs.items()
        }

    def _input(self, level: _Level, step: Step, name: str, declared: ComponentInput, place: str) -> _Bound:
        given = step.inputs.get(name)
        if given is None:
            if declared.is_required:
                self.fail(place, "missing; the component requires it")
            return _Bound(_default(declared), declared.type, declared.default is None)
        value = given.path if isinstance(given, StepInput) else given
        if isinstance(given, StepInput) and given.type is not None:
            self._check_type(given.type, declared, f"{place}.type")
        if isinstance(value, str) and is_expression(value):
            return self._reference(level, value, declared, place)
        if isinstance(given, StepInput):
            kind = given.type or declared.type or "uri_folder"
            if kind not in DATA_TYPES:
                self.fail(place, f"has a path, but is of type {kind}; write the value itself")
            return _Bound(Given(given.path, is_data=True), declared.type or kind)
        return self._literal(given, declared, place)

    def _literal(self, value: LiteralValue, declared: ComponentInput, place: str) -> _Bound:
        if declared.is_data:
            self.fail(
                place,
                f"found {shown(value)}, expected data: {{type: {declared.type}, path: ...}}, ${{{{parent.inputs.x}}}} or "
                "${{parent.jobs.a.outputs.b}}",
            )
            return _Bound(None, declared.type)
        try:
            return _Bound(Given(literal(value, declared), is_data=False), declared.type)
        except ValueError as error:
            self.fail(place, f"found {shown(value)}, expected {error}")
            return _Bound(None, declared.type)

    def _reference(self, level: _Level, value: str, declared: ComponentInput, place: str) -> _Bound:
        try:
            found = parse(value)
        except ValueError as error:
            self.fail(place, f"found {shown(value)}, expected {error}")
            return _Bound(None, declared.type)
        if isinstance(found, JobOutput):
            return self._from_step(level, found, declared, place)
        if not isinstance(found, Parent) or found.kind != "inputs":
            self.fail(
                place, f"found {shown(value)}, expected ${{{{parent.inputs.x}}}} or ${{{{parent.jobs.a.outputs.b}}}}"
            )
            return _Bound(None, declared.type)
        if found.name not in level.given and found.name not in level.component.inputs:
            known = ", ".join(level.component.inputs) or "none"
            self.fail(place, f"the pipeline has no input {found.name!r}; there is: {known}")
            return _Bound(None, declared.type)
        bound = level.given[found.name]
        self._check_type(bound.type, declared, place)
        if bound.is_optional and declared.is_required:
            self.fail(place, f"input {found.name!r} of the pipeline is optional, but the component requires it")
        source = bound.source
        if source is None:
            source = _default(declared)
        elif isinstance(source, FromJob) and source.default is None and declared.default is not None:
            source = replace(source, default=declared.default)
        return _Bound(source, declared.type or bound.type, bound.is_optional and declared.default is None)

    def _from_step(self, level: _Level, found: JobOutput, declared: ComponentInput, place: str) -> _Bound:
        step = level.component.jobs.get(found.step)
        if step is None:
            known = ", ".join(level.component.jobs)
            self.fail(place, f"the pipeline has no step {found.step!r}; there is: {known}")
            return _Bound(None, declared.type)
        if isinstance(step.component, str):
            return _Bound(FromStep(f"{level.prefix}{found.step}", found.name), declared.type)
        if found.name not in step.component.outputs:
            known = ", ".join(step.component.outputs) or "none"
            self.fail(place, f"step {found.step!r} has no output {found.name!r}; there is: {known}")
            return _Bound(None, declared.type)
        kind = self._output_type(level, step, found.name)
        self._check_type(kind, declared, place)
        return _Bound(FromStep(f"{level.prefix}{found.step}", found.name), declared.type or kind)

    def _check_type(self, found: str | None, declared: ComponentInput, place: str) -> None:
        if found is not None and declared.type is not None and not fits(found, declared.type):
            self.fail(place, f"is of type {found}, but the component takes {declared.type}")

    # -- outputs ------------------------------------------------------------------------------------------------------

    def _output_type(self, level: _Level, step: Step, name: str) -> DataType | None:
        """Return the type of a step's output: what its component says, else what the pipeline says of its own output."""
        assert not isinstance(step.component, str)  # noqa: S101 - the callers have looked
        declared = step.component.outputs[name].type
        if declared is not None:
            return declared
        written = step.outputs.get(name)
        if written is None or written.path is None:
            return "uri_folder"
        try:
            target = parse(written.path)
        except ValueError:
            return None
        known = level.component.outputs.get(target.name) if isinstance(target, Parent) else None
        return (known.type if known is not None else None) or "uri_folder"

    def outputs_of(self, level: _Level) -> dict[str, tuple[FromStep | None, DataType | None]]:
        """Return which step makes each output of a pipeline, and of what type it is."""
        makers: dict[str, tuple[FromStep | None, DataType | None]] = {}
        for name, step in level.component.jobs.items():
            for output, written in step.outputs.items():
                place = f"{level.place}jobs.{name}.outputs.{output}"
                target = self._target(level, written.path, place)
                self._note_asset(level, target, written, place)
                kind = None
                if not isinstance(step.component, str):
                    if output not in step.component.outputs:
                        continue
                    kind = self._output_type(level, step, output)
                    if written.type is not None and kind is not None and not fits(kind, written.type):
                        self.fail(f"{place}.type", f"found {written.type}, but the component makes {kind}")
                if target is None:
                    continue
                wanted = level.component.outputs[target].type
                if kind is not None and wanted is not None and not fits(kind, wanted):
                    self.fail(place, f"is of type {kind}, but output {target!r} of the pipeline is {wanted}")
                if target in makers:
                    self.fail(place, f"output {target!r} of the pipeline is made by another step already")
                makers[target] = (self._maker(level, name, output), wanted or kind)
        for name in level.component.outputs:
            if name not in makers:
                message = f"no step makes it; write ${{{{parent.outputs.{name}}}}} at the output of one step"
                self.fail(f"{level.place}outputs.{name}", message)
        return makers

    def _note_asset(self, level: _Level, target: str | None, written: StepOutput, place: str) -> None:
        if written.name is None:
            if written.version is not None:
                self.fail(f"{place}.version", "is of a data asset; give its name, too")
        elif target is None or level.depth > 0:
            self.fail(f"{place}.name", "only an output of the whole pipeline becomes a version of a data asset")
        else:
            self.output_assets[target] = Reference(written.name, written.version)

    def _target(self, level: _Level, path: str | None, place: str) -> str | None:
        """Return the output of the pipeline that a step's output is."""
        if path is None:
            return None
        try:
            found = parse(path)
        except ValueError:
            found = None
        if not isinstance(found, Parent) or found.kind != "outputs":
            self.fail(
                place,
                f"found {shown(path)}, expected ${{{{parent.outputs.x}}}}: what a step makes is published once, where the job "
                "decides; the invocation says where the pipeline's outputs go",
            )
            return None
        if found.name not in level.component.outputs:
            known = ", ".join(level.component.outputs) or "none"
            self.fail(place, f"the pipeline has no output {found.name!r}; there is: {known}")
            return None
        return found.name

    def _maker(self, level: _Level, step: str, output: str) -> FromStep | None:
        """Return the step that makes an output, which may be in a pipeline further down."""
        inner = level.inner.get(step)
        if inner is None:
            return FromStep(f"{level.prefix}{step}", output)
        for name, below in inner.component.jobs.items():
            for inner_output, written in below.outputs.items():
                try:
                    found = parse(written.path or "")
                except ValueError:
                    continue
                if found == Parent("outputs", output):
                    return self._maker(inner, name, inner_output)
        return None

    def finished(self, node: Node) -> Node:
        """Return a step whose inputs come from steps, not from pipelines."""
        inputs = {
            name: replace(given, source=self._behind(given.source)) if isinstance(given.source, FromStep) else given
            for name, given in node.inputs.items()
        }
        return replace(node, inputs=inputs)

    def _behind(self, source: FromStep) -> FromStep | None:
        prefix, _, name = source.step.rpartition(".")
        level = self._levels.get(f"{prefix}." if prefix else "")
        return source if level is None else self._maker(level, name, source.output)


def _default(declared: ComponentInput) -> Source:
    return None if declared.default is None else Given(declared.default, declared.is_data)


def _over(settings: PipelineSettings, over: PipelineSettings) -> PipelineSettings:
    """Return settings with what others say put over them."""
    return settings.model_copy(update=over.model_dump(exclude_none=True))
