"""From pydantic's errors to sentences: every problem of a document in one pass, by the names people wrote."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
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
    location = [str(part) for part in details["loc"]]
    error = details.get("ctx", {}).get("error")
    if isinstance(error, FieldError):
        location += error.field.split(".")
        return Problem(source, _path(location, is_flat), str(error))
    if is_flat and location[:1] == ["settings"]:
        location = location[1:]
    return Problem(source, _path(location, False), _message(details, location, model))


def _path(location: list[str], is_flat: bool) -> str:
    if is_flat and location[:1] == ["settings"]:
        location = location[1:]
    return ".".join(location) or "(document)"


def _message(details: ErrorDetails, location: list[str], model: type[BaseModel]) -> str:
    kind, value = details["type"], shown(details.get("input"))
    if kind == "missing":
        return "missing; it is required"
    if kind == "extra_forbidden":
        return _unknown(location[-1], _fields(model, location[:-1]))
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


def _fields(model: type[BaseModel], location: list[str]) -> list[str]:
    """Return the fields at a place of a document, as far as it is one of ours."""
    current: Any = model
    for part in location:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        current = None if field is None else _model_in(field.annotation)
        if current is None:
            return []
    fields = [field.alias or name for name, field in current.model_fields.items()]
    return sorted(name for name in fields if name != "$schema")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def shown(value: Any) -> str:
    """Return a value as it may stand in a message: escaped, short, on one line."""
    try:
        text = ascii(value)
    except RecursionError:
        text = f"a {type(value).__name__} that contains itself"
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
