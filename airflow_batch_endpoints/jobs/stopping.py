"""Word that the workers of a job are to stop: the content of the Variable that :func:`.naming.cancel_key` names."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """Why the workers of a job are to stop."""

    reason: str
    failed_step: str | None
    """The step whose failure it is; ``None`` for a cancellation."""


def stop_request(submission: str, reason: str, failed_step: str | None = None) -> dict[str, str]:
    """Return the content of the Variable that asks the workers of one submission to stop."""
    return {
        "submission": submission,
        "reason": reason,
        **({} if failed_step is None else {"failed_step": failed_step}),
    }


def read_stop(text: str | None, submission: str) -> Stop | None:
    """Return what such a Variable asks of a submission; ``None`` when it asks nothing of it, or is no such request."""
    try:
        request = json.loads(text or "{}")
    except ValueError:
        return None
    if not isinstance(request, dict) or str(request.get("submission")) != submission:
        return None
    failed = request.get("failed_step")
    return Stop(str(request.get("reason", "")), None if failed is None else str(failed))
