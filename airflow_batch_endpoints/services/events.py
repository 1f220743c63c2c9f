"""New versions of data assets as events of Airflow's assets, in the transaction that keeps the version."""

from __future__ import annotations

from airflow.assets.manager import asset_manager
from airflow.models.asset import AssetActive, AssetModel
from airflow.serialization.definitions.assets import SerializedAsset
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_batch_endpoints import assets
from airflow_batch_endpoints.documents.assets import DataAsset
from airflow_batch_endpoints.documents.base import Document


def announce(session: Session, document: Document) -> None:
    """Have DAGs run that are scheduled on a data asset.

    The event also goes to the alias of all data assets, which keeps an asset that no DAG names from being tidied away.

    :param document: a new version of a data asset.
    """
    assert isinstance(document, DataAsset)  # noqa: S101 - its key says so
    version = str(document.version)
    asset_manager.register_asset_change(
        asset=_model(session, document.name),
        extra=assets.extra_of(document.name, version, document.type, document.path),
        source_alias_names=[assets.ALIAS],
        session=session,
    )


def _model(session: Session, name: str) -> AssetModel:
    """Return the asset as Airflow keeps it, which is not there while no DAG names it."""
    asset = assets.data_asset(name)
    found = session.scalar(select(AssetModel).where(AssetModel.name == asset.name, AssetModel.uri == asset.uri))
    if found is None:
        serialized = SerializedAsset(name=asset.name, uri=asset.uri, group=asset.group, extra={}, watchers=[])
        (found,) = asset_manager.create_assets([serialized], session=session)
        session.flush()
    if found.active is None:
        session.add(AssetActive.for_asset(found))
        session.flush()
    return found
