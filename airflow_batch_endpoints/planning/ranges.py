"""Big files as row ranges: Parquet cut between row groups, CSV and JSON lines between records.

Of Parquet only the footer is read. Text that is to be cut is read once, in bounded memory: which number a row has in its file,
and where quotes make a line break part of a field, is known only to who has seen all that stands before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from airflow_batch_endpoints.documents.sizes import Size
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.planning import packing
from airflow_batch_endpoints.planning.items import RowRange
from airflow_batch_endpoints.planning.records import BYTE_ORDER_MARK, RecordScanner
from airflow_batch_endpoints.storage.inputs import open_input, read_range

log = logging.getLogger(__name__)

PARQUET, CSV, JSON_LINES = (".parquet", ".pqt"), (".csv",), (".jsonl",)
CHUNK = 8 * 2**20


@dataclass(frozen=True)
class Cut:
    """What became of one file."""

    ranges: tuple[RowRange, ...] = ()
    """None when the file stays whole."""
    sizes: tuple[int, ...] = ()
    """Bytes of each range."""
    rows: int | None = None
    """Rows of the file, where they had to be counted."""


WHOLE = Cut()


def known(path: str, ranges: tuple[RowRange, ...]) -> Cut:
    """Return ranges of a file that are decided already, as a cut of it."""
    is_parquet = path.lower().endswith(PARQUET)
    sizes = (span.file_size if is_parquet else span.end - span.start for span in ranges)
    return Cut(ranges, tuple(sizes), sum(span.rows for span in ranges))


def cut(uri: str, path: str, file_size: int, size: Size) -> Cut:
    """Cut one file into ranges of at most a size, as far as its row groups or records allow.

    A file that cannot be read or understood stays whole: scoring it says why, as for any other file. What is not about the file (a
    store that does not answer, the order to stop) ends the planning, for a plan that is pinned stays.

    :param path: its name, which decides how it is read.
    :param file_size: its bytes, as listed.
    :param size: how much of it makes a mini-batch, in bytes or rows.
    """
    name = path.lower()
    is_small = size.unit == "bytes" and file_size <= size.amount
    if is_small or not name.endswith(PARQUET + CSV + JSON_LINES) or uri.startswith(("http://", "https://")):
        return WHOLE
    try:
        if name.endswith(PARQUET):
            return _cut_parquet(uri, file_size, size)
        return _cut_text(uri, file_size, size, is_csv=name.endswith(CSV))
    except (OSError, ValueError, UserError) as error:
        log.warning("%s is left whole, it cannot be cut: %s", path, error)
        return WHOLE


def _cut_parquet(uri: str, file_size: int, size: Size) -> Cut:
    import pyarrow.parquet as pq

    with open_input(uri) as source:
        footer = pq.read_metadata(source)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    rows = np.array([group.num_rows for group in groups], np.int64)
    # What the footer knows best is the size before compression; the file's own size is shared out by it.
    raw = np.array([group.total_byte_size for group in groups], np.float64)
    stored = (raw / max(1.0, raw.sum()) * file_size).astype(np.int64)
    weights = rows if size.unit == "rows" else stored
    starts = packing.group(weights, size.amount).tolist()
    if len(starts) < 2:
        return Cut(rows=int(footer.num_rows))
    ends = [*starts[1:], len(groups)]
    before = np.concatenate(([0], np.cumsum(rows)))
    return Cut(
        tuple(
            RowRange(first, end, int(before[first]), int(before[end] - before[first]), 0, file_size)
            for first, end in zip(starts, ends, strict=True)
        ),
        tuple(int(stored[first:end].sum()) for first, end in zip(starts, ends, strict=True)),
        int(footer.num_rows),
    )


def _cut_text(uri: str, file_size: int, size: Size, *, is_csv: bool) -> Cut:
    names = 1 if is_csv else 0
    positions, records, header = [0], [names], 0
    seen = 0
    pieces = max(1, -(-file_size // size.amount))
    for starts in _starts(uri, file_size, is_csv):
        if names and seen <= 1 < seen + len(starts):
            header = int(starts[1 - seen])
        # Which records of this chunk begin a range, by their number among all records.
        if size.unit == "rows":
            due = -(-(seen - names) // size.amount) * size.amount + names
            numbers = np.arange(max(due, names + size.amount), seen + len(starts), size.amount)
        else:
            goals = np.arange(positions[-1] * pieces // file_size + 1, pieces) * file_size // pieces
            numbers = seen + np.searchsorted(starts, goals)
            numbers = np.unique(numbers[(numbers < seen + len(starts)) & (numbers > names)])
        positions += starts[numbers - seen].tolist()
        records += numbers.tolist()
        seen += len(starts)
    rows = max(0, seen - names)
    if len(positions) < 2:
        return Cut(rows=rows)
    ends = [*positions[1:], file_size]
    counts = np.diff([*records, seen]).tolist()
    return Cut(
        tuple(
            RowRange(start, end, first - names, count, header if start else 0, file_size)
            for start, end, first, count in zip(positions, ends, records, counts, strict=True)
        ),
        tuple(end - start for start, end in zip(positions, ends, strict=True)),
        rows,
    )


def _starts(uri: str, file_size: int, is_csv: bool) -> Iterator[np.ndarray]:
    """Yield where records begin, chunk by chunk."""
    scanner = None
    for first in range(0, file_size, CHUNK):
        chunk = read_range(uri, first, min(first + CHUNK, file_size))
        if scanner is None:
            mark = len(BYTE_ORDER_MARK) if chunk.startswith(BYTE_ORDER_MARK) else 0
            scanner, chunk = RecordScanner(quoted=is_csv, offset=mark), chunk[mark:]
        yield scanner.feed(chunk)
