"""Uploads: the parts of a multipart request written to a folder of their own, whatever names they claim."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import UploadFile

from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, InfrastructureError, Problem

MAX_FILES = 10_000
MAX_DEPTH = 32
_PART = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}\Z")


def save(parts: Sequence[UploadFile], folder: Path, field: str) -> list[Path]:
    """Write parts to a folder, and return their paths.

    :param parts: each with its relative path as its file name.
    :param folder: nothing is written outside it.
    :param field: how messages call the parts.
    :raises DocumentError: a name is no relative path within, stands twice, or is too long.
    :raises InfrastructureError: the folder cannot be written.
    """
    problems: list[Problem] = []
    paths: list[Path] = []
    for part in parts:
        name = part.filename or ""
        pieces = name.split("/")
        if not 0 < len(pieces) <= MAX_DEPTH or not all(
            _PART.match(piece) and piece not in (".", "..") for piece in pieces
        ):
            problems.append(
                Problem("upload", field, f"the file name {shown(name)} is no relative path, such as code/score.py")
            )
            continue
        path = folder.joinpath(*pieces)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as target:
                shutil.copyfileobj(part.file, target)
        except (FileExistsError, NotADirectoryError):
            problems.append(Problem("upload", field, f"the path {shown(name)} stands twice, as a file or as a folder"))
            continue
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise InfrastructureError(f"the server cannot write what was uploaded: {error.strerror}") from error
            message = f"the file name {shown(name)} has {len(name.encode())} bytes, more than a disk takes; shorten it"
            problems.append(Problem("upload", field, message))
            continue
        paths.append(path)
    if problems:
        raise DocumentError(problems)
    return paths
