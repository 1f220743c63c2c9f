"""From what mini-batches gave to what a commit names: the part, the dead letters, the files. Runs in a slot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import shown_path
from airflow_batch_endpoints.worker.scoring.base import ScoredBatch

MAX_MESSAGE, MAX_TRACEBACK = 2_000, 4_000
_CHUNK = 1 << 20
CHUNK_ROWS = 65_536
"""Most rows of a record batch in a stream."""


def keep(batch: ScoredBatch, scratch: Path) -> dict[str, Any]:
    """Keep a mini-batch's rows on this machine until its shard is complete.

    :return: the fields of a :class:`~airflow_batch_endpoints.worker.slots.events.Scored`.
    """
    import pyarrow as pa

    stream = schema = None
    if batch.table is not None and batch.table.num_columns:
        path = scratch / f"{os.getpid()}-{os.urandom(8).hex()}.stream"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, batch.table.schema) as writer:
            # In pieces, so that publishing never needs a mini-batch whole, however large it is.
            writer.write_table(batch.table, max_chunksize=CHUNK_ROWS)
        stream, schema = str(path), base64.b64encode(batch.table.schema.serialize()).decode()
    return {
        "stream": stream,
        "schema": schema,
        "rows": batch.rows,
        "failures": [{**asdict(failure), "message": failure.message[:MAX_MESSAGE]} for failure in batch.failures],
        "files": [(name, str(path)) for name, path in batch.files],
    }


def seal(work: dict[str, Any], spec: JobSpec, incarnation: str) -> dict[str, Any]:
    """Store what the mini-batches of a shard gave.

    :param work: a :class:`~airflow_batch_endpoints.worker.slots.events.SealWork` as a message.
    :return: the fields of a :class:`~airflow_batch_endpoints.worker.slots.events.Sealed`.
    """
    store = open_store(spec.output_uri)
    shard = int(work["shard"])
    streams = [scored["stream"] for scored in work["scored"] if scored["stream"] is not None]
    schemas = list(dict.fromkeys(scored["schema"] for scored in work["scored"] if scored["schema"]))
    part, size, digest = None, 0, ""
    if spec.settings.is_dataset and len(schemas) == 1:
        # All rows have one schema, so this is how they are published unless those of other shards differ.
        from airflow_batch_endpoints.worker.publishing import parts

        part = layout.part(shard, incarnation, "parquet")
        with store.writer(part) as target:
            size, digest = parts.write_parquet(streams, target)
    elif streams:
        part = layout.part(shard, incarnation, "arrow")
        with store.writer(part) as target:
            # No digest: these bytes are read once more, by us, and what is published of them has its own.
            size = _concatenate(streams, target)
    dead = None
    if work["failures"]:
        dead = layout.part(shard, incarnation, "dead")
        store.write(dead, "".join(_dead_letters(*entry) for entry in work["failures"]).encode())
    written = [file for scored in work["scored"] for file in scored["files"]]
    sealed = {
        "part": part,
        "dead": dead,
        "files": [_store_file(store, layout.part(shard, incarnation, "files"), *file) for file in written],
        "bytes": size,
        "sha256": digest,
        "schemas": schemas,
    }
    for stream in streams:
        Path(stream).unlink(missing_ok=True)
    for _, path in written:
        Path(path).unlink(missing_ok=True)
    return sealed


def _concatenate(streams: list[str], target: BinaryIO) -> int:
    size = 0
    for stream in streams:
        with Path(stream).open("rb") as source:
            shutil.copyfileobj(source, target, _CHUNK)
            size += source.tell()
    return size


def _dead_letters(mini_batch: int, attempts: int, failure: dict[str, Any]) -> str:
    letter = {
        "item": failure["item"] if failure["item"] is None else shown_path(failure["item"]),
        "mini_batch": mini_batch,
        "attempts": max(1, attempts),
        "error_type": failure["error_type"],
        "message": failure["message"][:MAX_MESSAGE],
        "traceback": failure["traceback"][-MAX_TRACEBACK:],
    }
    if failure["range"] is not None:
        letter["range"] = failure["range"]
    lines = [letter] * int(failure["count"])
    if failure["item"] is None:
        # In the first line alone: thousands of names in hundreds of lines would be hundreds of megabytes.
        lines[0] = {**letter, "candidates": [shown_path(path) for path in failure["candidates"]]}
    return "".join(json.dumps(line) + "\n" for line in lines)


def _store_file(store: Store, folder: str, name: str, path: str) -> dict[str, Any]:
    key = f"{folder}/{name}"
    with Path(path).open("rb") as source, store.writer(key) as target:
        shutil.copyfileobj(source, target, _CHUNK)
    with Path(path).open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return {"name": name, "key": key, "bytes": Path(path).stat().st_size, "sha256": digest}
