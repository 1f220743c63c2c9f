"""Staging: the code and models that lie beside a document are copied to where workers can fetch them, by digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.paths import Beside, with_paths
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.pipelines.check import require_sound
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join

_SKIPPED = {"__pycache__", ".git", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".venv"}
_CHUNK = 1 << 20
_COMPLETE = ".complete"


def stage(document: Document, base: Path, artifact_uri: str) -> Document:
    """Copy what a document names by a path, and return the document that names the copies.

    A copy is named by the digest of its content: the same files are copied once, a change never touches what a running
    job uses. A pipeline is checked before, so that nothing is copied for one that is refused.

    :param base: folder of the document.
    :param artifact_uri: where copies go.
    :raises DocumentError: there is nothing to copy, or the document is a pipeline with problems.
    """
    require_sound(document)

    def copied(beside: Beside) -> str:
        return _copy(base / beside.path, artifact_uri, beside.field, is_code=beside.is_code)

    staged = with_paths(document, copied)
    if isinstance(document, ModelDeployment) and isinstance(staged, ModelDeployment):
        if staged.model.path != document.model.path and document.model.name is None:
            # Scripts look for the model under the name that it had.
            name = Path(os.path.normpath(document.model.path)).name
            staged = staged.model_copy(update={"model": staged.model.model_copy(update={"name": name})})
    return staged


def _copy(source: Path, artifact_uri: str, field: str, *, is_code: bool) -> str:
    """Copy a file or folder once, and return the URI of the copy, which keeps the name."""
    source = Path(os.path.realpath(source))
    files = sorted(_files(source, is_code, field))
    if not files:
        raise DocumentError([Problem(str(source), field, "holds no files")])
    digest = _digest(source, files)
    store = open_store(join(artifact_uri, digest))
    if store.read(_COMPLETE) is None:
        for file in files:
            _copy_file(store, file, _key(source, file))
        store.create(_COMPLETE, digest.encode())
    return join(artifact_uri, digest, source.name)


def _key(source: Path, file: Path) -> str:
    return source.name if file == source else f"{source.name}/{file.relative_to(source).as_posix()}"


def _files(source: Path, is_code: bool, field: str) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not (name in _SKIPPED or (is_code and name.startswith(".")))]
        for name in names:
            path = Path(folder, name)
            if not Path(os.path.realpath(path)).is_relative_to(source):
                raise DocumentError(
                    [Problem(str(path), field, "is a link that leads outside the folder; copy the file there")]
                )
            if path.is_file():
                yield path


def _digest(source: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(f"{_key(source, file)}\0{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:24]


def _copy_file(store: Store, file: Path, key: str) -> None:
    with file.open("rb") as source, store.writer(key) as target:
        shutil.copyfileobj(source, target, _CHUNK)
