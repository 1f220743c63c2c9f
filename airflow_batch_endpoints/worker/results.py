"""How a worker command tells Airflow how it ended: an exit code and a small JSON object."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.exceptions import BatchEndpointsError

MAX_BYTES = 4096
"""What Kubernetes keeps of a termination message."""
_TERMINATION_LOG = Path("/dev/termination-log")


def leave(result: dict[str, Any]) -> None:
    """Leave a result where the launcher reads it.

    :param result: what the command returned; lists and mappings are shortened until it fits :data:`MAX_BYTES`.
    """
    named = os.environ.get("BATCH_ENDPOINTS_RESULT")
    path = Path(named) if named else _TERMINATION_LOG
    if not named and not path.exists():
        return
    path.write_bytes(encode(result))


def encode(result: dict[str, Any]) -> bytes:
    """Return a result as JSON of at most :data:`MAX_BYTES`, giving up the ends of lists and mappings first."""
    result = dict(result)
    while len(content := json.dumps(result, allow_nan=False).encode()) > MAX_BYTES:
        longest = max(
            (key for key, value in result.items() if isinstance(value, list | str | dict) and value),
            key=lambda key: len(json.dumps(result[key])),
            default=None,
        )
        if longest is None:
            return b"{}"
        value = result[longest]
        items = list(value.items()) if isinstance(value, dict) else value
        half = items[: len(items) // 2]
        result[longest] = dict(half) if isinstance(value, dict) else half
    return content


def of_error(error: BatchEndpointsError) -> dict[str, Any]:
    """Describe an error as a result."""
    return {"error": {"type": type(error).__name__, "message": str(error)[: MAX_BYTES // 4]}}
