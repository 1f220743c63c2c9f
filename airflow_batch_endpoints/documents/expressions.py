"""What stands in ``${{...}}`` and ``$[[...]]``: references to inputs and outputs, and the parts of a command that may vanish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_EXPRESSION = re.compile(r"\$\{\{(?P<inside>.*?)\}\}", re.DOTALL)
_OWN = re.compile(rf"(?P<kind>inputs|outputs)\.(?P<name>{IDENTIFIER})\Z")
_PARENT = re.compile(rf"parent\.(?P<kind>inputs|outputs)\.(?P<name>{IDENTIFIER})\Z")
_JOB = re.compile(rf"parent\.jobs\.(?P<step>{IDENTIFIER})\.outputs\.(?P<name>{IDENTIFIER})\Z")
_BARE = re.compile(rf"\s*inputs\.(?P<name>{IDENTIFIER})\s*\Z")


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


@dataclass(frozen=True)
class Optional:
    """``$[[...]]``: a part of a command that vanishes when an optional input in it is not given."""

    parts: tuple[str | Own, ...]


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


def parse_command(text: str) -> tuple[str | Own | Optional, ...]:
    """Take a command line apart: text as it is, references to the component's inputs and outputs, and optional parts.

    Only what stands in the document is looked at: a value that is put in later is never taken apart again.

    :raises ValueError: an expression is none, or an optional part is not closed.
    """
    return tuple(_pieces(text))


def references(text: str) -> Iterator[tuple[Own, bool]]:
    """Return what a command refers to, each with whether it stands in an optional part.

    :raises ValueError: as :func:`parse_command`.
    """
    for piece in parse_command(text):
        if isinstance(piece, Own):
            yield piece, False
        elif isinstance(piece, Optional):
            yield from ((part, True) for part in piece.parts if isinstance(part, Own))


def _pieces(text: str) -> Iterator[str | Own | Optional]:
    while "$[[" in text:
        before, _, rest = text.partition("$[[")
        yield from _plain(before)
        inside, closed, text = rest.partition("]]")
        if not closed:
            raise ValueError("$[[ with a ]] that ends the optional part")
        # Azure ML's own examples also write $[[inputs.x]].
        bare = _BARE.match(inside)
        yield Optional((Own("inputs", bare["name"]),) if bare else tuple(_plain(inside)))
    yield from _plain(text)


def _plain(text: str) -> Iterator[str | Own]:
    position = 0
    for match in _EXPRESSION.finditer(text):
        if match.start() > position:
            yield text[position : match.start()]
        found = _read(match["inside"])
        if not isinstance(found, Own):
            raise ValueError(
                "${{inputs.x}} or ${{outputs.y}}; what is the pipeline's reaches a command as an input of its step"
            )
        yield found
        position = match.end()
    if position < len(text):
        yield text[position:]


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
