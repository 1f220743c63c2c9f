"""Who asks, and Airflow's audit log, which every change and every refusal goes into."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from airflow.models.log import Log
from sqlalchemy.orm import Session

EVENT = "batch_endpoints."
"""How the events of this package begin in the audit log."""
_MAX_EVENT = 60


@dataclass(frozen=True)
class Actor:
    """Who asks, and over what."""

    name: str
    """As the auth manager calls the user, or the user of the terminal."""
    channel: Literal["cli", "rest"]


def audit(
    session: Session, actor: Actor, event: str, *, dag: str | None = None, run: str | None = None, **extra: Any
) -> None:
    """Write an entry of Airflow's audit log, within the transaction of what it tells of.

    :param event: such as ``job.invoke``.
    :param extra: what else to keep; never a secret.
    """
    session.add(
        Log(
            event=f"{EVENT}{event}"[:_MAX_EVENT],
            owner=actor.name,
            owner_display_name=actor.name,
            dag_id=dag,
            run_id=run,
            extra=json.dumps({"channel": actor.channel, **extra}, default=str),
        )
    )
