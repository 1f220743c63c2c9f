"""Input files as an MLflow model wants them: tables by its column schema, images by its tensor schema."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

CSV, PARQUET, JSON_LINES = (".csv",), (".parquet", ".pqt"), (".jsonl",)
IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".bmp", ".gif")
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
"""Put after ``.csv`` and ``.jsonl``; the content is decompressed while it is read."""
SUPPORTED = CSV + PARQUET + JSON_LINES + IMAGES

BLOCKS = (1 << 20, 1 << 24, 1 << 28)
"""Bytes of text that are parsed at a time: more only where a record is longer."""

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
    """Return a name's extension in lower case."""
    return os.path.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Tell whether a file is read as an image."""
    return suffix(name) in IMAGES


class Columns:
    """Which columns are read of a file, and as what.

    :param schema: MLflow's input schema, or ``None``: then the model gets every column as it comes.
    :param joined: columns that go into the output beside the predictions: ``None`` for none, ``()`` for all.
    """

    def __init__(self, schema: Any, joined: Sequence[str] | None = None) -> None:
        self.types = _column_types(schema)
        self.optional = (
            set()
            if self.types is None
            else {column.name for column in schema.inputs if not getattr(column, "required", True)}
        )
        self.joined = joined

    @property
    def is_all(self) -> bool:
        """Whether every column of a file is read."""
        return self.types is None or self.joined == ()

    @property
    def names(self) -> list[str]:
        """The columns that are read, when not all are."""
        return list(dict.fromkeys([*(self.types or ()), *(self.joined or ())]))

    def of_model(self, table: pa.Table) -> pa.Table:
        """Return what the model is given of a table that was read."""
        return (
            table if self.types is None else table.select([name for name in self.types if name in table.column_names])
        )

    def of_output(self, table: pa.Table) -> pa.Table | None:
        """Return what goes into the output of a table that was read."""
        if self.joined is None:
            return None
        return table.select(list(self.joined)) if self.joined else table


def read_table(source: Any, name: str, columns: Columns, row_groups: Sequence[int] | None = None) -> pa.Table:
    """Read a file, or a part of one, into a table.

    :param source: local path, or an open file or buffer.
    :param name: how it is called in the input; its extension decides how it is read.
    :param row_groups: which of a Parquet file; all by default.
    :raises ValueError: the file is not supported, lacks a column, or a value does not fit.
    """
    kind = format_of(name)
    if kind in CSV:
        table = _read_csv(source, columns)
    elif kind in PARQUET:
        with pa.parquet.ParquetFile(source) as file:
            known = set(file.schema_arrow.names)
            wanted = None if columns.is_all else [column for column in columns.names if column in known]
            groups = range(file.num_row_groups) if row_groups is None else row_groups
            table = file.read_row_groups(list(groups), columns=wanted)
    elif kind in JSON_LINES:
        table = _read_json(source, columns)
    else:
        raise ValueError(
            f"files of type {kind or '(none)'!r} are not supported; supported are {', '.join(SUPPORTED)}, and "
            f"{', '.join(CSV + JSON_LINES)} compressed as {', '.join(COMPRESSED)}"
        )
    return _select(table, columns)


def format_of(name: str) -> str:
    """Return the extension that decides how a file is read: ``.csv`` for ``a.csv.gz``."""
    kind = suffix(name)
    inner = suffix(os.path.splitext(name)[0]) if kind in COMPRESSED else ""
    return inner if inner in CSV + JSON_LINES else kind


def _read_csv(source: Any, columns: Columns) -> pa.Table:
    if isinstance(source, str) and os.stat(source).st_size == 0:
        raise ValueError("the file is empty; a CSV file starts with a line of column names")
    types = {name: kind for name, kind in (columns.types or {}).items() if kind is not None}
    # Names we do not need are not converted; those that are missing are reported by us.
    table = _parse_csv(source, pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True))
    if columns.joined is None or columns.types is None:
        return table
    # What the signature does not type goes out as it stands in the file, so "007" and "NA" stay what they are.
    names = table.column_names
    untyped = [name for name in columns.joined or names if name in names and name not in columns.types]
    if not untyped or len(set(names)) != len(names):
        return table
    options = pa.csv.ConvertOptions(column_types=dict.fromkeys(untyped, pa.string()), include_columns=untyped)
    texts = _parse_csv(source, options)
    for name in untyped:
        table = table.set_column(names.index(name), name, texts[name])
    return table


def _parse_csv(source: Any, options: pa.csv.ConvertOptions) -> pa.Table:
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    return _in_blocks(
        source,
        lambda size: pa.csv.read_csv(source, pa.csv.ReadOptions(block_size=size), parsing, options),
    )


def _read_json(source: Any, columns: Columns) -> pa.Table:
    table = _parse_json(source, pa.json.ParseOptions())
    # JSON has no dates: text that looks like one is text, whatever stands in the other rows.
    texts = {
        field.name: kind
        for field in table.schema
        if (columns.types or {}).get(field.name) != _ARROW_TYPES["datetime"]
        and (kind := _without_dates(field.type)) != field.type
    }
    if not texts:
        return table
    options = pa.json.ParseOptions(explicit_schema=pa.schema(texts.items()), unexpected_field_behavior="ignore")
    read = _parse_json(source, options)
    for name in texts:
        table = table.set_column(table.column_names.index(name), name, read[name])
    return table


def _parse_json(source: Any, options: pa.json.ParseOptions) -> pa.Table:
    return _in_blocks(source, lambda size: pa.json.read_json(source, pa.json.ReadOptions(block_size=size), options))


def _without_dates(kind: pa.DataType) -> pa.DataType:
    """Return a type with text in the place of points in time, at any depth."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_dates(field.type)) for field in kind])
    return kind


def _in_blocks(source: Any, parse: Callable[[int], pa.Table]) -> pa.Table:
    """Parse text in blocks that are as large as its longest record needs."""
    for size in BLOCKS:
        if not isinstance(source, str):
            source.seek(0)
        try:
            return parse(size)
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error):
                raise
    raise ValueError(
        f"a record is longer than {BLOCKS[-1] >> 20} MB, which is the most; is a line break or a quote missing?"
    )


def _select(table: pa.Table, columns: Columns) -> pa.Table:
    """Check that all is there, and bring the model's columns to its types."""
    found = dict(zip(table.column_names, table.columns, strict=True))
    types = columns.types or {}
    if len(found) != table.num_columns:
        wanted = table.column_names if columns.joined == () else columns.names
        twice = sorted({name for name in wanted if table.column_names.count(name) > 1})
        if twice:
            raise ValueError(f"columns {twice} are there more than once, so which is meant cannot be told")
    missing = [name for name in types if name not in found and name not in columns.optional]
    if missing:
        raise ValueError(f"columns {missing} of the model's signature are missing; the file has {list(found)[:50]}")
    missing = [name for name in columns.joined or () if name not in found]
    if missing:
        raise ValueError(f"columns {missing} of settings.input_columns are missing; the file has {list(found)[:50]}")
    if columns.types is None:
        return table
    for name, kind in types.items():
        if kind is not None and name in found and found[name].type != kind:
            found[name] = _cast(name, found[name], kind)
    return pa.table(found if columns.is_all else {name: found[name] for name in columns.names if name in found})


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
