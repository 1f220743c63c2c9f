"""What is at a URI, down to the content of every file: enough to tell later that nothing has changed.

A file's identity is what its store says of its content: an etag, a version, a generation; where there is no better, its size and
the time of its last change. It is compared for equality alone, never as a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_batch_endpoints.exceptions import InputError
from airflow_batch_endpoints.storage.reach import check_reach, is_within
from airflow_batch_endpoints.storage.uris import is_local, join, local_path, normalise, shown

_MARKS = ("ETag", "etag", "VersionId", "version_id", "generation", "md5Hash")
"""What object stores say of content, by whatever name."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime")


@dataclass(frozen=True)
class File:
    """One file."""

    path: str
    """Relative to the URI; empty when the URI is that of the file."""
    size: int
    identity: str | None
    """``None`` when the store tells nothing of the content."""


@dataclass(frozen=True)
class Contents:
    """What is at a URI."""

    uri: str
    is_file: bool
    files: tuple[File, ...]
    """Sorted by path. Names that start with ``.`` or ``_`` are there, too."""

    def uri_of(self, file: File) -> str:
        """Return the URI of one of the files."""
        return join(self.uri, file.path) if file.path else self.uri


def contents(uri: str, allowed: Sequence[str] = ()) -> Contents:
    """List what is at a URI.

    :param uri: normalised; of a file or a folder.
    :param allowed: prefixes that it must stay within, and that local links may lead to; without any, links stay within the URI.
    :raises InputError: there is nothing, or a name or link in it leads outside.
    :raises ReachError: it is outside of what is allowed.
    """
    if allowed:
        check_reach(uri, allowed, what="input", option="allowed_input_uris")
    if is_local(uri):
        return _local(uri, allowed)
    if uri.startswith(("http://", "https://")):
        from airflow_batch_endpoints.storage.http import describe

        size, identity = describe(uri, allowed)
        return Contents(uri, is_file=True, files=(File("", size, identity),))
    return _remote(uri)


def exists(uri: str, allowed: Sequence[str] = ()) -> bool | None:
    """Tell what is at a URI without listing it: ``True`` for a file, ``False`` for a folder, ``None`` for nothing."""
    if is_local(uri):
        path = local_path(uri)
        return None if not os.path.exists(path) else not os.path.isdir(path)
    if uri.startswith(("http://", "https://")):
        from airflow_batch_endpoints.storage.http import describe

        describe(uri, allowed)
        return True
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, path = file_system(uri)
    try:
        found = retrying(f"looking for {shown(uri)}", lambda: fs.info(path))
    except FileNotFoundError:
        return None
    return bool(found["type"] == "file")


# -- local --------------------------------------------------------------------------------------------------------------


def _local(uri: str, allowed: Sequence[str]) -> Contents:
    path = local_path(uri)
    try:
        if os.path.isdir(path):
            files = sorted(_walk(path, (uri, *allowed)), key=lambda file: file.path)
            return Contents(uri, is_file=False, files=tuple(files))
        return Contents(uri, is_file=True, files=(_file("", os.stat(path)),))
    except FileNotFoundError:
        raise InputError(f"input {shown(uri)} does not exist, or what is in it vanishes") from None
    except PermissionError as error:
        raise InputError(f"input {shown(error.filename or path)} cannot be read: {error.strerror}") from None


def _walk(top: str, allowed: Sequence[str]) -> Iterator[File]:
    """Yield every file below a folder, through links too; a folder is entered once, so loops of links end."""
    seen, pending = set(), [(top, "")]
    while pending:
        folder, prefix = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_symlink():
                    _require_within(entry.path, path, allowed)
                if entry.is_dir():
                    status = entry.stat()
                    if (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        pending.append((entry.path, f"{path}/"))
                elif entry.is_file():
                    yield _file(path, entry.stat())


def _require_within(link: str, path: str, allowed: Sequence[str]) -> None:
    target = normalise(os.path.realpath(link))
    if not any(is_within(target, prefix) for prefix in allowed):
        raise InputError(
            f"input {shown(allowed[0])} holds a link that leads outside of it: {shown(path)} -> {shown(target)}"
        )


def _file(path: str, status: os.stat_result) -> File:
    return File(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


# -- everywhere else ----------------------------------------------------------------------------------------------------


def _remote(uri: str) -> Contents:
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, path = file_system(uri)
    path = path.rstrip("/")
    found = retrying(f"listing {shown(uri)}", lambda: fs.find(path, detail=True))
    files = []
    for name, entry in found.items():
        relative = name.rstrip("/").removeprefix(path).lstrip("/")
        if name.endswith("/") or entry["type"] != "file":
            continue  # what stands for a folder where there are none
        if any(part in ("", ".", "..") for part in relative.split("/")) and name != path:
            raise InputError(f"input {shown(uri)} holds an object whose name is no path below it: {shown(name)}")
        files.append(File(relative, int(entry.get("size") or 0), _identity(entry)))
    if not files:
        raise InputError(f"input {shown(uri)} does not exist, or there is no file in it")
    files.sort(key=lambda file: file.path)
    return Contents(uri, is_file=[file.path for file in files] == [""], files=tuple(files))


def _identity(entry: Mapping[str, Any]) -> str | None:
    marks = [str(entry[name]) for name in _MARKS if entry.get(name)]
    times = [str(entry[name]) for name in _TIMES if entry.get(name)]
    if not marks and not times:
        return None
    return "-".join([str(entry.get("size") or 0), *(marks or times)])
