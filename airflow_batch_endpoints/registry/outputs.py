"""Outputs of jobs as new versions of data assets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_batch_endpoints.documents.assets import DataAsset
from airflow_batch_endpoints.exceptions import ConflictError
from airflow_batch_endpoints.jobs.spec import OutputAsset
from airflow_batch_endpoints.registry.registry import Registry

REMEMBERED = 20
"""How many of the newest versions are looked at for one that is the output already."""


def register(registry: Registry, outputs: Iterable[dict[str, Any]]) -> list[DataAsset]:
    """Register published outputs.

    An output that is a version already keeps it, so a repetition makes none.

    :param outputs: each an :class:`~airflow_batch_endpoints.jobs.spec.OutputAsset`.
    :return: the versions that the outputs are now.
    :raises ConflictError: a version is something else by now.
    """
    wanted = [_known(registry, OutputAsset.model_validate(output)) for output in outputs]
    return [document for _, document in registry.apply(wanted) if isinstance(document, DataAsset)]


def require_free(registry: Registry, outputs: Iterable[OutputAsset]) -> None:
    """Refuse, before a job starts, versions that are something else already. :raises ConflictError: one is."""
    for output in outputs:
        if output.version is None or output.version not in registry.versions("data", output.name).versions:
            continue
        found = registry.asset("data", output.name, output.version).document
        if not isinstance(found, DataAsset) or found.path != output.uri:
            raise ConflictError(
                f"the output is to become version {output.version} of data asset {output.name!r}, which is there already; give "
                "another version, or leave it out for the next one"
            )


def _known(registry: Registry, output: OutputAsset) -> DataAsset:
    """Return the output as a document, with the version it has if it was registered before."""
    document = DataAsset(name=output.name, version=output.version, type=output.type, path=output.uri)
    if output.version is not None:
        return document
    for version in reversed(registry.versions("data", output.name).versions[-REMEMBERED:]):
        found = registry.asset("data", output.name, version).document
        if isinstance(found, DataAsset) and (found.path, found.type) == (document.path, document.type):
            return found
    return document
