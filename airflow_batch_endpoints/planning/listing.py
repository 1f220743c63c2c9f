"""What an input URI stands for: the files to score, in a stable order.

The rule: a file stands for itself; a folder for every file below it, at any depth; a pattern (``*``, ``?``, ``[...]``, ``**``) for
what it matches. Below the root, names that start with ``.`` or ``_`` are skipped, files and folders alike, as Spark and Hive do.
Local links are followed when they stay within the input or an allowed prefix; sockets, pipes and devices are skipped.
Items are sorted by path. Nothing is opened.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_batch_endpoints.exceptions import InputError
from airflow_batch_endpoints.planning.items import RowRange
from airflow_batch_endpoints.storage.reach import is_within
from airflow_batch_endpoints.storage.uris import is_local, local_path, normalise, shown

log = logging.getLogger(__name__)

_WILDCARDS = "*?["
_CHUNK = 65_536
"""Files that are kept as Python objects before they become Arrow's."""


class Listing:
    """The files of an input, held as Arrow columns: a million of them take some tens of megabytes.

    :param root: URI that every path is relative to.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.skipped: dict[str, int] = {}
        """Why files were left out, and how many."""
        self.ranges: dict[bytes, tuple[RowRange, ...]] = {}
        """Which rows of a file are meant, where not the whole file is."""
        self._paths: list[bytes] = []
        self._sizes: list[int] = []
        self._chunks: list[tuple[pa.Array, pa.Array]] = []

    def add(self, path: bytes, size: int) -> None:
        """Add a file: its path relative to the root, and its size in bytes."""
        self._paths.append(path)
        self._sizes.append(size)
        if len(self._paths) == _CHUNK:
            self._pack()

    def skip(self, why: str) -> None:
        """Count a file that is left out."""
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def _pack(self) -> None:
        self._chunks.append((pa.array(self._paths, pa.large_binary()), pa.array(self._sizes, pa.int64())))
        self._paths, self._sizes = [], []

    def sorted(self) -> tuple[pa.Array, pa.Array]:
        """Return paths and sizes, sorted by path; a path that was added twice is there once."""
        self._pack()
        chunks, self._chunks = self._chunks, []
        paths = pa.concat_arrays([paths for paths, _ in chunks])
        sizes = pa.concat_arrays([sizes for _, sizes in chunks])
        del chunks
        if not _all(pc.less(paths[:-1], paths[1:])):
            order = pc.sort_indices(paths)
            paths, sizes = paths.take(order), sizes.take(order)
            is_new = pc.not_equal(paths[:-1], paths[1:])
            if not _all(is_new):
                is_new = pa.concat_arrays([pa.array([True]), is_new])
                paths, sizes = paths.filter(is_new), sizes.filter(is_new)
        self._chunks = [(paths, sizes)]
        return paths, sizes


def _all(values: pa.BooleanArray) -> bool:
    return bool(pc.all(values, min_count=0).as_py())


def list_input(uri: str, allowed: Sequence[str] = ()) -> Listing:
    """List the files of an input.

    :param uri: normalised URI of a file, a folder or a pattern.
    :param allowed: prefixes that local links may lead to, besides the input itself.
    :raises InputError: when there is no such input, or no file in it.
    """
    listing = _list_local(uri, allowed) if is_local(uri) else _list_remote(uri, allowed)
    for why, count in sorted(listing.skipped.items()):
        log.warning("%d skipped: %s", count, why)
    paths, _ = listing.sorted()
    if not len(paths):
        left_out = (
            f" ({sum(listing.skipped.values())} were skipped: {', '.join(listing.skipped)})" if listing.skipped else ""
        )
        raise InputError(
            f"no input files found under {shown(uri)}{left_out}; names that start with '.' or '_' do not count"
        )
    return listing


def is_hidden(path: str) -> bool:
    """Tell whether a relative path has a part that is skipped."""
    return any(part.startswith((".", "_")) for part in path.split("/"))


# -- local --------------------------------------------------------------------------------------------------------


def _list_local(uri: str, allowed: Sequence[str]) -> Listing:
    path = local_path(uri)
    if os.path.lexists(path):
        if os.path.isdir(path):
            return _walk(Listing(uri), path, "", allowed)
        listing = Listing(normalise(os.path.dirname(path)))
        _add_local(listing, path, os.path.basename(path), [*allowed, uri])
        return listing
    if any(character in path for character in _WILDCARDS):
        return _glob_local(path, allowed)
    raise InputError(f"input {shown(uri)} does not exist")


def _glob_local(pattern: str, allowed: Sequence[str]) -> Listing:
    import glob

    fixed = pattern[: min(pattern.index(character) for character in _WILDCARDS if character in pattern)].rpartition(
        "/"
    )[0]
    listing = Listing(normalise(fixed or "/"))
    for name in glob.iglob(pattern, recursive=True):
        relative = os.path.relpath(name, fixed or "/")
        if is_hidden(relative):
            continue
        if os.path.isdir(name):
            if not pattern.endswith("**"):
                _walk(listing, name, relative + "/", allowed)
        else:
            _add_local(listing, name, relative, allowed)
    return listing


def _walk(listing: Listing, top: str, prefix: str, allowed: Sequence[str]) -> Listing:
    """Add every file below a folder. A folder is entered once, by whatever name, so loops of links end."""
    seen = {_identity(top)}
    pending = [(os.fsencode(top), os.fsencode(prefix))]
    while pending:
        folder, relative = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith((b".", b"_")):
                        continue
                    try:
                        is_link = entry.is_symlink()
                        # Through a link only as far as one may go, and into a folder only once.
                        if is_link and not _may_follow(listing, os.fsdecode(entry.path), allowed):
                            listing.skip("links that lead outside the input")
                        elif entry.is_file():
                            listing.add(relative + name, entry.stat().st_size)
                        elif entry.is_dir():
                            if not is_link or _is_new(seen, os.fsdecode(entry.path)):
                                pending.append((entry.path, relative + name + b"/"))
                        else:
                            listing.skip("pipes, sockets, devices and broken links")
                    except FileNotFoundError:
                        listing.skip("files that vanished")
        except FileNotFoundError:
            listing.skip("folders that vanished")
        except PermissionError as error:
            raise InputError(f"input folder {shown(os.fsdecode(folder))} cannot be read: {error.strerror}") from error
    return listing


def _add_local(listing: Listing, path: str, relative: str, allowed: Sequence[str]) -> None:
    if os.path.islink(path) and not _may_follow(listing, path, allowed):
        listing.skip("links that lead outside the input")
        return
    try:
        status = os.stat(path)
    except FileNotFoundError:
        listing.skip("pipes, sockets, devices and broken links")
        return
    if stat.S_ISREG(status.st_mode):
        listing.add(os.fsencode(relative), status.st_size)
    else:
        listing.skip("pipes, sockets, devices and broken links")


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_new(seen: set[tuple[int, int]], path: str) -> bool:
    identity = _identity(path)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _may_follow(listing: Listing, path: str, allowed: Sequence[str]) -> bool:
    target = normalise(os.path.realpath(path))
    return any(is_within(target, prefix) for prefix in (listing.root, *allowed))


# -- everywhere else ----------------------------------------------------------------------------------------------


def _list_remote(uri: str, allowed: Sequence[str]) -> Listing:
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    if uri.startswith(("http://", "https://")):
        return _list_http(uri, allowed)
    fs, path = file_system(uri)
    scheme = uri.partition("://")[0]
    if any(character in path for character in _WILDCARDS):
        fixed = path[: min(path.index(character) for character in _WILDCARDS if character in path)].rpartition("/")[0]
        found = retrying(f"listing {uri}", lambda: fs.glob(path, detail=True))
        files = [entry for entry in found.values() if entry["type"] == "file"]
        listing = Listing(f"{scheme}://{fixed}")
    else:
        found = retrying(f"listing {uri}", lambda: fs.find(path, detail=True))
        files = list(found.values())
        is_file = len(files) == 1 and files[0]["name"].rstrip("/") == path.rstrip("/")
        fixed = path.rpartition("/")[0] if is_file else path
        listing = Listing(f"{scheme}://{fixed}" if is_file else uri)
    for entry in files:
        relative = entry["name"].removeprefix(fixed).lstrip("/")
        if not relative or relative.endswith("/") or is_hidden(relative):
            continue
        listing.add(os.fsencode(relative), int(entry.get("size") or 0))
    return listing


def _list_http(uri: str, allowed: Sequence[str]) -> Listing:
    from airflow_batch_endpoints.storage.http import size_of

    base, _, name = uri.partition("?")[0].rpartition("/")
    query = uri[len(base) + 1 + len(name) :]
    listing = Listing(base)
    listing.add(os.fsencode(name + query), size_of(uri, allowed))
    return listing
