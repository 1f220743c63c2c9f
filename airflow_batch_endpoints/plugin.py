"""What Airflow loads in each of its processes: nothing but a name, until the API server asks for the application."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class BatchEndpointsPlugin(AirflowPlugin):
    """Mounts the REST interface in Airflow's API server."""

    name = "batch_endpoints"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application, built when the API server asks for it, and imported nowhere else."""
        from airflow_batch_endpoints.api.app import PREFIX, create_app

        return [{"app": create_app(), "url_prefix": PREFIX, "name": "Batch endpoints"}]
