"""Moving files between stores and this machine: streamed, several at a time, and given up at once when the worker must stop."""

from __future__ import annotations

import hashlib
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

from airflow_batch_endpoints.exceptions import InfrastructureError, InputError
from airflow_batch_endpoints.jobs.steps import PublishedFile
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.contents import Contents, File
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import is_local, local_path, shown
from airflow_batch_endpoints.worker.publishing.hashing import hashing

Result = TypeVar("Result")

THREADS = 8
"""Files that are moved at a time."""
CHUNK = 1 << 20


def in_threads(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Make calls, :data:`THREADS` at a time, and return what they return, in their order; the first failure ends it.

    The threads do not keep the process alive: one that is told to stop stops, whatever is under way.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(calls)):
        pending.put(number)
    done: queue.SimpleQueue[tuple[int, Result | None, BaseException | None]] = queue.SimpleQueue()
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            try:
                number = pending.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, calls[number](), None))
            except BaseException as error:  # noqa: BLE001 - raised where the results are taken
                done.put((number, None, error))

    for _ in range(min(THREADS, len(calls))):
        threading.Thread(target=work, daemon=True).start()
    results: dict[int, Result] = {}
    try:
        while len(results) < len(calls):
            number, result, error = done.get()
            if error is not None:
                raise error
            results[number] = cast("Result", result)
    finally:
        is_over.set()
    return [results[number] for number in range(len(calls))]


def fetch(found: Contents, target: Path, allowed: Sequence[str]) -> None:
    """Have a copy of a file or folder on this machine.

    :param found: what is there.
    :param target: path of the copy; its parent is there, it is not.
    :param allowed: prefixes that redirects must stay within.
    """
    if not found.is_file:
        target.mkdir()
    in_threads([lambda file=file: _fetch(found, file, target, allowed) for file in found.files])  # type: ignore[misc]


def _fetch(found: Contents, file: File, target: Path, allowed: Sequence[str]) -> None:
    path, uri = target / file.path if file.path else target, found.uri_of(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(uri, path, allowed)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"input {shown(found.uri)} holds {shown(file.path)} as a file and as a folder") from None
    except FileNotFoundError:
        raise InputError(f"input {shown(uri)} vanished while it was fetched") from None
    size = path.stat().st_size
    if size != file.size and not (uri.startswith("http") and file.size == 0):
        raise InfrastructureError(
            f"fetching {shown(uri)}: {size} bytes came, {file.size} were listed; it changes meanwhile"
        )


def _fetch_file(uri: str, path: Path, allowed: Sequence[str]) -> None:
    if is_local(uri):
        shutil.copyfile(local_path(uri), path)
    elif uri.startswith(("http://", "https://")):
        from airflow_batch_endpoints.storage.http import download

        download(uri, path, allowed)
    else:
        from airflow_batch_endpoints.storage.remote import file_system
        from airflow_batch_endpoints.storage.retries import retrying

        fs, remote = file_system(uri)
        retrying(f"fetching {shown(uri)}", lambda: fs.get_file(remote, str(path)))


def keep(store: Store, key: str, path: Path, name: str) -> PublishedFile:
    """Store a file of this machine, counted and hashed on its way.

    :param name: what it is called in its output.
    """
    with path.open("rb") as source, hashing(store, key) as target:
        while chunk := source.read(CHUNK):
            target.write(chunk)
    return PublishedFile(name=name, bytes=target.bytes, sha256=target.digest)


def digest(path: Path, name: str) -> PublishedFile:
    """Describe a file that is where it belongs already."""
    with path.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    return PublishedFile(name=name, bytes=path.stat().st_size, sha256=sha256)


def copy(source: str, target: str) -> None:
    """Copy a file from URI to URI: by the store itself where one store has both, else through here.

    :raises FileNotFoundError: it is gone.
    """
    (there, path), (here, other) = _root(source), _root(target)
    if there == here:
        open_store(there).copy(path, other)
        return
    with open_store(there).reader(path) as content, open_store(here).writer(other) as file:
        shutil.copyfileobj(content, file, CHUNK)


def _root(uri: str) -> tuple[str, str]:
    """Return the store that a URI is in, as a whole, and the key."""
    if is_local(uri):
        return "file:///", local_path(uri).lstrip("/")
    parts = urlsplit(uri)
    root = f"{parts.scheme}://{parts.netloc}"
    return root, uri.removeprefix(root).lstrip("/")
