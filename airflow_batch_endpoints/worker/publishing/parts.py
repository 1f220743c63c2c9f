"""The part of a shard: Arrow IPC streams, one per mini-batch, or - where the output is a dataset - a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.worker.ledger import Commit
from airflow_batch_endpoints.worker.publishing import schemas
from airflow_batch_endpoints.worker.publishing.hashing import Hashing
from airflow_batch_endpoints.worker.publishing.writers import open_writer


def write_parquet(streams: Sequence[str], target: BinaryIO) -> tuple[int, str]:
    """Write the rows of mini-batches that share one schema as a Parquet file.

    :param streams: local files, each an Arrow IPC stream, in the plan's order.
    :return: bytes and digest.
    """
    with Path(streams[0]).open("rb") as first:
        schema = schemas.unify([pa.ipc.open_stream(first).schema])
    file = Hashing(target)
    with open_writer(file, "part.parquet", schema, None) as writer:  # type: ignore[arg-type]
        for stream in streams:
            with Path(stream).open("rb") as source:
                for table in _streams(source):
                    writer.write(schemas.conform(table, schema))
    return file.bytes, file.digest


def read(store: Store, commit: Commit) -> Iterator[pa.Table]:
    """Yield the rows of a shard in pieces, so that memory does not grow with the shard."""
    if commit.part is None:
        return
    try:
        with store.reader(commit.part) as part:
            if commit.part.endswith(".parquet"):
                for batch in pq.ParquetFile(part).iter_batches():
                    yield pa.Table.from_batches([batch])
            else:
                yield from _streams(part)
    except FileNotFoundError:
        raise _gone(commit.part) from None


def copy(store: Store, source: str, target: str) -> None:
    """Put something that a shard gave where readers look for it."""
    try:
        store.copy(source, target)
    except FileNotFoundError:
        raise _gone(source) from None


def _gone(key: str) -> InfrastructureError:
    return InfrastructureError(f"{key} is gone from the job's folder; something deletes files there")


def _streams(source: Any) -> Iterator[pa.Table]:
    """Yield what is in Arrow streams that follow one another, batch by batch."""
    while True:
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            # What follows the last stream is the end of the file; Arrow has no other word for it.
            if source.read(1):
                raise
            return
        for batch in reader:
            yield pa.Table.from_batches([batch])
