"""The plan of a job: one row per item, in a Parquet file that every instance reads."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.planning.items import Item, MiniBatch, Shard
from airflow_batch_endpoints.planning.listing import Listing
from airflow_batch_endpoints.planning.packing import pack
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join

__all__ = ["Item", "MiniBatch", "Plan", "Shard", "encode", "make", "read"]

_METADATA = b"airflow_batch_endpoints"


class Plan:
    """A plan, held as columns; shards become objects when they are asked for.

    :param root: URI that the items' paths are relative to.
    :param paths: column of paths as bytes.
    :param sizes: column of sizes.
    :param mini_batches: column with the number of each item's mini-batch.
    :param shards: first item of each shard.
    """

    def __init__(self, root: str, paths: Any, sizes: Any, mini_batches: Any, shards: Sequence[int]) -> None:
        self.root = root
        self._paths = paths
        self._sizes = sizes
        self._mini_batches = mini_batches
        self._shards = list(shards)
        self.items = len(paths)
        ends = [*self._shards[1:], self.items]
        self.shard_bytes: list[int] = [
            sum(sizes[first:end].to_pylist()) for first, end in zip(self._shards, ends, strict=True)
        ]

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return len(self._shards)

    @property
    def mini_batch_count(self) -> int:
        """How many mini-batches there are."""
        return int(self._mini_batches[-1].as_py()) + 1 if self.items else 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all items, as listed."""
        return sum(self.shard_bytes)

    def shard(self, number: int) -> Shard:
        """Return one shard with its items."""
        first = self._shards[number]
        end = self._shards[number + 1] if number + 1 < len(self._shards) else self.items
        rows = zip(
            range(first, end),
            self._paths[first:end].to_pylist(),
            self._sizes[first:end].to_pylist(),
            self._mini_batches[first:end].to_pylist(),
            strict=True,
        )
        mini_batches = tuple(
            MiniBatch(batch, tuple(self._item(position, path, size) for position, path, size, _ in members))
            for batch, members in groupby(rows, key=lambda row: row[3])
        )
        return Shard(number, self.shard_bytes[number], mini_batches)

    def _item(self, number: int, path: bytes, size: int) -> Item:
        relative = os.fsdecode(path)
        return Item(number, relative, join(self.root, relative), size)


def make(listing: Listing, *, mini_batch_size: int, slots: int) -> Plan:
    """Plan the work on listed files.

    :param mini_batch_size: most items of a mini-batch.
    :param slots: scoring processes of the whole job.
    """
    import pyarrow as pa

    sizes = [size for _, size in listing.files]
    mini_batches, shards = pack(sizes, mini_batch_size=mini_batch_size, slots=slots)
    numbers = [position // mini_batch_size for position in range(len(sizes))]
    return Plan(
        listing.root,
        pa.chunked_array([pa.array([os.fsencode(path) for path, _ in listing.files], pa.binary())]),
        pa.chunked_array([pa.array(sizes, pa.int64())]),
        pa.chunked_array([pa.array(numbers, pa.int64())]),
        [mini_batches[first] for first in shards],
    )


def encode(plan: Plan) -> tuple[bytes, str]:
    """Return a plan as a Parquet file, and the digest it is named by: equal plans are equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"path": plan._paths, "size": plan._sizes, "mini_batch": plan._mini_batches})
    metadata = json.dumps({"root": plan.root, "shards": plan._shards})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({_METADATA: metadata.encode()}), buffer, compression="zstd")
    content = buffer.getvalue()
    return content, hashlib.sha256(content).hexdigest()[:16]


def read(store: Store, key: str) -> Plan:
    """Read a plan.

    :raises InfrastructureError: when it is not there.
    """
    import pyarrow.parquet as pq

    content = store.read(key)
    if content is None:
        raise InfrastructureError(f"the plan {key} is gone from the job's folder; something deletes files there")
    table = pq.read_table(io.BytesIO(content))
    metadata = json.loads(table.schema.metadata[_METADATA])
    return Plan(metadata["root"], table["path"], table["size"], table["mini_batch"], metadata["shards"])
