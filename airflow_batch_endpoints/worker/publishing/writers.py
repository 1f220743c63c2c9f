"""The formats of the output file, written batch by batch in flat memory."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

ROW_GROUP = 131_072
"""Rows of a Parquet row group, whatever the mini-batches were: bytes must not depend on how the work was shared."""


class Writer(Protocol):
    """Takes rows with the schema of the output."""

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        ...


@contextmanager
def open_writer(file: BinaryIO, name: str, schema: pa.Schema, azureml: str | None) -> Iterator[Writer]:
    """Open a writer by the extension of the output's name.

    :param file: where the bytes go.
    :param name: ``*.csv``, ``*.parquet`` or ``*.jsonl``.
    :param schema: of the rows.
    :param azureml: ``script`` or ``mlflow`` to write what Azure ML writes for those, else ``None``.
    """
    if azureml is not None:
        yield _AzureWriter(file, azureml)
    elif name.endswith(".parquet"):
        with pa.parquet.ParquetWriter(file, schema, compression="snappy", **_encodings(schema)) as parquet:
            writer = _ParquetWriter(parquet)
            yield writer
            writer.flush()
    elif name.endswith(".jsonl"):
        yield _JsonWriter(file)
    else:
        # Arrow would quote every name; plain ones read better without.
        is_plain = all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in schema.names)
        options = pa.csv.WriteOptions(quoting_header="none" if is_plain else "needed")
        with pa.csv.CSVWriter(file, _flat(schema), write_options=options) as csv:
            yield _CsvWriter(csv)


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Return how Parquet stores each column.

    Arrow looks for repeated values first. In floats and row numbers there are few, and giving up on the search takes ten times as
    long as writing them as they are, or as differences.
    """
    integers = [field.name for field in schema if pa.types.is_integer(field.type)]
    repeating = [field.name for field in schema if not (field.name in integers or pa.types.is_floating(field.type))]
    return {"use_dictionary": repeating, "column_encoding": dict.fromkeys(integers, "DELTA_BINARY_PACKED")}


class _CsvWriter:
    def __init__(self, writer: pa.csv.CSVWriter) -> None:
        self._writer = writer

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(_as_text(table))


class _ParquetWriter:
    """Cuts row groups of one size."""

    def __init__(self, writer: pa.parquet.ParquetWriter) -> None:
        self._writer = writer
        self._pending: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        self._pending.append(table)
        self._rows += table.num_rows
        if self._rows < ROW_GROUP:
            return
        rows = pa.concat_tables(self._pending)
        whole = self._rows - self._rows % ROW_GROUP
        self._writer.write_table(rows.slice(0, whole).combine_chunks(), row_group_size=ROW_GROUP)
        self._pending, self._rows = [rows.slice(whole)], self._rows - whole

    def flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._pending).combine_chunks(), row_group_size=ROW_GROUP)


class _JsonWriter:
    """JSON has no NaN and no infinity; they become null."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        lines = (json.dumps({name: _json(value) for name, value in row.items()}) for row in table.to_pylist())
        self._file.write("".join(f"{line}\n" for line in lines).encode())


class _AzureWriter:
    """What Azure ML's engine writes: no header; spaces between a script's values, commas for MLflow without code."""

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self._file = file
        self._kind = kind

    def write(self, table: pa.Table) -> None:
        if self._kind == "mlflow":
            order = [name for name in table.column_names if name != "file_name"]
            table = table.select([*order, *(name for name in table.column_names if name == "file_name")])
        separator = "," if self._kind == "mlflow" else " "
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        self._file.write("".join(separator.join(map(_azure, row)) + "\n" for row in rows).encode())


def _azure(value: Any) -> str:
    return "" if value is None else str(value)


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_json(element) for element in value]
    if isinstance(value, dict):
        return {str(name): _json(element) for name, element in value.items()}
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _is_flat(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_null(kind))


def _flat(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, field.type if _is_flat(field.type) else pa.string()) for field in schema])


def _as_text(table: pa.Table) -> pa.Table:
    """Return the table with nested columns as JSON text, for CSV has nothing else."""
    schema = _flat(table.schema)
    if schema.equals(table.schema):
        return table
    columns = [
        column
        if _is_flat(column.type)
        else pa.array([None if v is None else json.dumps(_json(v)) for v in column.to_pylist()])
        for column in table.columns
    ]
    return pa.table(columns, schema=schema)
