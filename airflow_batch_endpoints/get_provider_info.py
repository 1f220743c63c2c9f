"""What Airflow learns of this package from its ``apache_airflow_provider`` entry point."""

from __future__ import annotations

from typing import Any

from airflow_batch_endpoints.config import OPTIONS, SECTION


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata (schema: ``airflow/provider_info.schema.json``)."""
    return {
        "package-name": "airflow-batch-endpoints",
        "name": "Batch endpoints",
        "description": "Batch endpoints on your own Apache Airflow and Kubernetes.",
        "integrations": [
            {
                "integration-name": "Batch endpoints",
                "external-doc-url": "https://airflow-batch-endpoints.readthedocs.io/",
                "tags": ["software"],
            }
        ],
        "operators": [
            {
                "integration-name": "Batch endpoints",
                "python-modules": [
                    "airflow_batch_endpoints.operators.invoke",
                    "airflow_batch_endpoints.operators.deployment",
                    "airflow_batch_endpoints.operators.worker",
                ],
            }
        ],
        "sensors": [{"integration-name": "Batch endpoints", "python-modules": ["airflow_batch_endpoints.sensors.job"]}],
        "hooks": [
            {"integration-name": "Batch endpoints", "python-modules": ["airflow_batch_endpoints.hooks.batch_endpoint"]}
        ],
        "triggers": [
            {"integration-name": "Batch endpoints", "python-modules": ["airflow_batch_endpoints.triggers.job"]}
        ],
        "plugins": [{"name": "batch_endpoints", "plugin-class": "airflow_batch_endpoints.plugin.BatchEndpointsPlugin"}],
        "db-managers": ["airflow_batch_endpoints.database.manager.BatchEndpointsDBManager"],
        "cli": ["airflow_batch_endpoints.cli.definition.get_cli_commands"],
        "config": {
            SECTION: {
                "description": "Batch endpoints: where artifacts and outputs are, and how far jobs may reach.",
                "options": OPTIONS,
            }
        },
    }
