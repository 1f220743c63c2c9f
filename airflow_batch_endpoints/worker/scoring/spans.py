"""Reading a row range of a file without the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from airflow_batch_endpoints.planning.items import Item, RowRange
from airflow_batch_endpoints.storage.inputs import open_input, read_range, size_of
from airflow_batch_endpoints.worker.scoring import reading


def read(item: Item, span: RowRange, columns: reading.Columns) -> pa.Table:
    """Read the rows of a range into a table.

    :raises ValueError: as :func:`~airflow_batch_endpoints.worker.scoring.reading.read_table`, and when the file is not what
        was planned.
    """
    size = size_of(item.uri)
    if size != span.file_size:
        raise ValueError(f"the file changed after planning: it had {span.file_size} bytes and has {size}")
    with _opened(item, span) as (source, row_groups):
        table = reading.read_table(source, item.path, columns, row_groups)
    if table.num_rows != span.rows:
        raise ValueError(
            f"the range has {table.num_rows} rows where planning counted {span.rows}: the file changed, or its records are not "
            "one a line"
        )
    return table


@contextmanager
def _opened(item: Item, span: RowRange) -> Iterator[tuple[Any, Sequence[int] | None]]:
    if reading.format_of(item.path) in reading.PARQUET:
        with open_input(item.uri) as file:
            yield file, range(span.start, span.end)
        return
    # One byte more in front: it must still end a line.
    content = read_range(item.uri, max(0, span.start - 1), span.end)
    if span.start == 0:
        yield pa.BufferReader(content), None
        return
    if content[:1] not in (b"\n", b"\r"):
        raise ValueError("the file changed after planning: the range does not begin at the beginning of a line")
    header = read_range(item.uri, 0, span.header) if span.header else b""
    yield pa.BufferReader(b"".join((header, memoryview(content)[1:]))), None
