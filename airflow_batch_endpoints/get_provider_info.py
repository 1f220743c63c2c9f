"""What Airflow learns of this package from its ``apache_airflow_provider`` entry point."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata (schema: ``airflow/provider_info.schema.json``)."""
    return {
        "package-name": "airflow-batch-endpoints",
        "name": "Batch endpoints",
        "description": "Batch endpoints on your own Apache Airflow and Kubernetes.",
    }
