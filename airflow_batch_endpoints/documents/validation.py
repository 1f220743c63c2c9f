"""From pydantic's errors to sentences: every problem of a document in one pass, by the names people wrote."""

from __future__ import annotations

import difflib
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from airflow_batch_endpoints.documents.deployment import FieldError
from airflow_batch_endpoints.exceptions import DocumentError, Problem

Model = TypeVar("Model", bound=BaseModel)

MAX_VALUE = 60
_ONLINE = {
    "traffic",
    "mirror_traffic",
    "instance_type",
    "scale_settings",
    "request_settings",
    "liveness_probe",
    "readiness_probe",
}


def validate(model: type[Model], data: Any, source: str, *, is_flat: bool = False) -> Model:
    """Return a validated document.

    :param source: file or request, for the messages.
    :param is_flat: whether the settings stood at the root of the document.
    :raises DocumentError: with every problem.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_problem(details, model, source, is_flat) for details in error.errors()]
        raise DocumentError(list(dict.fromkeys(problems))) from None


def _problem(details: ErrorDetails, model: type[BaseModel], source: str, is_flat: bool) -> Problem:
    place = [str(part) for part in details["loc"]]
    location = [part for part in place if not _is_tag(part)]
    error = details.get("ctx", {}).get("error")
    if isinstance(error, FieldError):
        location += error.field.split(".")
        return Problem(source, _path(location, is_flat), str(error))
    if is_flat and location[:1] == ["settings"]:
        location = location[1:]
    return Problem(source, _path(location, False), _message(details, place, model))


def _is_tag(part: str) -> bool:
    """Tell the alternatives of a union, which nobody wrote, from the names of fields."""
    return part.startswith("<") and part.endswith(">")


def _path(location: list[str], is_flat: bool) -> str:
    if is_flat and location[:1] == ["settings"]:
        location = location[1:]
    return ".".join(part for part in location if part != "[key]") or "(document)"


def _message(details: ErrorDetails, place: list[str], model: type[BaseModel]) -> str:
    kind, value = details["type"], shown(details.get("input"))
    if kind == "missing":
        return "missing; it is required"
    if kind == "extra_forbidden":
        return _unknown(place[-1], _fields(model, place[:-1]))
    if kind == "value_error":
        return f"found {value}, expected {details['ctx']['error']}"
    text = details["msg"].removeprefix("Input should be ").replace("a valid ", "a ")
    return f"found {value}, expected {text[0].lower()}{text[1:]}"


def _unknown(name: str, known: list[str]) -> str:
    if name in _ONLINE:
        return "belongs to online endpoints; batch endpoints have no such field"
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"no such field; {hint}"


def _fields(model: type[BaseModel], place: list[str]) -> list[str]:
    """Return the fields at a place of a document."""
    current: Any = model
    for part in place:
        current = _inside(current, part)
    found = _model_in(current)
    return (
        []
        if found is None
        else sorted(field.alias or name for name, field in found.model_fields.items() if name != "schema_")
    )


def _inside(annotation: Any, part: str) -> Any:
    """Return the type of what stands under one name."""
    if _is_tag(part):
        return next((option for option in _options(annotation) if part in _tags(option)), None)
    for option in _options(annotation):
        plain = _plain(option)
        if get_origin(plain) is dict:
            return get_args(plain)[1]
        if get_origin(plain) in (list, tuple):
            return get_args(plain)[0]
    found = _model_in(annotation)
    field = None if found is None else found.model_fields.get(part)
    return None if field is None else field.annotation


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for option in _options(annotation):
        plain = _plain(option)
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            return plain
    return None


def _options(annotation: Any) -> list[Any]:
    """Return the alternatives of a type, those within alternatives too."""
    plain = _plain(annotation)
    if get_origin(plain) in (Union, UnionType) and not _tags(annotation):
        return [inner for option in get_args(plain) for inner in _options(option)]
    return [annotation]


def _plain(annotation: Any) -> Any:
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _tags(annotation: Any) -> list[str]:
    return (
        [entry.tag for entry in get_args(annotation)[1:] if isinstance(entry, Tag)]
        if get_origin(annotation) is Annotated
        else []
    )


def shown(value: Any) -> str:
    """Return a value as it may stand in a message: escaped, short, on one line."""
    try:
        text = ascii(value)
    except RecursionError:
        text = f"a {type(value).__name__} that contains itself"
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
