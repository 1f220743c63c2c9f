"""What jobs published, read by the API server: bounded, with a timeout, and only where jobs may write."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from airflow_batch_endpoints.exceptions import ConflictError, InfrastructureError, NotFoundError, UserError
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
from airflow_batch_endpoints.storage.reach import is_within
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join, shown

MAX_MANIFEST = 30_000_000
"""Bytes of a manifest that is read, of some 160,000 files. Describing them takes a server about twenty times as much memory."""
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


class _Output(BaseModel):
    """What a manifest says of a named output."""

    uri: str
    is_file: bool = False
    files: list[OutputFile]


class _Manifest(BaseModel):
    """What a manifest says of files."""

    files: list[OutputFile]
    dead_letters: OutputFile | None = None
    outputs: dict[str, _Output] = {}


@dataclass(frozen=True)
class _Published:
    """A file that a job published: under which name it is asked for, and where it is."""

    file: OutputFile
    folder: str
    """A URI."""
    key: str
    """The file's name in it."""


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
        content = self._content()
        manifest = _parsed(content, self._uri)
        return Outputs(
            output=self._uri,
            files=[published.file for published in (*self._files(manifest), *self._letters_of_steps())],
            dead_letters=manifest.dead_letters,
            manifest=content,
        )

    def _content(self) -> dict[str, Any]:
        """Return the manifest as it is."""
        content = _manifest_in(self._uri)
        if content is None or content.get("job") != self._job.name:
            raise ConflictError(f"job {self._job.name!r} has published nothing (state: {self._job.state})")
        return content

    def _manifest(self) -> _Manifest:
        return _parsed(self._content(), self._uri)

    def _files(self, manifest: _Manifest) -> Iterator[_Published]:
        """Yield the files in the job's folder, and after them those of outputs that the invocation put elsewhere."""
        for file in manifest.files:
            yield _Published(file, self._uri, file.name)
        for name, output in manifest.outputs.items():
            planned = self._job.outputs.get(name)
            # A manifest lies where scripts can write. What was planned is known better.
            if planned is None or planned.uri != output.uri or is_within(output.uri, self._uri):
                continue
            folder = output.uri.rpartition("/")[0] if output.is_file else output.uri
            for file in output.files:
                yield _Published(file.model_copy(update={"name": f"{name}/{file.name}"}), folder, file.name)

    def _letters_of_steps(self) -> Iterator[_Published]:
        """Yield the files of dead letters that steps which score in mini-batches have left."""
        for step, folder in self._scored_steps().items():
            content = _manifest_in(folder)
            letters = None if content is None else _parsed(content, folder).dead_letters
            if letters is not None:
                listed = letters.model_copy(update={"name": f"dead_letters/{step}.jsonl"})
                yield _Published(listed, folder, letters.name)

    def _scored_steps(self) -> dict[str, str]:
        """Return the folders in which steps of this job scored mini-batches."""
        steps = [step.name for step in self._job.steps if step.is_parallel and step.reused_from is None]
        return {step: join(self._uri, layout.step_job(step)) for step in steps}

    def names(self) -> list[str]:
        """Return the names of all files that were published, the manifest last."""
        return list(dict.fromkeys(published.file.name for published in self._published()))

    def _published(self) -> Iterator[_Published]:
        """Yield all files, the manifest last; of two that have one name, the first counts: it is in the job's folder."""
        manifest = self._manifest()
        yield from self._files(manifest)
        if manifest.dead_letters is not None:
            yield _Published(manifest.dead_letters, self._uri, manifest.dead_letters.name)
        yield from self._letters_of_steps()
        yield _Published(OutputFile(name=layout.MANIFEST), self._uri, layout.MANIFEST)

    # -- reading -----------------------------------------------------------------------------------------------------

    def open(self, name: str) -> Iterator[bytes]:
        """Return the content of a file that was published, piece by piece.

        :raises NotFoundError: it is none of them.
        """
        published = next((published for published in self._published() if published.file.name == name), None)
        if published is None:
            raise NotFoundError(f"job {self._job.name!r} has published no file {ascii(name)[:120]}")
        # Again and with its name: a link may stand there by now.
        check_output(join(published.folder, published.key))
        context = bounded(lambda: open_output(published.folder).reader(published.key))
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
        for published in self._files(self._manifest()):
            file = published.file
            reader = readers.get("." + file.name.rpartition(".")[2])
            if reader is None:
                continue
            check_output(join(published.folder, published.key))

            def look(
                reader: Callable[..., Any] = reader, published: _Published = published
            ) -> tuple[list[str], list[list[Any]]]:
                with open_output(published.folder).reader(published.key) as content:
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
        folders = self._scored_steps() if self._job.deployment_type == "pipeline" else {"": self._uri}
        letters, is_cut = [], False
        for step, folder in folders.items():
            found, is_more = _letters_in(folder)
            letters += [{"step": step, **letter} if step else letter for letter in found]
            is_cut = is_cut or is_more
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


def _manifest_in(folder: str) -> dict[str, Any] | None:
    """Return the manifest of a job's folder; ``None`` when nothing is published there."""
    content = bounded(lambda: read(open_output(folder), layout.MANIFEST, MAX_MANIFEST + 1))
    if content is None:
        return None
    what = shown(join(folder, layout.MANIFEST), 1000)
    if len(content) > MAX_MANIFEST:
        raise UserError(
            f"the manifest has more than {MAX_MANIFEST:,} bytes, too many to read here; it is {what}: copy the files "
            "that it lists from where they are"
        )
    return _object(content, what)


def _parsed(content: dict[str, Any], folder: str) -> _Manifest:
    try:
        return _Manifest.model_validate(content)
    except ValidationError:
        raise _damaged(shown(join(folder, layout.MANIFEST), 1000)) from None


def _object(content: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object that was read. :param what: where, for the message."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise _damaged(what) from None
    if not isinstance(found, dict):
        raise _damaged(what)
    return found


def _damaged(what: str) -> InfrastructureError:
    return InfrastructureError(
        f"{what} is not as a job of this version writes it: something has changed it since; run the job again"
    )


def _letters_in(folder: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the dead letters of a job's folder, and whether there are more than are read."""
    content = bounded(lambda: _read_letters(open_output(folder), folder))
    lines, is_cut = content[:MAX_LETTERS].splitlines(), len(content) > MAX_LETTERS
    lines = lines[:-1] if is_cut else lines
    return [_object(line, f"a dead letter in {shown(folder, 1000)}") for line in lines], is_cut


def _read_letters(store: Store, folder: str) -> bytes:
    published = read(store, layout.DEAD_LETTERS, MAX_LETTERS + 1)
    if published is not None:
        return published
    found = b""
    for key in store.list(layout.COMMITS)[:MAX_COMMITS]:
        commit = _object(store.read(key) or b"{}", shown(join(folder, key), 1000))
        part = str(commit.get("dead") or "")
        if part:
            check_output(join(folder, part))
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
