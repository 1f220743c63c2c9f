"""Endpoints as DAGs: ``from airflow_batch_endpoints.dags import build; build(globals())`` in a file of the dags folder."""

from __future__ import annotations

from airflow_batch_endpoints.dags.endpoints import build

__all__ = ["build"]
