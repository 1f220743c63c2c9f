"""One schema for rows that mini-batches gave with schemas of their own.

The rule looks at the set of all schemas, never at how mini-batches were put together, and every column is cast from
the type it was written with. So the result does not depend on which instance did what.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pyarrow as pa


def decode(serialized: str) -> pa.Schema:
    """Return a schema as a commit carries it."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(serialized)))


def unify(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return the schema of the output.

    Columns stand in the order of their first appearance, aligned by name. A column with one type keeps it; absent values are
    null; integers and floats become ``double``; integers of several widths ``int64``; everything else becomes text.

    :param schemas: in the plan's order.
    """
    types: dict[str, list[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            found = types.setdefault(field.name, [])
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if kind not in found:
                found.append(kind)
    return pa.schema([(name, _common(kinds)) for name, kinds in types.items()])


def _common(kinds: list[pa.DataType]) -> pa.DataType:
    known = [kind for kind in kinds if not pa.types.is_null(kind)]
    if not known:
        return pa.string()
    if len(known) == 1:
        return known[0]
    if all(pa.types.is_integer(kind) for kind in known):
        return pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in known):
        return pa.float64()
    return pa.string()


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a mini-batch's rows with the schema of the output; columns it lacks are null."""
    columns = []
    for field in schema:
        position = table.schema.get_field_index(field.name)
        if position < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(position)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        columns.append(column if column.type == field.type else _cast(column, field.type))
    return pa.table(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
