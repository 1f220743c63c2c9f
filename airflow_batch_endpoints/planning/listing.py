"""What an input URI stands for: the files to score, in a stable order.

The rule: a file stands for itself; a folder for every file below it, at any depth; a pattern (``*``, ``?``, ``[...]``, ``**``) for
what it matches. Below the root, names that start with ``.`` or ``_`` are skipped, files and folders alike, as Spark and Hive do.
Local links are followed when they stay within the input or an allowed prefix; a folder that is there by its own name is not entered
through a link as well. Sockets, pipes and devices are skipped.
Items are sorted by path. Nothing is opened.
"""

from __future__ import annotations

import errno
import fnmatch
import heapq
import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_batch_endpoints.exceptions import InputError
from airflow_batch_endpoints.planning.items import RowRange
from airflow_batch_endpoints.storage.reach import check_reach, is_within
from airflow_batch_endpoints.storage.uris import is_local, local_path, normalise, shown, without_query

log = logging.getLogger(__name__)

_WILDCARDS = "*?["
_Pattern = tuple[re.Pattern[str] | None, ...]
"""The parts of a pattern between slashes, ``None`` for ``**``; without any it matches everything."""
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
    :param allowed: prefixes that it must stay within, and that local links may lead to, besides the input itself; without any,
        links stay within the input.
    :raises InputError: when there is no such input, or no file in it.
    :raises ReachError: it is outside of what is allowed.
    """
    if allowed:
        check_reach(uri, allowed, what="input", option="allowed_input_uris")
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
            return _walk(Listing(uri), path, allowed)
        listing = Listing(normalise(os.path.dirname(path)))
        _add_local(listing, path, os.path.basename(path), [*allowed, uri])
        return listing
    if any(character in path for character in _WILDCARDS):
        return _glob_local(path, allowed)
    raise InputError(f"input {shown(uri)} does not exist")


def _glob_local(pattern: str, allowed: Sequence[str]) -> Listing:
    fixed = pattern[: min(pattern.index(character) for character in _WILDCARDS if character in pattern)].rpartition(
        "/"
    )[0]
    listing = Listing(normalise(fixed or "/"))
    parts = [
        None if part == "**" else re.compile(fnmatch.translate(part)) for part in pattern[len(fixed) + 1 :].split("/")
    ]
    if os.path.isdir(fixed or "/"):
        _walk(listing, fixed or "/", allowed, tuple(parts))
    return listing


def _walk(listing: Listing, top: str, allowed: Sequence[str], pattern: _Pattern = ()) -> Listing:
    """Add every file below a folder that matches a pattern, or lies in a folder that does.

    A file is added by one name, whatever folders are links to others, so loops of links end.
    """
    matched = len(pattern)
    entered: dict[tuple[int, int], list[frozenset[int]]] = {}
    # What is reached through a link comes last: it counts only where no way without one leads.
    pending = [(False, b"", os.fsencode(top), _through(pattern, {0}))]
    while pending:
        is_linked, relative, folder, used = heapq.heappop(pending)
        try:
            status = os.stat(folder)
            before = entered.setdefault((status.st_dev, status.st_ino), [])
            if used in before:
                continue
            for entry, now in _matches(folder, pattern, used, before):
                path = relative + entry.name
                if _is_folder(listing, entry, path, allowed, is_match=_takes_file(pattern, used, now)):
                    heapq.heappush(pending, (is_linked or entry.is_symlink(), path + b"/", entry.path, now))
            before.append(used)
        except FileNotFoundError:
            listing.skip("folders that vanished")
        except PermissionError as error:
            # Into a folder that does not match itself one only looks whether something in it does.
            if matched in used or error.filename != folder:
                name = shown(os.fsdecode(error.filename))
                raise InputError(f"input {name} cannot be read: {error.strerror}") from error
            listing.skip("folders that cannot be read")
    return listing


def _is_folder(
    listing: Listing, entry: os.DirEntry[bytes], path: bytes, allowed: Sequence[str], *, is_match: bool
) -> bool:
    """Tell whether an entry is a folder one may enter; a file that matches is added."""
    try:
        # Through a link only as far as one may go.
        if entry.is_symlink() and not _may_follow(listing, os.fsdecode(entry.path), allowed):
            listing.skip("links that lead outside the input")
        elif entry.is_dir():
            return True
        elif is_match and entry.is_file():
            listing.add(path, entry.stat().st_size)
        elif is_match:
            listing.skip("pipes, sockets, devices and broken links")
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        listing.skip("files that vanished, and links that lead to themselves")
    return False


def _matches(
    folder: bytes, pattern: _Pattern, used: frozenset[int], before: Sequence[frozenset[int]]
) -> Iterator[tuple[os.DirEntry[bytes], frozenset[int]]]:
    """Yield what in a folder may match, each with how much of the pattern is used up then.

    :param before: how much was used up when the folder was entered by other names; what matched then is not yielded again.
    """
    matched = len(pattern)
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith((b".", b"_")):
                continue
            now = used if matched in used else _advance(pattern, used, name)
            if now and not any(_takes_file(pattern, other, _advance(pattern, other, name)) for other in before):
                yield entry, now


def _advance(pattern: _Pattern, used: frozenset[int], name: bytes) -> frozenset[int]:
    """Return how many parts of a pattern a path may have used up with one name more; none when it cannot match any more.

    :param used: how many it may have used up before; more than one number where ``**`` may stand for more or less.
    """
    if len(pattern) in used:
        return used
    text, found = os.fsdecode(name), set()
    for number in used:
        part = pattern[number]
        if part is None:
            found.add(number)
        elif part.match(text):
            found.add(number + 1)
    return _through(pattern, found)


def _takes_file(pattern: _Pattern, used: frozenset[int], now: frozenset[int]) -> bool:
    """Tell whether a file matches; no file does by what stands before a last ``**``, which is for what is in a folder.

    :param used: how much of the pattern was used up in front of its name.
    :param now: how much with it.
    """
    return len(pattern) in used or (len(pattern) in now and pattern[-1] is not None)


def _through(pattern: _Pattern, used: set[int]) -> frozenset[int]:
    """Add what is used up when ``**`` stands for nothing. A match remains one, whatever follows."""
    for number in sorted(used):
        while number < len(pattern) and pattern[number] is None:
            number += 1
            used.add(number)
    return frozenset({len(pattern)} if len(pattern) in used else used)


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

    plain = without_query(uri)
    folder, _, name = plain.rpartition("/")
    # The query goes with the root: names are published.
    listing = Listing(folder + uri.removeprefix(plain))
    listing.add(os.fsencode(name), size_of(uri, allowed))
    return listing
