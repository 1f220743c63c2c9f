"""Datastores: the names that stand for storage in ``azureml://`` URIs. An option says what each is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.storage.uris import join

_URI = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
    r"datastores/(?P<name>[^/]+)/paths/(?P<path>.*)\Z",
    re.IGNORECASE,
)


def resolve(conf: Mapping[str, Any], places: Mapping[str, str], datastores: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a job with the storage that its datastores stand for.

    :param places: how the client calls each parameter.
    :param datastores: URIs by name.
    :raises DocumentError: naming each that stands for nothing.
    """
    found, problems = dict(conf), []
    for name in ("input", "output"):
        value = found.get(name)
        if not isinstance(value, str) or not value.startswith(("azureml:", "/subscriptions/")):
            continue
        match = _URI.match(value)
        uri = datastores.get(match["name"]) if match else None
        if match is None or uri is None:
            known = ", ".join(datastores) or "none"
            message = (
                f"found {shown(value)}, expected azureml://datastores/<name>/paths/<path>; data assets are not kept here. "
                f"[batch_endpoints] azure_datastores names: {known}"
            )
            problems.append(Problem("invocation", places.get(name, name), message))
        else:
            found[name] = join(uri, match["path"]) if match["path"].strip("/") else uri
    if problems:
        raise DocumentError(problems)
    return found
