"""How far jobs may reach: the prefixes that inputs and outputs must stay within."""

from __future__ import annotations

import os
from collections.abc import Sequence

from airflow_batch_endpoints.exceptions import ReachError
from airflow_batch_endpoints.storage.uris import is_local, local_path, shown, without_query


def is_within(uri: str, prefix: str) -> bool:
    """Tell whether a URI is a prefix or lies below it. Both are normalised; links in local paths are followed.

    :param uri: what somebody wants to reach; may be a glob. What is there by that very name is meant, whatever signs are in it.
    :param prefix: an allowed folder.
    """
    if is_local(uri) != is_local(prefix):
        return False
    if is_local(uri):
        path = local_path(uri)
        inside = os.path.realpath(path if os.path.lexists(path) else _before_glob(path))
        outside = os.path.realpath(local_path(prefix))
        return inside == outside or inside.startswith(outside.rstrip("/") + "/")
    uri = without_query(uri)
    return uri == prefix or uri.startswith(prefix.rstrip("/") + "/")


def check_reach(uri: str, allowed: Sequence[str], *, what: str, option: str) -> None:
    """Refuse a URI outside the allowed prefixes.

    :param uri: normalised.
    :param allowed: normalised prefixes.
    :param what: ``input`` or ``output``, for the message.
    :param option: name of the option that holds the prefixes.
    :raises ReachError: naming the URI and the option.
    """
    if not any(is_within(uri, prefix) for prefix in allowed):
        raise ReachError(
            f"{what} {shown(uri)} is outside what jobs may reach; [batch_endpoints] {option} allows "
            f"{', '.join(allowed) or 'nothing'}"
        )


def _before_glob(path: str) -> str:
    """The part of a pattern that holds no wildcard."""
    parts = path.split("/")
    for position, part in enumerate(parts):
        if any(character in part for character in "*?["):
            return "/".join(parts[:position]) or "/"
    return path
