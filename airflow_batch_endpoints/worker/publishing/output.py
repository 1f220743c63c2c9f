"""Writing what a job gave: rows, files and dead letters, each counted and hashed on its way."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from airflow_batch_endpoints.exceptions import InfrastructureError, UserError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.worker.ledger import Commit
from airflow_batch_endpoints.worker.publishing import schemas
from airflow_batch_endpoints.worker.publishing.writers import open_writer

_CHUNK = 1 << 20
SUMMARY_COLUMNS = pa.schema(
    [("shard", pa.int64()), ("items", pa.int64()), ("succeeded", pa.int64()), ("failed", pa.int64())]
)


class _Hashing:
    """A binary file that counts and hashes what goes through it."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._target.write(view)
        self._digest.update(view)
        self.bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        self._target.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.bytes

    def close(self) -> None:
        self.closed = True

    def described(self, name: str, rows: int | None) -> dict[str, Any]:
        return {"name": name, "rows": rows, "bytes": self.bytes, "sha256": self._digest.hexdigest()}


@contextmanager
def _hashing(store: Store, key: str) -> Iterator[_Hashing]:
    with store.writer(key) as target:
        yield _Hashing(target)


def write_rows(store: Store, spec: JobSpec, commits: Sequence[Commit]) -> dict[str, Any]:
    """Write the output file: the rows of every shard, in the plan's order.

    :param commits: one of every shard, by number.
    :return: name, rows, bytes and digest.
    """
    distinct = dict.fromkeys(serialized for commit in commits for serialized in commit.schemas)
    schema = schemas.unify(schemas.decode(serialized) for serialized in distinct)
    name, rows = spec.settings.output_file_name, 0
    azureml = None
    if spec.settings.output_format == "azureml":
        azureml = "script" if spec.is_script else "mlflow"
    with _hashing(store, name) as file, open_writer(file, name, schema, azureml) as writer:  # type: ignore[arg-type]
        for commit in commits:
            for table in _tables(store, commit):
                writer.write(schemas.conform(table, schema))
                rows += table.num_rows
    return file.described(name, rows)


def _tables(store: Store, commit: Commit) -> Iterator[pa.Table]:
    """Yield the rows of a shard, mini-batch by mini-batch."""
    if commit.part is None:
        return
    try:
        with store.reader(commit.part) as part:
            while True:
                try:
                    reader = pa.ipc.open_stream(part)
                except pa.ArrowInvalid:
                    # What follows the last stream is the end of the file; Arrow has no other word for it.
                    if part.read(1):
                        raise
                    return
                yield reader.read_all()
    except FileNotFoundError:
        raise InfrastructureError(
            f"{commit.part} is gone from the job's folder; something deletes files there"
        ) from None


def write_summary(store: Store, spec: JobSpec, commits: Sequence[Commit]) -> dict[str, Any]:
    """Write, for ``summary_only``, what was done: a line per shard instead of the predictions."""
    table = pa.table(
        [[getattr(commit, name) for commit in commits] for name in SUMMARY_COLUMNS.names], schema=SUMMARY_COLUMNS
    )
    name = "predictions.csv"
    with _hashing(store, name) as file, open_writer(file, name, table.schema, None) as writer:  # type: ignore[arg-type]
        writer.write(table)
    return file.described(name, table.num_rows)


def move_files(store: Store, commits: Sequence[Commit], reserved: set[str]) -> list[dict[str, Any]]:
    """Copy what scripts wrote to the output.

    :param reserved: names that the job itself writes.
    :raises UserError: two files of one name, or one of ours.
    """
    origin: dict[str, int] = {}
    files = []
    for commit in commits:
        for file in commit.files:
            name = file["name"]
            if name in reserved or name.split("/")[0] == layout.WORKING:
                raise UserError(
                    f"the script wrote {name!r} to AZUREML_BI_OUTPUT_PATH, a name the job itself uses; rename it"
                )
            if name in origin:
                raise UserError(
                    f"the script wrote {name!r} in shard {origin[name]} and in shard {commit.shard}; "
                    "put the input's name into the names of output files"
                )
            origin[name] = commit.shard
            with store.reader(file["key"]) as source, store.writer(name) as target:
                shutil.copyfileobj(source, target, _CHUNK)
            files.append({"name": name, "rows": None, "bytes": file["bytes"], "sha256": file["sha256"]})
    return files


def write_dead_letters(store: Store, commits: Sequence[Commit]) -> dict[str, Any] | None:
    """Write one line per failed item, in the plan's order; nothing when none failed."""
    if not any(commit.dead for commit in commits):
        return None
    lines = 0
    with _hashing(store, layout.DEAD_LETTERS) as file:
        for commit in commits:
            for line in _dead(store, commit):
                file.write(line + b"\n")
                lines += 1
    return file.described(layout.DEAD_LETTERS, lines)


def _dead(store: Store, commit: Commit) -> list[bytes]:
    return [] if commit.dead is None else (store.read(commit.dead) or b"").splitlines()


def first_error(store: Store, commits: Sequence[Commit]) -> str:
    """Return the first dead letter's error, for a job in which nothing succeeded."""
    for commit in commits:
        for line in _dead(store, commit):
            letter = json.loads(line)
            return f"{letter['item'] or 'one of its items'}: {letter['error_type']}: {letter['message']}"
    return "no reason was recorded"
