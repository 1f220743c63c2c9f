"""Data assets as Airflow knows them: DAGs are scheduled on them, and tasks announce their new versions."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAlias

ALIAS = "batch_endpoints.data"
"""Alias of all data assets: a DAG scheduled on it hears of every new version of any of them."""


def data_asset(name: str) -> Asset:
    """Return what Airflow calls a data asset: ``schedule=[data_asset("heart-data")]`` runs a DAG for each new version.

    Which version it was is in the event: ``triggering_asset_events[data_asset("heart-data")][-1].extra["reference"]`` is
    ``azureml:heart-data:4``, to be given to an endpoint as its input.

    :param name: of the data asset.
    """
    return Asset(name=f"{ALIAS}.{name}", uri=uri_of(name), group="batch-endpoints")


def uri_of(name: str) -> str:
    """Return what stands for a data asset among the URIs of Airflow's assets; it opens nothing."""
    return f"batch-endpoints://data/{name}"


def alias() -> AssetAlias:
    """Return the outlet of tasks that make new versions of data assets."""
    return AssetAlias(ALIAS, group="batch-endpoints")


def extra_of(name: str, version: str, type: str, path: str) -> dict[str, Any]:
    """Return what the event of a new version says."""
    return {"reference": f"azureml:{name}:{version}", "version": version, "type": type, "path": path}
