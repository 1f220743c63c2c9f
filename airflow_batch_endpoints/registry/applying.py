"""Applying documents: what lies beside them is staged, models are registered, everything else is kept in the registry."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.assets import ModelAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.registry import models
from airflow_batch_endpoints.registry.references import locate
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.staging import stage
from airflow_batch_endpoints.registry.stored import ANYTHING, Expected


def apply(
    registry: Registry,
    documents: Iterable[tuple[Path, Document]],
    settings: Settings,
    *,
    set_default: bool = False,
    expected: Expected = ANYTHING,
) -> list[tuple[str, Document]]:
    """Create or update documents, all or none.

    Models go to MLflow first: what is registered there and refused here is found again when it is applied again.

    :param documents: each with the folder that its relative paths start from.
    :param set_default: make the (one) deployment among them the default of its endpoint.
    :param expected: what the documents must be now.
    :return: what was done to each, and the document as it is kept.
    """
    staged = [stage(document, base, settings.artifact_uri) for base, document in documents]
    registered = [
        models.register(document, _source(registry, document), settings)
        for document in staged
        if isinstance(document, ModelAsset)
    ]
    kept = registry.apply(
        [document for document in staged if not isinstance(document, ModelAsset)],
        set_default=set_default,
        expected=expected,
    )
    theirs, ours = iter(registered), iter(kept)
    return [next(theirs if isinstance(document, ModelAsset) else ours) for document in staged]


def _source(registry: Registry, document: ModelAsset) -> str:
    return document.path if document.path.startswith("runs:/") else locate(registry, document.path, what="model").uri
