from __future__ import annotations

import io
import itertools
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_batch_endpoints.worker.publishing import schemas

COLUMNS = [
    pa.array([None, None]),
    pa.array([True, None]),
    pa.array([-1, None], pa.int8()),
    pa.array([2**63 - 1, -(2**63)]),
    pa.array([255, 1], pa.uint8()),
    pa.array([2**64 - 1, None], pa.uint64()),
    pa.array([1.5, None], pa.float32()),
    pa.array([1e300, float("nan")]),
    pa.array(["a", None]),
    pa.array(["a", "b"]).dictionary_encode(),
    pa.array([b"\xff", None]),
    pa.array([Decimal("1.5"), None]),
    pa.array([1, -(2**63)], pa.timestamp("ns")),
    pa.array([1, 2**60], pa.timestamp("us", "Europe/Berlin")),
    pa.array([1, 2], pa.timestamp("us", "No/Where")),
    pa.array([1, 2**31 - 1], pa.date32()),
    pa.array([1, 2], pa.time64("ns")),
    pa.array([1, 2**62], pa.duration("s")),
    pa.array([[1], None]),
    pa.array([[2**60], None], pa.list_(pa.timestamp("us"))),
    pa.array([{"a": 2**60, "b": "x"}, None], pa.struct([("a", pa.timestamp("us")), ("b", pa.string())])),
    pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
]


def sealed(table: pa.Table) -> pa.Table:
    """The rows as a part of a dataset gives them back."""
    part = io.BytesIO()
    pq.write_table(schemas.conform(table, schemas.unify([table.schema])), part)
    return pq.read_table(part)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: str(column.type))
def test_whatever_columns_meet_rows_take_the_schema_of_all(column: pa.Array) -> None:
    table = pa.table({"a": column})
    for other in COLUMNS:
        schema = schemas.unify([table.schema, pa.schema([("a", other.type)])])
        for rows in (table, sealed(table)):
            made = schemas.conform(rows, schema)
            made.validate(full=True)
            assert made.schema == schema
            assert made["a"].null_count == column.null_count


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([(2**64 - 1, pa.uint64()), (-1, pa.int64())], pa.string()),
        ([(2**64 - 1, pa.uint64()), (1, pa.uint8())], pa.uint64()),
        ([(2**32 - 1, pa.uint32()), (-1, pa.int8())], pa.int64()),
        ([(2**63 - 1, pa.int64()), (1.5, pa.float32())], pa.float64()),
        ([(2**64 - 1, pa.uint64()), (1.5, pa.float64())], pa.float64()),
    ],
)
def test_integers_that_differ_keep_their_values(values: list[tuple[Any, pa.DataType]], kind: pa.DataType) -> None:
    tables = [pa.table({"a": pa.array([value], of)}) for value, of in values]
    for order in itertools.permutations(tables):
        schema = schemas.unify(table.schema for table in order)
        assert schema.field("a").type == kind
    python = {pa.string(): str, pa.float64(): float}.get(kind, int)
    made = [schemas.conform(table, schema)["a"].to_pylist() for table in tables]
    assert made == [[python(value)] for value, _ in values]
