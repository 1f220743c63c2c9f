"""Names of jobs: which run a request is, and how a run is called where its own name does not fit."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from airflow_batch_endpoints.exceptions import UserError

DAG_PREFIX = "batch_endpoint."
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~:+-]{0,199}\Z")


def dag_id(endpoint: str) -> str:
    """Return the id of an endpoint's DAG."""
    return f"{DAG_PREFIX}{endpoint}"


def check_job_name(name: str) -> str:
    """Return a job name unchanged if it is one.

    :raises UserError: when it can't be the id of a run.
    """
    if not _JOB.match(name):
        raise UserError(f"job name {ascii(name)[:80]}: expected up to 200 letters, digits and any of _ . ~ : + -")
    return name


def new_job_name() -> str:
    """Return a name for a job that has none: sorted by time, unique."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def path_name(job: str) -> str:
    """Return a job's name as a part of a path: what is odd in it is replaced, and a digest keeps names apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", job).strip("-._")[:80] or "job"
    return plain if plain == job else f"{plain}-{hashlib.sha256(job.encode()).hexdigest()[:8]}"


def request_digest(conf: dict[str, Any]) -> str:
    """Return a digest of what a request asks for, to tell a repetition from another request of the same name."""
    content = {name: value for name, value in conf.items() if value not in (None, "", {})}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def cancel_key(endpoint: str, job: str) -> str:
    """Return the Variable that asks the workers of a job to stop."""
    return f"batch_endpoints.cancel.{endpoint}.{path_name(job)}"


def other_run(endpoint: str, job: str) -> str:
    """Return the id of the run of another DAG that a job consists of."""
    identity = "\0".join((endpoint, job))
    return f"{endpoint}.{path_name(job)[:60]}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
