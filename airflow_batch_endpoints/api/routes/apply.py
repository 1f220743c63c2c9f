"""Applying several documents at once, with the files that lie beside them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData, UploadFile

from airflow_batch_endpoints.api import examples, uploads
from airflow_batch_endpoints.api.auth import Caller, LoggedIn, refuse
from airflow_batch_endpoints.documents.assets import VersionedAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.loading import load
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.registry.keys import COMPUTE, DATASTORE, ENDPOINT, Deployment, key_of
from airflow_batch_endpoints.registry.versions import kind_of, list_key
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import Applied

router = APIRouter(prefix="/v1", tags=["Apply"])


async def _form(request: Request) -> AsyncIterator[FormData]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise DocumentError(
            [Problem("upload", "(body)", "expected multipart/form-data with parts named document and file")]
        )
    async with request.form(max_files=uploads.MAX_FILES, max_fields=10) as form:
        yield form


@router.post("/apply", openapi_extra=examples.APPLY_BODY)
def apply(caller: LoggedIn, request: Request, form: Annotated[Any, Depends(_form)]) -> list[Applied]:
    """Create or update documents, all or none. Code and models that lie beside a document are copied to `artifact_uri`."""
    parts = {
        name: [part for part in form.getlist(name) if isinstance(part, UploadFile)] for name in ("document", "file")
    }
    if not parts["document"]:
        raise DocumentError([Problem("upload", "document", "missing; give at least one YAML document as a file part")])
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-") as name:
        folder = Path(name).resolve()
        paths = uploads.save(parts["document"], folder, "document")
        uploads.save(parts["file"], folder, "file")
        documents = [(path.parent, document) for path, document in zip(paths, _load(paths, folder), strict=True)]
        set_default = str(form.get("set_default", "")).lower() in ("true", "1", "yes")
        _authorize(request, caller, [document for _, document in documents], set_default=set_default)
        return Documents(caller.actor).apply(documents, set_default=set_default)


def _load(paths: list[Path], folder: Path) -> list[Document]:
    """Load documents, with the problems of all of them; paths in them must stay within the upload."""
    documents, problems = [], []
    for path in paths:
        try:
            documents.append(load(path, within=folder))
        except DocumentError as error:
            # The folder is ours and nobody's business.
            problems += [
                Problem(
                    entry.source.replace(f"{folder}/", ""), entry.field, entry.message.replace(f"{folder}", "upload")
                )
                for entry in error.problems
            ]
    if problems:
        raise DocumentError(problems)
    return documents


def _authorize(request: Request, caller: Caller, documents: list[Document], *, set_default: bool) -> None:
    """Refuse all of it if the caller may not change one of the documents, or the endpoint that gets another default."""
    keys = [
        list_key(kind_of(document), document.name or "") if isinstance(document, VersionedAsset) else key_of(document)
        for document in documents
    ]
    if set_default:
        keys += [ENDPOINT + document.endpoint_name for document in documents if isinstance(document, Deployment)]
    for key in keys:
        is_identity = key.startswith((COMPUTE, DATASTORE))
        is_allowed = caller.may_computes("PUT") if is_identity else caller.may_document("PUT", key)
        if not is_allowed:
            refuse(request, caller.actor, f"change {key}")
