"""Data assets as Airflow knows them: DAGs are scheduled on them, and tasks announce their new versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.documents.assets import DataAsset

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


def announce_data(context: Context, documents: Iterable[DataAsset]) -> None:
    """Have a task tell of new versions of data assets; :func:`alias` is one of its outlets.

    :param documents: the new versions.
    """
    events = context["outlet_events"][alias()]
    for document in documents:
        told = extra_of(document.name, str(document.version), document.type, document.path)
        events.add(data_asset(document.name), extra=told)
