"""The application."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.api import errors
from airflow_batch_endpoints.api.requests import LimitBody
from airflow_batch_endpoints.azure.requests import PREFIX
from airflow_batch_endpoints.azure.routes import deployments, endpoints, jobs, unprotected

__all__ = ["PREFIX", "create_app"]


def create_app() -> FastAPI:
    """Build the application. Every route but three needs a login, whatever else it asks for."""
    app = FastAPI(
        title="Batch endpoints for Azure ML", version=__version__, openapi_url=None, docs_url=None, redoc_url=None
    )
    protected = APIRouter(dependencies=[Depends(get_user)])
    for module in (endpoints, deployments, jobs):
        protected.include_router(module.router)

    @protected.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    def nothing(request: Request, path: str) -> JSONResponse:
        return errors.problem(
            404,
            f"{request.method} {request.url.path[:200]} is no part of Azure ML that is answered here; see docs/azure-sdk.md",
        )

    app.include_router(unprotected.router)
    app.include_router(protected)
    errors.install(app)
    app.add_middleware(LimitBody)
    return app
