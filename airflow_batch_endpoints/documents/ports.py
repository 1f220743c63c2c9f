"""Typed inputs and outputs of components: what may be given for them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from airflow_batch_endpoints.documents.base import Part
from airflow_batch_endpoints.documents.expressions import IDENTIFIER

DataType = Literal["uri_file", "uri_folder", "mlflow_model", "custom_model"]
LiteralType = Literal["string", "number", "integer", "boolean"]
LiteralValue = bool | int | float | str

DATA_TYPES: tuple[DataType, ...] = ("uri_file", "uri_folder", "mlflow_model", "custom_model")
MODEL_TYPES = ("mlflow_model", "custom_model")
LITERAL_TYPES: tuple[LiteralType, ...] = ("string", "number", "integer", "boolean")
MAX_TEXT = 10_000
"""Most characters of a literal: it travels in an environment variable."""
_INTEGER = re.compile(r"[+-]?\d{1,18}\Z")
_ELSEWHERE = {
    "mltable": "tables of Azure ML are not read here; give the files themselves, as uri_file or uri_folder",
    "triton_model": "Triton's models are not served here; give the files as custom_model",
}


def _type(value: Any) -> Any:
    if isinstance(value, str) and value in _ELSEWHERE:
        raise ValueError(f"{', '.join((*DATA_TYPES, *LITERAL_TYPES))}; {_ELSEWHERE[value]}")
    return {"float": "number", "path": "uri_folder"}.get(value, value) if isinstance(value, str) else value


def _port_name(value: str) -> str:
    if not re.fullmatch(IDENTIFIER, value) or value.startswith("_") or len(value) > 64:
        raise ValueError("a name: up to 64 letters, digits and '_', with a letter first")
    return value


def _input_mode(value: Any) -> Any:
    if value in ("eval_mount", "eval_download"):
        raise ValueError("ro_mount, download or direct; the others read Azure ML's tables")
    return value


PortName = Annotated[str, AfterValidator(_port_name)]
"""Name of an input or an output."""
PortType = Annotated[DataType | LiteralType, BeforeValidator(_type)]
OutputType = Annotated[DataType, BeforeValidator(_type)]
InputMode = Annotated[Literal["ro_mount", "download", "direct"], BeforeValidator(_input_mode)]
OutputMode = Annotated[
    Literal["rw_mount", "upload", "direct"],
    BeforeValidator(lambda value: "rw_mount" if value == "mount" else value),
]


class ComponentInput(Part):
    """What a component takes under one name."""

    type: PortType | None = None
    """``None`` in a step that is written out in a pipeline: it is what is given for it."""
    description: str | None = None
    optional: bool = False
    default: LiteralValue | None = None
    """Value when none is given; of data a path or a URI."""
    min: float | None = None
    max: float | None = None
    enum: tuple[LiteralValue, ...] | None = None
    mode: InputMode | None = None

    @property
    def is_data(self) -> bool:
        """Whether it is a file or a folder, not a literal."""
        return self.type in DATA_TYPES

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return not self.optional and self.default is None

    @model_validator(mode="after")
    def _default_is_allowed(self) -> ComponentInput:
        if self.default is None or self.type is None:
            return self
        if self.is_data and not isinstance(self.default, str):
            raise ValueError(f"default: a path or a URI, for {self.type}")
        if not self.is_data:
            try:
                literal(self.default, self)
            except ValueError as error:
                raise ValueError(f"default: {error}") from None
        return self


class ComponentOutput(Part):
    """What a component makes under one name."""

    type: OutputType | None = None
    """``None`` in a step that is written out in a pipeline: it is that of the output it is bound to, or ``uri_folder``."""
    description: str | None = None
    mode: OutputMode | None = None


def literal(value: Any, declared: ComponentInput) -> LiteralValue:
    """Return a value as the type that an input declares; numbers and truth values may be written as text.

    :raises ValueError: saying what is expected; the value is of another type, or outside what the input allows.
    """
    found = _typed(value, declared.type)
    if isinstance(found, int | float) and not isinstance(found, bool):
        if declared.min is not None and found < declared.min:
            raise ValueError(f"{declared.type}, at least {declared.min:g}")
        if declared.max is not None and found > declared.max:
            raise ValueError(f"{declared.type}, at most {declared.max:g}")
    if declared.enum is not None and str(found) not in {str(allowed) for allowed in declared.enum}:
        raise ValueError(f"one of {', '.join(str(allowed) for allowed in declared.enum)}")
    return found


def _typed(value: Any, wanted: str | None) -> LiteralValue:
    if wanted == "boolean":
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise ValueError("true or false (boolean)")
    if wanted in ("integer", "number"):
        return _number(value, wanted)
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else None
    if text is None or "\0" in text or len(text) > MAX_TEXT:
        raise ValueError(f"a text of at most {MAX_TEXT:,} characters (string)")
    return text


def _number(value: Any, wanted: str) -> int | float:
    if isinstance(value, str) and _INTEGER.match(value.strip()):
        value = int(value)
    elif isinstance(value, str) and wanted == "number":
        try:
            value = float(value)
        except ValueError:
            raise ValueError("a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a whole number (integer)" if wanted == "integer" else "a number")
    if wanted == "integer" and not isinstance(value, int):
        raise ValueError("a whole number (integer)")
    return value


def type_of(value: LiteralValue) -> LiteralType:
    """Return the type of a literal whose type nobody declares."""
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "string"


def fits(given: str, wanted: str) -> bool:
    """Tell whether what is of one type can be given for an input of another.

    A folder is a folder, whatever is in it, and a ``custom_model`` may be a file or a folder. A number can be given as text.
    """
    if given in LITERAL_TYPES or wanted in LITERAL_TYPES:
        return (
            given == wanted
            or (given in LITERAL_TYPES and wanted == "string")
            or (given, wanted) == ("integer", "number")
        )
    return "custom_model" in (given, wanted) or (given == "uri_file") == (wanted == "uri_file")
