"""What Airflow loads in each of its processes: nothing but a name, until the API server asks for the application."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class BatchEndpointsPlugin(AirflowPlugin):
    """Mounts the REST interface in Airflow's API server, and puts the pages into its user interface."""

    name = "batch_endpoints"
    # Addresses are relative to Airflow's own, wherever a proxy puts that.
    external_views: list[dict[str, Any]] = [  # noqa: RUF012
        {
            "name": "Batch endpoints",
            "href": "batch-endpoints/ui/",
            "destination": "nav",
            "url_route": "batch-endpoints",
            "icon": "batch-endpoints/ui/icon.svg",
            "icon_dark_mode": "batch-endpoints/ui/icon-dark.svg",
            "nav_top_level": True,
        },
        {
            "name": "Batch job",
            "href": "batch-endpoints/ui/run?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "batch-job",
            "icon": "batch-endpoints/ui/icon.svg",
            "icon_dark_mode": "batch-endpoints/ui/icon-dark.svg",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The applications, built when the API server asks for them, and imported nowhere else."""
        from airflow_batch_endpoints.api.app import PREFIX, create_app
        from airflow_batch_endpoints.config import settings

        apps = [{"app": create_app(), "url_prefix": PREFIX, "name": "Batch endpoints"}]
        if settings().azure_compat:
            from airflow_batch_endpoints.azure.app import PREFIX as AZURE_PREFIX
            from airflow_batch_endpoints.azure.app import create_app as create_azure_app

            # First, for the other one answers everything below its own prefix.
            apps.insert(
                0, {"app": create_azure_app(), "url_prefix": AZURE_PREFIX, "name": "Batch endpoints for Azure ML"}
            )
        return apps
