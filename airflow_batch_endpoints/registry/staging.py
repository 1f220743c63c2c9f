"""Staging: the code and models that lie beside a document are copied to where workers can fetch them, by digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from airflow_batch_endpoints.documents.assets import Asset, beside
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.deployment import ModelDeployment, is_relative_path
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join

_SKIPPED = {"__pycache__", ".git", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".venv"}
_CHUNK = 1 << 20
_COMPLETE = ".complete"


def stage(document: Document, base: Path, artifact_uri: str) -> Document:
    """Copy what a document names by a relative path, and return the document that names the copies.

    A copy is named by the digest of its content: the same files are copied once, a change never touches what a running
    job uses.

    :param base: folder of the document.
    :param artifact_uri: where copies go.
    """
    if isinstance(document, Asset):
        return _stage_asset(document, base, artifact_uri)
    if not isinstance(document, ModelDeployment):
        return document
    changes: dict[str, object] = {}
    if is_relative_path(document.model.path):
        name = Path(os.path.normpath(document.model.path)).name
        uri = _copy(base / document.model.path, artifact_uri, "model.path", is_code=False)
        changes["model"] = document.model.model_copy(update={"path": uri, "name": document.model.name or name})
    code = document.code_configuration
    if code is not None and is_relative_path(code.code):
        uri = _copy(base / code.code, artifact_uri, "code_configuration.code", is_code=True)
        changes["code_configuration"] = code.model_copy(update={"code": uri})
    environment = document.environment
    if environment is not None and isinstance(environment.conda_file, str) and is_relative_path(environment.conda_file):
        uri = _copy(base / environment.conda_file, artifact_uri, "environment.conda_file", is_code=False)
        changes["environment"] = environment.model_copy(update={"conda_file": uri})
    return document.model_copy(update=changes)


def _stage_asset(document: Asset, base: Path, artifact_uri: str) -> Document:
    copies = {field: _copy(base / path, artifact_uri, field, is_code=False) for field, path in beside(document).items()}
    return document.model_copy(update=copies)


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
