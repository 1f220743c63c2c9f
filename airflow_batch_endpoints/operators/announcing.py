"""Telling of what a job has published: as its summary, as events of assets, as new versions of data assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints.assets import announce_data
from airflow_batch_endpoints.operators.job import ERROR, SUMMARY, details
from airflow_batch_endpoints.storage.uris import without_query

if TYPE_CHECKING:
    from airflow.sdk import Context


def register_outputs(context: Context, job: dict[str, Any]) -> None:
    """Register outputs as versions of data assets, and tell of the new ones. Done again, it finds what it did."""
    if not job.get("output_assets"):
        return
    from airflow_batch_endpoints.config import settings
    from airflow_batch_endpoints.exceptions import UserError
    from airflow_batch_endpoints.registry.outputs import register
    from airflow_batch_endpoints.registry.registry import Registry
    from airflow_batch_endpoints.registry.task import TaskStore

    try:
        made = register(Registry(TaskStore(), user=job["invoker"]), job["output_assets"], settings())
    except UserError as error:
        context["ti"].xcom_push(ERROR, str(error))
        raise AirflowFailException(f"the output is published, but not registered: {error}") from None
    announce_data(context, made)


def announce(context: Context, job: dict[str, Any], result: dict[str, Any], plan_task_id: str) -> dict[str, Any]:
    """Tell of what was made: as the job's summary, and as an event of the asset that each output is.

    :param result: how the job ended.
    :param plan_task_id: id of the task that planned it.
    :return: the summary.
    """
    told = ("endpoint", "deployment", "job", "output_uri")
    summary = {**{name: job[name] for name in told}, "input_uri": without_query(job["input_uri"]), **result}
    context["ti"].xcom_push(SUMMARY, summary)
    counts: dict[str, Any] = {
        name: result[name] for name in ("listed", "succeeded", "failed", "rows") if name in result
    }
    for name, uri in _outputs(context, job, plan_task_id).items():
        asset = Asset(name=asset_name(job["endpoint"], uri), uri=uri)
        extra: dict[str, Any] = {"job": job["job"], "deployment": job["deployment"], **counts}
        if name:
            extra["output"] = name
        context["outlet_events"][alias(job["endpoint"])].add(asset, extra=extra)
    return summary


def _outputs(context: Context, job: dict[str, Any], plan_task_id: str) -> dict[str, str]:
    """Return the URIs of what was made by name; a model's predictions have none."""
    if job["type"] == "model":
        return {"": job["output_uri"]}
    found = details(context, plan_task_id).get("outputs") or {}
    return {name: output["uri"] for name, output in found.items()}


def alias(endpoint: str) -> AssetAlias:
    """Return the alias under which every output of an endpoint is announced; DAGs can be scheduled on it."""
    return AssetAlias(f"batch_endpoint.{endpoint}")


def asset_name(endpoint: str, output_uri: str) -> str:
    """Return the name of the asset that an output is."""
    return f"batch_endpoint.{endpoint}:{output_uri}"[:1500]
