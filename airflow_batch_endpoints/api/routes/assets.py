"""Data assets, environments and components, with their versions. Models are MLflow's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from airflow_batch_endpoints.api import examples
from airflow_batch_endpoints.api.auth import LoggedIn, MayDeleteAsset, MayEditAsset, MayReadAsset
from airflow_batch_endpoints.api.requests import AssetKindName, AssetName, AssetVersion, Body, ExpectedDep, tagged
from airflow_batch_endpoints.api.routes.endpoints import named, require_name
from airflow_batch_endpoints.documents.assets import VersionedAsset
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.registry.stored import Expected
from airflow_batch_endpoints.registry.versions import kind_of
from airflow_batch_endpoints.services.documents import Documents
from airflow_batch_endpoints.services.resources import Asset, AssetKind, StoredDocument

router = APIRouter(prefix="/v1/assets", tags=["Assets"])
_VERSIONS = "/{kind}/{asset}/versions"
_VERSION = "/{kind}/{asset}/versions/{version}"


@router.get("/{kind}")
def list_assets(
    caller: LoggedIn,
    kind: AssetKindName,
    contains: Annotated[str, Query(max_length=128, description="Part of the name, in any case.")] = "",
) -> list[Asset]:
    """List the assets of a kind that the caller may read, each with its versions."""
    return Documents(caller.actor).assets(kind, allowed=lambda key: caller.may_document("GET", key), contains=contains)


@router.get("/{kind}/{asset}")
def get_asset(caller: MayReadAsset, response: Response, kind: AssetKindName, asset: AssetName) -> StoredDocument:
    """Return the newest version of an asset: what `@latest` stands for."""
    return tagged(response, Documents(caller.actor).asset(kind, asset))


@router.get(_VERSIONS)
def list_versions(caller: MayReadAsset, kind: AssetKindName, asset: AssetName) -> list[StoredDocument]:
    """List the versions of an asset, whole, newest first."""
    return Documents(caller.actor).asset_versions(kind, asset)


@router.post(_VERSIONS, status_code=201, openapi_extra=examples.document_body(examples.DATA))
def post_version(
    caller: MayEditAsset, response: Response, kind: AssetKindName, asset: AssetName, body: Body
) -> StoredDocument:
    """Make the next version of an asset; 200 when the newest has the same content."""
    return _put(Documents(caller.actor), response, kind, asset, None, body, Expected())


@router.get(_VERSION)
def get_version(
    caller: MayReadAsset, response: Response, kind: AssetKindName, asset: AssetName, version: AssetVersion
) -> StoredDocument:
    """Return a version of an asset."""
    return tagged(response, Documents(caller.actor).asset(kind, asset, version))


@router.put(
    _VERSION,
    responses={201: {"model": StoredDocument, "description": "Created"}},
    openapi_extra=examples.document_body(examples.DATA),
)
def put_version(
    caller: MayEditAsset,
    response: Response,
    kind: AssetKindName,
    asset: AssetName,
    version: AssetVersion,
    expected: ExpectedDep,
    body: Body,
) -> StoredDocument:
    """Make a version of an asset, or change its description and tags: its content never changes."""
    return _put(Documents(caller.actor), response, kind, asset, version, body, expected)


@router.post(_VERSION + "/archive", status_code=204)
def archive_version(caller: MayEditAsset, kind: AssetKindName, asset: AssetName, version: AssetVersion) -> None:
    """Archive a version: `@latest` means it no longer, by its number it is found."""
    Documents(caller.actor).archive_asset(kind, asset, version)


@router.post(_VERSION + "/restore", status_code=204)
def restore_version(caller: MayEditAsset, kind: AssetKindName, asset: AssetName, version: AssetVersion) -> None:
    """Take back that a version was archived."""
    Documents(caller.actor).archive_asset(kind, asset, version, is_archived=False)


@router.delete(_VERSION, status_code=204)
def delete_version(
    caller: MayDeleteAsset, kind: AssetKindName, asset: AssetName, version: AssetVersion, expected: ExpectedDep
) -> None:
    """Delete a version. Refused while deployments or other assets name it; files stay where they are."""
    Documents(caller.actor).delete_asset(kind, asset, version, expected=expected)


def _put(
    documents: Documents,
    response: Response,
    kind: AssetKind,
    asset: str,
    version: str | None,
    body: object,
    expected: Expected,
) -> StoredDocument:
    names = {"name": asset} if version is None else {"name": asset, "version": version}
    document = from_data(named(body, **names), "body")
    if not isinstance(document, VersionedAsset) or kind_of(document) != kind:
        raise DocumentError([Problem("body", "type", f"is not that of a document of kind {kind}")])
    require_name(document.name or "", asset, "name")
    if version is not None:
        require_name(document.version or "", version, "version")
    applied = documents.put(document, expected=expected)
    return tagged(response, documents.asset(kind, asset, applied.version), applied)
