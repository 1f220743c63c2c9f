"""From errors to answers, in one place: ``application/problem+json`` (RFC 9457) that names the field."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from airflow_batch_endpoints import exceptions
from airflow_batch_endpoints.api.auth import record_refusal

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[Exception], int] = {
    exceptions.ForbiddenError: 403,
    exceptions.NotFoundError: 404,
    exceptions.StaleError: 412,
    exceptions.ConflictError: 409,
    exceptions.UserError: 400,
    exceptions.InfrastructureError: 503,
}
"""The first class that fits decides."""
TITLES = {
    400: "The request cannot be done as it is",
    401: "Not logged in",
    403: "No right to it",
    404: "Not found",
    405: "Not possible here",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not understood in this format",
    500: "Something went wrong here",
    503: "Try again later",
}
_CODES = {400: "UserError", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 412: "PreconditionFailed",
          413: "PayloadTooLarge", 503: "ServiceUnavailable"}  # fmt: skip


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    message: str


class ErrorCode(BaseModel):
    """The error as Azure ML's clients read it."""

    code: str
    message: str


class ProblemDetails(BaseModel):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []
    error: ErrorCode


def problem(
    status: int, detail: str, errors: list[FieldProblem] | None = None, *, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an answer that says why a request was not done."""
    title = TITLES.get(status, "The request cannot be done")
    content = ProblemDetails(
        title=title,
        status=status,
        detail=detail,
        errors=errors or [],
        error=ErrorCode(code=_CODES.get(status, "Error"), message=detail),
    )
    return JSONResponse(content.model_dump(), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Have an application answer errors this way."""

    @app.exception_handler(exceptions.BatchEndpointsError)
    def ours(request: Request, error: exceptions.BatchEndpointsError) -> JSONResponse:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        if isinstance(error, exceptions.UserError) and not isinstance(error, exceptions.ForbiddenError):
            _record(request, str(error))
        found = error.problems if isinstance(error, exceptions.DocumentError) else ()
        errors = [FieldProblem(field=entry.field, message=entry.message) for entry in found]
        return problem(status, str(error), errors, headers={"Retry-After": "1"} if status == 503 else None)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            FieldProblem(field=".".join(map(str, entry["loc"])), message=str(entry["msg"])) for entry in error.errors()
        ]
        detail = "; ".join(f"{entry.field}: {entry.message}" for entry in errors)
        return problem(400, detail, errors)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        headers: dict[str, Any] = dict(error.headers or {})
        if error.status_code == 401:
            headers.setdefault("WWW-Authenticate", "Bearer")
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(request)))
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(SQLAlchemyError)
    def database(request: Request, error: SQLAlchemyError) -> JSONResponse:
        log.error("the metadata database failed", exc_info=error)
        return problem(
            503, "the metadata database does not answer as it should; try again", headers={"Retry-After": "1"}
        )

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "this is an error of the server; its log says more")


def _methods(request: Request) -> set[str]:
    """Return the methods of all routes of a path; the framework knows only those of the first."""
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE
        for method in route.methods or ()
    }


def _record(request: Request, why: str) -> None:
    """Keep in the audit log that a change was refused."""
    actor = getattr(request.state, "actor", None)
    if actor is None or request.method in ("GET", "HEAD"):
        return
    try:
        record_refusal(request, actor, why)
    except exceptions.BatchEndpointsError:
        # It is refused all the same.
        log.exception("a refusal could not be kept in the audit log: %s", why)
