"""A store in a local (or mounted) folder. Stdlib only."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO

from airflow_batch_endpoints.storage.retries import translate


class LocalStore:
    """Implements :class:`~airflow_batch_endpoints.storage.store.Store` on a folder.

    Everything is written under a temporary name and then linked or renamed in the same folder, so that no reader ever
    sees a part of an object, not even after a crash.

    :param root: path of the folder; made when something is first written.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key)

    @contextmanager
    def _temporary(self, key: str) -> Iterator[str]:
        """Yield a name beside the object, in a folder that exists."""
        folder, name = os.path.split(self._path(key))
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
        try:
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def create(self, key: str, content: bytes) -> bool:
        """Create an object unless it exists: a hard link fails if its name is taken, atomically and on NFS too."""
        try:
            with self._temporary(key) as temporary:
                with open(temporary, "xb") as file:
                    file.write(content)
                try:
                    os.link(temporary, self._path(key))
                except FileExistsError:
                    return self.read(key) == content
                return True
        except OSError as error:
            raise translate(error, f"creating {self._path(key)}") from error

    def write(self, key: str, content: bytes) -> None:
        """Write an object whole."""
        with self.writer(key) as file:
            file.write(content)

    def read(self, key: str) -> bytes | None:
        """Return an object's content."""
        try:
            with open(self._path(key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise translate(error, f"reading {self._path(key)}") from error

    def list(self, prefix: str) -> list[str]:
        """Return the keys directly below a folder."""
        try:
            with os.scandir(self._path(prefix)) as entries:
                names = [entry.name for entry in entries if not entry.name.endswith(".tmp")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise translate(error, f"listing {self._path(prefix)}") from error
        return sorted(f"{prefix}/{name}" if prefix else name for name in names)

    def times(self, prefix: str) -> dict[str, datetime | None]:
        """Return the keys directly below a folder with when each was last written."""
        found: dict[str, datetime | None] = {}
        for key in self.list(prefix):
            try:
                status = os.stat(self._path(key))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise translate(error, f"looking at {self._path(key)}") from error
            is_folder = stat.S_ISDIR(status.st_mode)
            found[key] = None if is_folder else datetime.fromtimestamp(status.st_mtime, UTC)
        return found

    def delete(self, key: str) -> None:
        """Delete an object or a folder."""
        path = self._path(key)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise translate(error, f"deleting {path}") from error

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        """Stream an object."""
        try:
            with self._temporary(key) as temporary:
                with open(temporary, "xb") as file:
                    yield file
                os.replace(temporary, self._path(key))
        except OSError as error:
            raise translate(error, f"writing {self._path(key)}") from error

    @contextmanager
    def reader(self, key: str) -> Iterator[BinaryIO]:
        """Stream an object's content."""
        with open(self._path(key), "rb") as file:
            yield file

    def copy(self, source: str, target: str) -> None:
        """Give an object a second name where the file system can, else copy it."""
        try:
            with self._temporary(target) as temporary:
                try:
                    os.link(self._path(source), temporary)
                except FileNotFoundError:
                    raise
                except OSError:
                    shutil.copyfile(self._path(source), temporary)
                os.replace(temporary, self._path(target))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise translate(error, f"writing {self._path(target)}") from error

    def walk(self, prefix: str) -> Iterator[str]:
        """Yield every key below a folder."""
        for folder, _, names in os.walk(self._path(prefix)):
            for name in sorted(names):
                yield os.path.relpath(os.path.join(folder, name), self._root)
