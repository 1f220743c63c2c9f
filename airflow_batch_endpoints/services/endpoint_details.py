"""Endpoints as resources: from their documents, the index and the rows of their jobs."""

from __future__ import annotations

import contextlib
from typing import Any

from pydantic import ValidationError

from airflow_batch_endpoints.documents.base import digest
from airflow_batch_endpoints.documents.endpoint import Endpoint as EndpointDocument
from airflow_batch_endpoints.exceptions import BatchEndpointsError
from airflow_batch_endpoints.registry.keys import ENDPOINT
from airflow_batch_endpoints.registry.stored import decode
from airflow_batch_endpoints.services.resources import DeploymentSummary, Endpoint, Port, RecentJob


def endpoint_of(
    name: str, text: str | None, entry: dict[str, Any] | None, is_invokable: bool, recent: list[RecentJob]
) -> Endpoint:
    """Return an endpoint as lists have it; one that cannot be read with an error.

    :param text: its document as it is kept.
    :param entry: what the index says of it.
    :param recent: its newest jobs.
    """
    facts: dict[str, Any] = {}
    default = None
    try:
        stored = decode(ENDPOINT + name, text or "")
        document = stored.document
        if isinstance(document, EndpointDocument):
            default = document.defaults.deployment_name
            facts = {
                "description": document.description,
                "tags": document.tags,
                "properties": document.properties,
                "revision": digest(document),
                "updated_at": stored.updated_at or None,
                "updated_by": stored.updated_by,
            }
    except BatchEndpointsError as error:
        facts = {"error": str(error)}
    return Endpoint(
        name=name,
        default=default,
        deployments=_summaries(entry, default),
        is_invokable=is_invokable,
        recent_jobs=recent,
        **facts,
    )


def _summaries(entry: Any, default: str | None) -> list[DeploymentSummary]:
    """Return what the index says of deployments; what is not as we write it is left out, for it is only a cache."""
    deployments = entry.get("deployments") if isinstance(entry, dict) else None
    found = []
    for name, summary in sorted(deployments.items()) if isinstance(deployments, dict) else ():
        told = summary if isinstance(summary, dict) else {}
        facts = {key: value for key, value in told.items() if isinstance(value, str)}
        ports = {kind: _ports(told.get(kind)) for kind in ("inputs", "outputs")}
        found.append(DeploymentSummary.model_validate({**facts, **ports, "name": name, "is_default": name == default}))
    return found


def _ports(told: Any) -> dict[str, Port]:
    found = {}
    for name, entry in told.items() if isinstance(told, dict) else ():
        with contextlib.suppress(ValidationError):
            found[str(name)] = Port.model_validate(entry)
    return found


def recent_of(row: Any) -> RecentJob:
    """Return a job as a strip of states has it."""
    return RecentJob(name=row.name, state=row.state, created=row.created_at, rows=row.rows, seconds=row.seconds())
