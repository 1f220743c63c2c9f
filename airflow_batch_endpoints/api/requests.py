"""What requests bring: conditions, bodies, pages, with their limits; and what answers say of a document's revision."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from airflow.configuration import conf
from fastapi import Depends, Header, Path, Query, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_batch_endpoints.api.auth import (
    ASSET_PATTERN,
    JOB_PATTERN,
    NAME_PATTERN,
    REVISION_PATTERN,
    VERSION_PATTERN,
)
from airflow_batch_endpoints.api.errors import problem
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.documents.json_text import parse_json
from airflow_batch_endpoints.documents.loading import parse
from airflow_batch_endpoints.registry.stored import Expected
from airflow_batch_endpoints.services.resources import Applied, AssetKind, Endpoint, StoredDocument

Found = TypeVar("Found", Endpoint, StoredDocument)

MAX_BODY = 4_000_000
"""Bytes of a body that uploads no files."""
UPLOADS = "/v1/apply"

EndpointName = Annotated[str, Path(pattern=NAME_PATTERN, max_length=32, description="Name of the endpoint.")]
DeploymentName = Annotated[str, Path(pattern=NAME_PATTERN, max_length=32, description="Name of the deployment.")]
ComputeName = Annotated[str, Path(pattern=NAME_PATTERN, max_length=32, description="Name of the compute.")]
DatastoreName = Annotated[str, Path(pattern=ASSET_PATTERN, description="Name of the data store.")]
AssetKindName = Annotated[AssetKind, Path(description="What the asset is.")]
AssetName = Annotated[str, Path(pattern=ASSET_PATTERN, description="Name of the asset.")]
AssetVersion = Annotated[str, Path(pattern=VERSION_PATTERN, description="Version of the asset.")]
JobName = Annotated[str, Path(pattern=JOB_PATTERN, description="Name of the job, which is the id of its DAG run.")]
RevisionDigest = Annotated[str, Path(pattern=REVISION_PATTERN, description="Revision of the document.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Offset = Annotated[int, Query(ge=0, le=10**9, description="How many to leave out first.")]
_CONDITION = r'^(\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$'
_TAG = re.compile(r'\s*"([^"]*)"\s*\Z')


def _expected(
    if_match: Annotated[
        str | None,
        Header(
            pattern=_CONDITION, description="Change it only if it is still this revision: its `ETag`, or `*` for any."
        ),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(pattern=r"^\*$", description="`*`: only if it does not exist yet.")
    ] = None,
) -> Expected:
    exists = False if if_none_match is not None else None
    if if_match is None:
        return Expected(exists=exists)
    if if_match.strip() == "*":
        return Expected(exists=True)
    tags = [_TAG.match(part) for part in if_match.split(",")]
    return Expected(revisions=tuple(tag[1] for tag in tags if tag is not None), exists=exists)


ExpectedDep = Annotated[Expected, Depends(_expected)]


def tag(response: Response, revision: str | None) -> None:
    """Say which revision an answer is of."""
    if revision:
        response.headers["ETag"] = f'"{revision}"'


def tagged(response: Response, found: Found, applied: Applied | None = None) -> Found:
    """Return what was found or put, and say which revision it is of.

    :param applied: what became of the document, if it was put.
    """
    if applied is not None:
        response.status_code = 201 if applied.result == "created" else 200
    tag(response, found.revision)
    return found


def server_url(request: Request) -> str:
    """Return the address of Airflow as the caller reaches it: the one it is told, for it cannot know of proxies before it."""
    configured = conf.get("api", "base_url", fallback="") or ""
    if configured.startswith(("http://", "https://")):
        return configured.rstrip("/")
    return str(request.base_url).rstrip("/")


async def _body(request: Request) -> Any:
    """Read a document or an invocation: JSON, or YAML if the content type says so."""
    content = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.endswith(("/yaml", "/x-yaml", "+yaml")):
        return parse(content, "body")
    return parse_json(content, "body")


Body = Annotated[Any, Depends(_body)]


class LimitBody:
    """Refuses bodies that are too large, while they arrive."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = settings().max_upload_bytes if scope["path"].endswith(UPLOADS) else MAX_BODY
        seen, has_started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise _TooLargeError
            return message

        async def noticed(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if declared.isdigit() and int(declared) > limit:
                raise _TooLargeError
            await self._app(scope, counted, noticed)
        except _TooLargeError:
            if not has_started:
                answer = problem(
                    413,
                    f"the body is larger than the {limit:,} bytes that are allowed",
                    headers={"Connection": "close"},
                )
                await answer(scope, receive, send)


class _TooLargeError(Exception):
    """A body went over its limit."""
