"""What a worker is told by its environment, and what of the task's own it gets to see."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints.jobs import environment, handing


def variables(job: dict[str, Any] | None) -> dict[str, str]:
    """Return what the worker is told wherever it runs.

    :param job: the job, for the command that plans it.
    """
    from airflow_batch_endpoints.config import settings

    options = settings()
    variables = {"BATCH_ENDPOINTS_LEASE_SECONDS": str(options.lease_seconds)}
    if job is not None:
        try:
            variables[handing.VARIABLE] = handing.pack(json.dumps(job))
        except ValueError as error:
            raise AirflowFailException(str(error)) from None
    if options.public_mlflow_tracking_uri:
        variables["MLFLOW_TRACKING_URI"] = options.public_mlflow_tracking_uri
    return variables


def of_local_worker() -> dict[str, str]:
    """Return what a worker beside the task gets of the task's own environment, which holds secrets."""
    from airflow_batch_endpoints.config import settings

    options = settings()
    chosen = environment.choose(
        os.environ,
        environment.BASICS,
        environment.STORAGE,
        environment.REGISTRY,
        environment.INDEXES,
        environment.OWN,
        options.local_environment,
    )
    chosen["BATCH_ENDPOINTS_EXTRA_ENVIRONMENT"] = " ".join(options.local_environment)
    if options.mlflow_tracking_uri:
        chosen["MLFLOW_TRACKING_URI"] = options.mlflow_tracking_uri
    return chosen


def access(launch: dict[str, Any]) -> dict[str, str]:
    """Return the credentials of the data stores that the job names: from connections to the worker, and nowhere else."""
    names = launch.get("connections") or ()
    if not names:
        return {}
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_batch_endpoints.computes import credentials
    from airflow_batch_endpoints.exceptions import UserError

    try:
        return credentials.variables({name: BaseHook.get_connection(name) for name in names})
    except (UserError, AirflowNotFoundException) as error:
        raise AirflowFailException(f"a data store of the job cannot be reached: {error}") from None
