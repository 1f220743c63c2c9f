"""Input files as an MLflow model wants them: tables by its column schema, images by its tensor schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

CSV, PARQUET, JSON_LINES = (".csv",), (".parquet", ".pqt"), (".jsonl",)
IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".bmp", ".gif")
SUPPORTED = CSV + PARQUET + JSON_LINES + IMAGES

_ARROW_TYPES = {
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("ns"),
}


def suffix(name: str) -> str:
    """Return a name's extension in lower case, without what follows a question mark."""
    return Path(name.partition("?")[0]).suffix.lower()


def is_image(name: str) -> bool:
    """Tell whether a file is read as an image."""
    return suffix(name) in IMAGES


def read_table(path: str, name: str, schema: Any) -> pa.Table:
    """Read a file into a table with the columns of the model's signature, in its order and types.

    :param path: local file.
    :param name: how it is called in the input; its extension decides how it is read.
    :param schema: MLflow's input schema, or ``None``: then every column is taken as it comes.
    :raises ValueError: the file is not supported, lacks a column, or a value does not fit.
    """
    kind = suffix(name)
    types = _column_types(schema)
    if kind in CSV:
        table = _read_csv(path, types)
    elif kind in PARQUET:
        with pa.parquet.ParquetFile(path) as file:
            wanted = None if types is None else [column for column in types if column in file.schema_arrow.names]
            table = file.read(columns=wanted)
    elif kind in JSON_LINES:
        table = pa.json.read_json(path)
    else:
        raise ValueError(f"files of type {kind or '(none)'!r} are not supported; supported are {', '.join(SUPPORTED)}")
    return table if types is None else _select(table, types, schema)


def _read_csv(path: str, types: dict[str, pa.DataType | None] | None) -> pa.Table:
    if Path(path).stat().st_size == 0:
        raise ValueError("the file is empty; a CSV file starts with a line of column names")
    known = {name: kind for name, kind in (types or {}).items() if kind is not None}
    return pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        # Names we do not need are not read; those that are missing are reported by us.
        convert_options=pa.csv.ConvertOptions(column_types=known, strings_can_be_null=True),
    )


def _select(table: pa.Table, types: dict[str, pa.DataType | None], schema: Any) -> pa.Table:
    optional = {column.name for column in schema.inputs if not getattr(column, "required", True)}
    missing = [name for name in types if name not in table.column_names and name not in optional]
    if missing:
        raise ValueError(
            f"columns {missing} of the model's signature are missing; the file has {table.column_names[:50]}"
        )
    columns = {}
    for name, kind in types.items():
        if name not in table.column_names:
            continue
        column = table[name]
        if kind is not None and column.type != kind:
            column = _cast(name, column, kind)
        columns[name] = column
    return pa.table(columns)


def _cast(name: str, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"column {name!r} is {column.type}, the model's signature wants {kind}: {error}") from error


def _column_types(schema: Any) -> dict[str, pa.DataType | None] | None:
    """Return the signature's columns with their Arrow types; ``None`` without a signature by column."""
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    return {column.name: _ARROW_TYPES.get(getattr(column.type, "name", "")) for column in schema.inputs}


def to_pandas(table: pa.Table, schema: Any) -> pd.DataFrame:
    """Return the table as the model's ``predict`` takes it."""
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=False)
    if schema is not None and not schema.is_tensor_spec():
        for column in schema.inputs:
            # MLflow's signature check knows text as objects only.
            if getattr(column.type, "name", "") == "string" and column.name in frame:
                frame[column.name] = frame[column.name].astype(object)
    return frame


def read_image(path: str, name: str, schema: Any) -> np.ndarray[Any, Any]:
    """Read an image as the model's tensor.

    Without a signature it is height x width x channels of ``uint8``; with one it has its type and is reshaped to it.
    """
    from PIL import Image

    if not is_image(name):
        raise ValueError(f"files of type {suffix(name)!r} cannot be mixed with images in one mini-batch")
    with Image.open(path) as image:
        pixels = np.asarray(image)
    if schema is None or not schema.is_tensor_spec():
        return pixels
    tensor = schema.inputs[0]
    return pixels.astype(tensor.type).reshape(tensor.shape)
