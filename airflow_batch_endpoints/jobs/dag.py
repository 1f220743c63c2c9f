"""A job that is a run of another DAG, resolved."""

from __future__ import annotations

from typing import Any, Literal

from airflow_batch_endpoints.jobs.spec import JobReference


class DagSpec(JobReference):
    """One job of a deployment that names a DAG. No worker is launched for it; its ``output_uri`` is where it would write."""

    type: Literal["dag"] = "dag"
    dag_id: str
    inputs: dict[str, Any] = {}
    """Parameters of the DAG's run."""
