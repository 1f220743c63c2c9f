"""Addresses of logs that are their own permission: signed, for one log of one job, for minutes.

Azure ML's clients fetch logs without a token, as from storage. A link is given to callers who may read the logs.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from airflow.configuration import conf
from itsdangerous import BadSignature, URLSafeTimedSerializer

from airflow_batch_endpoints.exceptions import NotFoundError

SECONDS = 300
"""How long a link is good for; a client gets new ones each time it asks for the job."""


class Log(NamedTuple):
    """The log of one task of a job."""

    endpoint: str
    job: str
    task: str
    instance: int | None = None
    """Of ``score``."""


def sign(log: Log) -> str:
    """Return the last part of a link."""
    return str(_serializer().dumps(log))


def verify(token: str) -> Log:
    """Return the log that a link is for. :raises NotFoundError: it was not made here, or too long ago."""
    try:
        return Log(*_serializer().loads(token, max_age=SECONDS))
    except (BadSignature, TypeError):
        raise NotFoundError("this link is not, or no longer, good for a log; ask for the job again") from None


def _serializer() -> URLSafeTimedSerializer:
    # All API servers of an Airflow share this key; the salt keeps what it signs elsewhere apart.
    return URLSafeTimedSerializer(
        conf.get_mandatory_value("api", "secret_key"),
        salt="airflow_batch_endpoints.azure.links",
        signer_kwargs={"digest_method": hashlib.sha256},
    )
