"""The index: what DAG parsing and pages need of every endpoint. A cache, never trusted when a job runs."""

from __future__ import annotations

import json
from typing import Any

from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.registry import components
from airflow_batch_endpoints.registry.keys import Deployment


def index_of(text: str | None) -> dict[str, Any]:
    """Return the content of the index; an unreadable one counts as empty, for it is only a cache."""
    try:
        index = json.loads(text or "{}")
    except ValueError:
        return {}
    return index if isinstance(index, dict) else {}


def index_entry(document: Deployment) -> dict[str, Any]:
    """Return what DAG parsing, the trigger form and pages need of a deployment."""
    entry: dict[str, Any] = {"description": document.description, "type": document.type, "compute": None}
    if isinstance(document, ModelDeployment):
        entry["compute"] = document.compute
    elif isinstance(document, PipelineDeployment):
        entry["compute"] = document.settings.default_compute
        entry |= components.index_entry(document)
    else:
        entry |= {
            "dag_id": document.dag_id,
            "inputs": {name: {"default": value} for name, value in document.inputs.items()},
        }
    return entry
