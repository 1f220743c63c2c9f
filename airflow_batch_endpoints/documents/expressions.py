"""What stands in ``${{...}}``: references to inputs and outputs, of a component, of the pipeline around it, of another step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_EXPRESSION = re.compile(r"\$\{\{(?P<inside>.*?)\}\}", re.DOTALL)
_OWN = re.compile(rf"(?P<kind>inputs|outputs)\.(?P<name>{IDENTIFIER})\Z")
_PARENT = re.compile(rf"parent\.(?P<kind>inputs|outputs)\.(?P<name>{IDENTIFIER})\Z")
_JOB = re.compile(rf"parent\.jobs\.(?P<step>{IDENTIFIER})\.outputs\.(?P<name>{IDENTIFIER})\Z")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
"""A part of a command that vanishes when an optional input in it is not given."""


@dataclass(frozen=True)
class Own:
    """``${{inputs.x}}`` or ``${{outputs.y}}``: of the component itself."""

    kind: str
    """``inputs`` or ``outputs``."""
    name: str


@dataclass(frozen=True)
class Parent:
    """``${{parent.inputs.x}}`` or ``${{parent.outputs.y}}``: of the pipeline that a step belongs to."""

    kind: str
    """``inputs`` or ``outputs``."""
    name: str


@dataclass(frozen=True)
class JobOutput:
    """``${{parent.jobs.a.outputs.b}}``: what another step of the same pipeline makes."""

    step: str
    name: str


Expression = Own | Parent | JobOutput


def is_expression(value: object) -> bool:
    """Tell whether a value refers to something, as a whole or in a part of it."""
    return isinstance(value, str) and _EXPRESSION.search(value) is not None


def parse(value: str) -> Expression:
    """Read a value that is one expression.

    :raises ValueError: it is none, or only a part of it is.
    """
    match = _EXPRESSION.fullmatch(value.strip())
    if match is None:
        raise ValueError("one expression such as ${{parent.inputs.x}}, with nothing around it")
    return _read(match["inside"])


def references(command: str) -> Iterator[tuple[Own, bool]]:
    """Return what a command refers to, each with whether it stands in an optional part, ``$[[...]]``.

    :raises ValueError: an expression is none, or refers to something that is not the component's own.
    """
    optional = [match.span() for match in _OPTIONAL.finditer(command)]
    for match in _EXPRESSION.finditer(command):
        found = _read(match["inside"])
        if not isinstance(found, Own):
            raise ValueError(
                "${{inputs.x}} or ${{outputs.y}}; what is the pipeline's reaches a command as an input of its step"
            )
        yield found, any(start <= match.start() < end for start, end in optional)


def _read(inside: str) -> Expression:
    inside = inside.strip()
    if match := _OWN.match(inside):
        return Own(match["kind"], match["name"])
    if match := _PARENT.match(inside):
        return Parent(match["kind"], match["name"])
    if match := _JOB.match(inside):
        return JobOutput(match["step"], match["name"])
    raise ValueError(
        "${{inputs.x}}, ${{outputs.y}}, ${{parent.inputs.x}}, ${{parent.outputs.y}} or ${{parent.jobs.a.outputs.b}}"
    )
