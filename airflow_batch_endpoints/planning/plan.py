"""The plan of a job: one row per item, in a Parquet file that every instance reads."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_batch_endpoints.documents.sizes import Size
from airflow_batch_endpoints.exceptions import InfrastructureError, InputError
from airflow_batch_endpoints.planning import packing
from airflow_batch_endpoints.planning.items import Item, MiniBatch, RowRange, Shard
from airflow_batch_endpoints.planning.ranges import WHOLE, Cut, cut, known
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join

if TYPE_CHECKING:
    from airflow_batch_endpoints.planning.listing import Listing

__all__ = ["Item", "MiniBatch", "Plan", "RowRange", "Shard", "encode", "make", "read"]

_METADATA = b"airflow_batch_endpoints"
_RANGE = pa.struct([(name, pa.int64()) for name in RowRange.__dataclass_fields__])
MAX_RANGES = 1_000_000
"""Most row ranges of a job."""


class Plan:
    """A plan, held as columns; shards become objects when they are asked for.

    :param root: URI that the items' paths are relative to.
    :param items: columns ``path`` (bytes), ``size``, ``mini_batch`` and, when files were cut, ``range``.
    :param shards: first item of each shard.
    """

    def __init__(self, root: str, items: pa.Table, shards: Sequence[int]) -> None:
        self.root = root
        self.table = items
        self.shards = list(shards)
        self.items: int = items.num_rows
        sizes = items["size"].to_numpy()
        self.shard_bytes: list[int] = np.add.reduceat(sizes, self.shards).tolist() if self.items else []

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return len(self.shards)

    @property
    def mini_batch_count(self) -> int:
        """How many mini-batches there are."""
        return int(self.table["mini_batch"][-1].as_py()) + 1 if self.items else 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all items, as listed."""
        return sum(self.shard_bytes)

    def shard(self, number: int) -> Shard:
        """Return one shard with its items."""
        first = self.shards[number]
        end = self.shards[number + 1] if number + 1 < len(self.shards) else self.items
        mini_batches = tuple(
            MiniBatch(batch, tuple(item for _, item in members))
            for batch, members in groupby(self._rows(first, end), key=lambda row: row[0])
        )
        return Shard(number, self.shard_bytes[number], mini_batches)

    def _rows(self, first: int, end: int) -> Iterator[tuple[int, Item]]:
        """Yield the items of a stretch of the plan, each with its mini-batch."""
        columns = self.table.slice(first, end - first).to_pydict()
        spans = columns.get("range") or [None] * (end - first)
        for offset, (path, size, span) in enumerate(zip(columns["path"], columns["size"], spans, strict=True)):
            name = os.fsdecode(path)
            item = Item(first + offset, name, join(self.root, name), size, None if span is None else RowRange(**span))
            yield columns["mini_batch"][offset], item


def make(listing: Listing, *, size: Size, slots: int, cut_files: bool = True) -> Plan:
    """Plan the work on listed files.

    :param size: how much makes a mini-batch. A number of files is decided by the list alone; for a number of bytes the big
        files are looked into, for a number of rows all of them.
    :param slots: scoring processes of the whole job.
    :param cut_files: whether files may be scored in row ranges; a scoring script gets whole ones.
    :raises InputError: there would be more than :data:`MAX_RANGES` row ranges.
    """
    paths, sizes = listing.sorted()
    items = pa.table({"path": paths, "size": sizes})
    if cut_files and (size.unit != "files" or listing.ranges):
        items, weights = _cut(listing, items, size)
        starts = packing.group(weights, size.amount)
    elif size.unit == "files":
        starts = np.arange(0, len(paths), size.amount)
    else:
        starts = packing.group(sizes.to_numpy(), size.amount)
    item_sizes = items["size"].to_numpy()
    shards = packing.shard(np.add.reduceat(item_sizes, starts), slots=slots)
    lengths = np.diff(np.append(starts, len(item_sizes)))
    items = items.append_column("mini_batch", pa.array(np.repeat(np.arange(len(starts)), lengths)))
    return Plan(listing.root, items, starts[shards].tolist())


def _cut(listing: Listing, files: pa.Table, size: Size) -> tuple[pa.Table, packing.Numbers]:
    """Return the items that files become, and what each weighs in a mini-batch."""
    positions: list[int] = []
    sizes: list[int] = []
    ranges: list[dict[str, int] | None] = []
    weights: list[int] = []
    for position, (path, file_size) in enumerate(
        zip(files["path"].to_pylist(), files["size"].to_pylist(), strict=True)
    ):
        name = os.fsdecode(path)
        if decided := listing.ranges.get(path):
            found = known(name, decided)
        elif size.unit == "files":
            found = WHOLE
        else:
            found = cut(join(listing.root, name), name, file_size, size)
        pieces = found.ranges or (None,)
        positions += [position] * len(pieces)
        sizes += found.sizes or (file_size,)
        ranges += [None if piece is None else vars(piece) for piece in pieces]
        weights += _weights(found, file_size, size)
        if len(positions) - position > MAX_RANGES:
            raise InputError(
                f"cut into pieces of {size.amount} {size.unit} the input has more than {MAX_RANGES} row ranges; "
                "give a larger settings.mini_batch_size"
            )
    items = pa.table({"path": files["path"].combine_chunks().take(pa.array(positions)), "size": pa.array(sizes)})
    if any(piece is not None for piece in ranges):
        items = items.append_column("range", pa.array(ranges, _RANGE))
    return items, np.array(weights, np.int64)


def _weights(found: Cut, file_size: int, size: Size) -> list[int]:
    if size.unit == "files":
        return [1] * max(1, len(found.ranges))
    if size.unit == "bytes":
        return list(found.sizes or (file_size,))
    if found.ranges:
        return [piece.rows for piece in found.ranges]
    # What cannot be counted (compressed, unreadable) is a mini-batch by itself.
    return [size.amount if found.rows is None else found.rows]


def encode(plan: Plan) -> tuple[bytes, str]:
    """Return a plan as a Parquet file, and the digest it is named by: equal plans are equal bytes."""
    metadata = json.dumps({"root": plan.root, "shards": plan.shards})
    table = plan.table.replace_schema_metadata({_METADATA: metadata.encode()})
    buffer = io.BytesIO()
    # Sorted paths share beginnings, numbers grow slowly: both are written as differences.
    encodings = {"path": "DELTA_BYTE_ARRAY", "mini_batch": "DELTA_BINARY_PACKED", "size": "DELTA_BINARY_PACKED"}
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False, column_encoding=encodings)
    content = buffer.getvalue()
    return content, hashlib.sha256(content).hexdigest()[:16]


class ShardSize(NamedTuple):
    """How much a shard is."""

    items: int
    mini_batches: int


def shard_sizes(content: bytes) -> list[ShardSize]:
    """Return how much each shard of an encoded plan is, without reading what the items are."""
    table = pq.read_table(io.BytesIO(content), columns=["mini_batch"])
    shards = json.loads(table.schema.metadata[_METADATA])["shards"]
    numbers = table["mini_batch"].to_numpy()
    starts = np.array(shards, np.int64)
    ends = np.append(starts[1:], len(numbers))
    batches = numbers[ends - 1] - numbers[starts] + 1 if len(numbers) else starts
    return [ShardSize(*size) for size in zip((ends - starts).tolist(), batches.tolist(), strict=True)]


def read(store: Store, key: str) -> Plan:
    """Read a plan.

    :raises InfrastructureError: when it is not there.
    """
    content = store.read(key)
    if content is None:
        raise InfrastructureError(f"the plan {key} is gone from the job's folder; something deletes files there")
    table = pq.read_table(io.BytesIO(content))
    metadata = json.loads(table.schema.metadata[_METADATA])
    return Plan(metadata["root"], table, metadata["shards"])
