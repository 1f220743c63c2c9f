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
    null; integers and floats become ``double``; integers of several widths ``int64``, unsigned ones with ``uint64`` among them
    ``uint64``; everything else becomes text, signed integers beside ``uint64``, too.

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
        if pa.uint64() not in known:
            return pa.int64()
        # Nothing but text holds both what is below 0 and what is beyond the range of int64.
        return pa.string() if any(pa.types.is_signed_integer(kind) for kind in known) else pa.uint64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in known):
        return pa.float64()
    return pa.string()


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a mini-batch's rows with the schema of the output; columns it lacks are null.

    :param schema: what :func:`unify` made of all schemas, the table's among them; then it never fails.
    """
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
    if column.null_count == len(column):
        # No value told its type: in a part of a dataset it is text, of which not everything can be made.
        return pa.nulls(len(column), kind)
    if not pa.types.is_string(kind):
        # Not every integer beyond 2^53 is a double: the nearest one stands for it.
        return column.cast(kind, safe=not pa.types.is_floating(kind))
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array(map(_text, column), kind)


def _text(value: pa.Scalar) -> str | None:
    try:
        return str(value.as_py()) if value.is_valid else None
    except (ValueError, OverflowError, KeyError):
        # Times and time zones that Python does not have: as Arrow prints them.
        return str(pa.array([value], value.type).to_string())
