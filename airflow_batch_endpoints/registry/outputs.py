"""Outputs of jobs as new versions: files of data assets, models of MLflow's."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.assets import DataAsset, ModelAsset
from airflow_batch_endpoints.exceptions import ConflictError
from airflow_batch_endpoints.jobs.spec import OutputAsset
from airflow_batch_endpoints.registry import models
from airflow_batch_endpoints.registry.registry import RACES, Registry

PAUSE = 0.2
"""Seconds within which another task has written what it compared before."""
REMEMBERED = 20
"""How many of the newest versions are looked at for one that is the output already."""


def register(
    registry: Registry, outputs: Iterable[dict[str, Any]], settings: Settings, *, pause: float = PAUSE
) -> list[DataAsset]:
    """Register published outputs.

    An output that is a version already keeps it, so a repetition makes none. The store of tasks cannot compare and set, and jobs
    of an endpoint may end together: what was written is looked at again after a while, and written anew where another job's task
    wrote over it.

    :param outputs: each an :class:`~airflow_batch_endpoints.jobs.spec.OutputAsset`.
    :param pause: seconds until it is looked at again.
    :return: the versions of data assets that outputs are now.
    :raises ConflictError: a version is something else by now.
    :raises UserError: MLflow does not take a model.
    """
    asked = [OutputAsset.model_validate(output) for output in outputs]
    for output in asked:
        if output.type == "mlflow_model" or output.type == "custom_model":
            model = ModelAsset(name=output.name, version=output.version, type=output.type, path=output.uri)
            models.register(model, output.uri, settings, is_output=True)
    wanted = [output for output in asked if output.type not in ("mlflow_model", "custom_model")]
    return _register_data(registry, wanted, pause) if wanted else []


def _register_data(registry: Registry, wanted: list[OutputAsset], pause: float) -> list[DataAsset]:
    for _ in range(RACES):
        done = registry.apply([_known(registry, output) for output in wanted])
        made = [document for _, document in done if isinstance(document, DataAsset)]
        time.sleep(pause * random.uniform(1, 2))  # noqa: S311 - no secret is made of it
        if all(_is_kept(registry, document) for document in made):
            return made
    names = ", ".join(output.name for output in wanted)
    raise ConflictError(f"other jobs registered versions of {names} again and again meanwhile; clear the publish task")


def _is_kept(registry: Registry, document: DataAsset) -> bool:
    if document.version not in registry.versions("data", document.name).versions:
        return False
    found = registry.asset("data", document.name, document.version).document
    return isinstance(found, DataAsset) and found.path == document.path


def require_free(registry: Registry, outputs: Iterable[OutputAsset]) -> None:
    """Refuse, before a job starts, versions that are something else already. :raises ConflictError: one is."""
    for output in outputs:
        is_model = output.type in ("mlflow_model", "custom_model")
        if is_model or output.version is None or output.version not in registry.versions("data", output.name).versions:
            continue
        found = registry.asset("data", output.name, output.version).document
        if not isinstance(found, DataAsset) or found.path != output.uri:
            raise ConflictError(
                f"the output is to become version {output.version} of data asset {output.name!r}, which is there already; give "
                "another version, or leave it out for the next one"
            )


def _known(registry: Registry, output: OutputAsset) -> DataAsset:
    """Return the output as a document, with the version it has if it was registered before."""
    document = DataAsset.model_validate(
        {"name": output.name, "version": output.version, "type": output.type, "path": output.uri}
    )
    if output.version is not None:
        return document
    for version in reversed(registry.versions("data", output.name).versions[-REMEMBERED:]):
        found = registry.asset("data", output.name, version).document
        if isinstance(found, DataAsset) and (found.path, found.type) == (document.path, document.type):
            return found
    return document
