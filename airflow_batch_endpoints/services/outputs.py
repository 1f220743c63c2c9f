"""What jobs published, read by the API server: bounded, with a timeout, and only where jobs may write."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from airflow_batch_endpoints.exceptions import ConflictError, NotFoundError, UserError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.services.directory import read
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.resources import (
    DeadLetterGroup,
    DeadLetters,
    JobDetails,
    OutputFile,
    Outputs,
    Preview,
)
from airflow_batch_endpoints.services.storage import bounded, check_output, open_output
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join

MAX_MANIFEST = 10_000_000
MAX_PREVIEW = 1_000_000
"""Bytes of a text file that a preview reads."""
MAX_ROW_GROUP = 256_000_000
"""Bytes (uncompressed) of a row group that a preview decodes."""
MAX_CELL = 500
MAX_COLUMNS = 200
MAX_LETTERS = 5_000_000
"""Bytes of dead letters that are read."""
MAX_COMMITS = 500
"""Commits of a job under way that are searched for dead letters."""
GROUP_ITEMS = 20
CHUNK = 1 << 20


class JobOutputs:
    """The output of a job.

    :param jobs: the service that knows the job.
    :raises NotFoundError: there is no such job.
    :raises ConflictError: it has no output yet.
    :raises ReachError: its output is where jobs may not write (any more).
    """

    def __init__(self, jobs: Jobs, endpoint: str, job: str) -> None:
        self._job: JobDetails = jobs.find(endpoint, job)
        if self._job.output is None:
            raise ConflictError(f"job {job!r} has no output yet (state: {self._job.state})")
        self._uri = self._job.output
        check_output(self._uri)

    # -- what there is -----------------------------------------------------------------------------------------------

    def describe(self) -> Outputs:
        """Return what was published. :raises ConflictError: nothing was."""
        manifest = self._manifest()
        letters = manifest.get("dead_letters")
        return Outputs(
            output=self._uri,
            files=[OutputFile.model_validate(file) for file in manifest["files"]],
            dead_letters=OutputFile.model_validate(letters) if letters else None,
            manifest=manifest,
        )

    def _manifest(self) -> dict[str, Any]:
        content = bounded(lambda: read(open_output(self._uri), layout.MANIFEST, MAX_MANIFEST))
        manifest = None if content is None else json.loads(content)
        if not isinstance(manifest, dict) or manifest.get("job") != self._job.name:
            raise ConflictError(f"job {self._job.name!r} has published nothing (state: {self._job.state})")
        return manifest

    def names(self) -> list[str]:
        """Return the names of all files that were published, the manifest last."""
        outputs = self.describe()
        letters = [outputs.dead_letters.name] if outputs.dead_letters else []
        return [*(file.name for file in outputs.files), *letters, layout.MANIFEST]

    # -- reading -----------------------------------------------------------------------------------------------------

    def open(self, name: str) -> Iterator[bytes]:
        """Return the content of a file that was published, piece by piece.

        :raises NotFoundError: it is none of them.
        """
        if name not in self.names():
            raise NotFoundError(f"job {self._job.name!r} has published no file {ascii(name)[:120]}")
        # Again and with its name: a link may stand there by now.
        check_output(join(self._uri, name))
        context = bounded(lambda: open_output(self._uri).reader(name))
        file = bounded(context.__enter__)

        def pieces() -> Iterator[bytes]:
            try:
                while piece := bounded(lambda: file.read(CHUNK)):
                    yield piece
            finally:
                context.__exit__(None, None, None)

        return pieces()

    def preview(self, *, rows: int) -> Preview:
        """Return the first rows of the predictions.

        :param rows: how many at most.
        :raises UserError: no file is of a format that can be shown.
        """
        readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
        for file in self.describe().files:
            reader = readers.get("." + file.name.rpartition(".")[2])
            if reader is None:
                continue
            check_output(join(self._uri, file.name))

            def look(reader: Callable[..., Any] = reader, name: str = file.name) -> tuple[list[str], list[list[Any]]]:
                with open_output(self._uri).reader(name) as content:
                    columns, found = reader(content, rows + 1)
                    return columns, found

            columns, found = bounded(look)
            return Preview(
                file=file.name,
                columns=[_cell(column) for column in columns[:MAX_COLUMNS]],
                rows=[[_cell(cell) for cell in row[:MAX_COLUMNS]] for row in found[:rows]],
                is_complete=len(found) <= rows and (file.rows is None or file.rows <= rows),
            )
        raise UserError(
            f"job {self._job.name!r} has published no .csv, .parquet or .jsonl file to look into; download its files"
        )

    def dead_letters(self, *, limit: int, offset: int) -> DeadLetters:
        """Return the items that failed for good: grouped by how, and one page of them. Also while the job runs.

        :param limit: how many letters the page has at most.
        """
        content = bounded(lambda: self._letters(open_output(self._uri)))
        lines = content[:MAX_LETTERS].splitlines()
        is_cut = len(content) > MAX_LETTERS
        letters = [letter for line in (lines[:-1] if is_cut else lines) if isinstance(letter := json.loads(line), dict)]
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for letter in letters:
            groups.setdefault((str(letter.get("error_type")), str(letter.get("message"))), []).append(letter)
        return DeadLetters(
            total=None if is_cut else len(letters),
            groups=[
                DeadLetterGroup(
                    error_type=error_type,
                    message=message,
                    traceback=found[0].get("traceback") or None,
                    count=len(found),
                    items=[str(letter.get("item")) for letter in found[:GROUP_ITEMS]],
                )
                for (error_type, message), found in sorted(groups.items(), key=lambda group: -len(group[1]))
            ],
            items=letters[offset : offset + limit],
        )

    def _letters(self, store: Store) -> bytes:
        published = read(store, layout.DEAD_LETTERS, MAX_LETTERS + 1)
        if published is not None:
            return published
        found = b""
        for key in store.list(layout.COMMITS)[:MAX_COMMITS]:
            commit = json.loads(store.read(key) or b"{}")
            part = str(commit.get("dead") or "")
            if part:
                check_output(join(self._uri, part))
                found += read(store, part, MAX_LETTERS + 1 - len(found)) or b""
            if len(found) > MAX_LETTERS:
                break
        return found


def _csv_rows(file: BinaryIO, limit: int) -> tuple[list[str], list[list[Any]]]:
    lines = csv.reader(io.StringIO(_whole_lines(file)))
    columns = next(lines, [])
    return columns, list(itertools.islice(lines, limit))


def _json_rows(file: BinaryIO, limit: int) -> tuple[list[str], list[list[Any]]]:
    entries = [json.loads(line) for line in _whole_lines(file).splitlines()[:limit]]
    found = [entry if isinstance(entry, dict) else {"value": entry} for entry in entries]
    columns = list(dict.fromkeys(name for entry in found for name in entry))
    return columns, [[entry.get(name) for name in columns] for entry in found]


def _parquet_rows(file: BinaryIO, limit: int) -> tuple[list[str], list[list[Any]]]:
    from pyarrow import parquet

    content = parquet.ParquetFile(file)
    columns = content.schema_arrow.names
    if not content.num_row_groups:
        return columns, []
    if content.metadata.row_group(0).total_byte_size > MAX_ROW_GROUP:
        raise UserError("the first row group is too large to look into; download the file")
    batch = next(content.iter_batches(batch_size=limit, row_groups=[0]), None)
    return columns, [] if batch is None else [list(row.values()) for row in batch.to_pylist()]


def _whole_lines(file: BinaryIO) -> str:
    """Return the beginning of a text; what is cut off in the middle of a line is left out."""
    content = file.read(MAX_PREVIEW + 1)
    if len(content) > MAX_PREVIEW:
        content = content[: content.rfind(b"\n") + 1]
    return content.decode(errors="replace")


def _cell(value: Any) -> Any:
    """Return a value as JSON has it, shortened."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}..."
