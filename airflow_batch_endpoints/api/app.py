"""The application."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.api import errors
from airflow_batch_endpoints.api.auth import LoggedIn
from airflow_batch_endpoints.api.requests import LimitBody
from airflow_batch_endpoints.api.routes import (
    apply,
    assets,
    computes,
    datastores,
    deployments,
    endpoints,
    jobs,
    outputs,
    revisions,
    session,
)
from airflow_batch_endpoints.ui.pages import PREFIX as PAGES
from airflow_batch_endpoints.ui.pages import create_pages

PREFIX = "/batch-endpoints"
"""Where Airflow mounts it."""
DESCRIPTION = """
Batch endpoints on Apache Airflow: apply documents, invoke endpoints, follow jobs, read predictions.

Send Airflow's own token, `Authorization: Bearer <token>`; `POST /auth/token` of the Airflow server gives one. What a token may
do is decided by Airflow's permissions: invoking needs the right to trigger the endpoint's DAG, changing documents the right to
edit Variables, changing computes and data stores the right to edit Connections. Errors are `application/problem+json` and name
the field.
"""
_ERRORS = (400, 401, 403, 404, 409, 412, 413, 503)


def create_app() -> FastAPI:
    """Build the application. Every route needs a login, whatever else it asks for."""
    app = FastAPI(
        title="Batch endpoints",
        version=__version__,
        description=DESCRIPTION,
        dependencies=[Depends(get_user)],
        responses={
            status: {
                "description": errors.TITLES[status],
                "content": {errors.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
            }
            for status in _ERRORS
        },
        # Served below, behind a login.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    for module in (endpoints, deployments, computes, datastores, assets, revisions, apply, jobs, outputs, session):
        app.include_router(module.router)

    @app.get("/openapi.json", include_in_schema=False)
    def openapi(caller: LoggedIn, request: Request) -> JSONResponse:
        return JSONResponse(describe(app, server=request.scope.get("root_path") or PREFIX))

    # Constant files, as Airflow's own pages are: what they show is read above, with the caller's login.
    app.mount(PAGES, create_pages())
    errors.install(app)
    app.add_middleware(LimitBody)
    return app


def describe(app: FastAPI, *, server: str = PREFIX) -> dict[str, Any]:
    """Return the OpenAPI document.

    :param server: path of the application, with that of the Airflow that it is part of.
    """
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": server}],
    )
    schemas = document["components"]["schemas"]
    problem = errors.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["ProblemDetails"] = problem
    # Invalid requests are answered 400, as all that the caller can mend.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for parameter in operation.get("parameters", ()):
                _leave_out_null(parameter["schema"])
    return document


def _leave_out_null(schema: dict[str, Any]) -> None:
    """Take null out of what a parameter may be: it can be left out, but nobody can send null in an address or a header."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])
