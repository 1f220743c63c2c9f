"""Writing what a job gave: rows, files and dead letters, each counted and hashed on its way."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from airflow_batch_endpoints.exceptions import InfrastructureError, UserError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.worker.ledger import Commit
from airflow_batch_endpoints.worker.publishing import parts, schemas
from airflow_batch_endpoints.worker.publishing.hashing import hashing
from airflow_batch_endpoints.worker.publishing.parts import copy
from airflow_batch_endpoints.worker.publishing.writers import open_writer

_PART = re.compile(r"part-\d{5,}\.parquet")
SUMMARY_COLUMNS = pa.schema(
    [("shard", pa.int64()), ("items", pa.int64()), ("succeeded", pa.int64()), ("failed", pa.int64())]
)


def _schema(commits: Sequence[Commit]) -> pa.Schema:
    """Return the one schema of the output."""
    distinct = dict.fromkeys(serialized for commit in commits for serialized in commit.schemas)
    return schemas.unify(schemas.decode(serialized) for serialized in distinct)


def write_dataset(store: Store, spec: JobSpec, commits: Sequence[Commit]) -> list[dict[str, Any]]:
    """Publish the parts as a folder of Parquet files, named in the plan's order.

    A part that was sealed with the schema of the output is copied (on a local disk: linked) as it is. Others, whose mini-batches
    gave other columns or types, are written anew.

    :param commits: one of every shard, by number.
    :return: name, rows, bytes and digest of each file.
    """
    schema = _schema(commits)
    files = []
    for commit in commits:
        if commit.part is None or commit.rows == 0:
            continue
        name = _part_name(spec, commit.shard)
        if commit.part.endswith(".parquet") and schemas.unify(map(schemas.decode, commit.schemas)).equals(schema):
            copy(store, commit.part, name)
            files.append({"name": name, "rows": commit.rows, "bytes": commit.bytes, "sha256": commit.sha256})
            continue
        with hashing(store, name) as file, open_writer(file, name, schema, None) as writer:  # type: ignore[arg-type]
            for table in parts.read(store, commit):
                writer.write(schemas.conform(table, schema))
        files.append(file.described(name, commit.rows))
    # What a publication of another job left that was interrupted while it was replaced must not be read as ours.
    ours = {file["name"] for file in files}
    folder = spec.settings.output_file_name
    for name in store.list(folder.rstrip("/")):
        if name not in ours and _PART.fullmatch(name.removeprefix(folder)):
            store.delete(name)
    return files


def _part_name(spec: JobSpec, shard: int) -> str:
    return f"{spec.settings.output_file_name}part-{shard:05d}.parquet"


def write_rows(store: Store, spec: JobSpec, commits: Sequence[Commit]) -> dict[str, Any]:
    """Write the output file: the rows of every shard, in the plan's order.

    :param commits: one of every shard, by number.
    :return: name, rows, bytes and digest.
    """
    schema = _schema(commits)
    name, rows = spec.settings.output_file_name, 0
    azureml = None
    if spec.settings.output_format == "azureml":
        azureml = "script" if spec.is_script else "mlflow"
    with hashing(store, name) as file, open_writer(file, name, schema, azureml) as writer:  # type: ignore[arg-type]
        for commit in commits:
            for table in parts.read(store, commit):
                writer.write(schemas.conform(table, schema))
                rows += table.num_rows
    return file.described(name, rows)


def write_summary(store: Store, spec: JobSpec, commits: Sequence[Commit]) -> dict[str, Any]:
    """Write, for ``summary_only``, what was done: a line per shard instead of the predictions."""
    table = pa.table(
        [[getattr(commit, name) for commit in commits] for name in SUMMARY_COLUMNS.names], schema=SUMMARY_COLUMNS
    )
    name = "predictions.csv"
    with hashing(store, name) as file, open_writer(file, name, table.schema, None) as writer:  # type: ignore[arg-type]
        writer.write(table)
    return file.described(name, table.num_rows)


def move_files(store: Store, commits: Sequence[Commit], reserved: set[str]) -> list[dict[str, Any]]:
    """Copy what scripts wrote to the output.

    :param reserved: names that the job itself writes, folders with a slash at their end.
    :raises UserError: two files of one name, or one of ours.
    """
    origin: dict[str, int] = {}
    files = []
    for commit in commits:
        for file in commit.files:
            name = file["name"]
            if name in reserved or f"{name.split('/')[0]}/" in {*reserved, f"{layout.WORKING}/"}:
                raise UserError(
                    f"the script wrote {name!r} to AZUREML_BI_OUTPUT_PATH, a name the job itself uses; rename it"
                )
            if name in origin:
                raise UserError(
                    f"the script wrote {name!r} in shard {origin[name]} and in shard {commit.shard}; "
                    "put the input's name into the names of output files"
                )
            origin[name] = commit.shard
            copy(store, file["key"], name)
            files.append({"name": name, "rows": None, "bytes": file["bytes"], "sha256": file["sha256"]})
    return files


def write_dead_letters(store: Store, commits: Sequence[Commit]) -> dict[str, Any] | None:
    """Write one line per failed item, in the plan's order; nothing when none failed."""
    if not any(commit.dead for commit in commits):
        return None
    lines = 0
    with hashing(store, layout.DEAD_LETTERS) as file:
        for commit in commits:
            for line in _dead(store, commit):
                file.write(line + b"\n")
                lines += 1
    return file.described(layout.DEAD_LETTERS, lines)


def _dead(store: Store, commit: Commit) -> list[bytes]:
    if commit.dead is None:
        return []
    content = store.read(commit.dead)
    if content is None:
        raise InfrastructureError(f"{commit.dead} is gone from the job's folder; something deletes files there")
    return content.splitlines()


def first_error(store: Store, commits: Sequence[Commit]) -> str:
    """Return the first dead letter's error, for a job in which nothing succeeded."""
    for commit in commits:
        for line in _dead(store, commit):
            letter = json.loads(line)
            return f"{letter['item'] or 'one of its items'}: {letter['error_type']}: {letter['message']}"
    return "no reason was recorded"
