"""From a request and the registry to a job: decided once, on every surface alike."""

from __future__ import annotations

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.documents.job import SOURCE, JobRequest
from airflow_batch_endpoints.documents.pipeline import DagDeployment, PipelineDeployment
from airflow_batch_endpoints.exceptions import DocumentError, NotFoundError, Problem
from airflow_batch_endpoints.jobs.dag import DagSpec
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.jobs.spec import JobReference, JobSpec
from airflow_batch_endpoints.registry.asked import Asked, FindJob
from airflow_batch_endpoints.registry.dag_jobs import resolve_dag
from airflow_batch_endpoints.registry.model_jobs import resolve_model
from airflow_batch_endpoints.registry.pipeline_jobs import resolve_pipeline
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.stored import Stored

Spec = JobSpec | PipelineSpec | DagSpec
"""A job, resolved."""


def resolve(
    registry: Registry,
    request: JobRequest,
    *,
    job: str,
    invoker: str | None,
    settings: Settings,
    find_job: FindJob = lambda _: None,
) -> Spec:
    """Resolve a request.

    :param job: name of the job, which is the run id.
    :param invoker: who asked, as Airflow knows them.
    :param find_job: tells of other jobs of the endpoint, for requests to replay one.
    :raises NotFoundError: no such endpoint, deployment or compute, or no default.
    :raises ReachError: input or output are outside what jobs may reach.
    :raises UserError: the deployment cannot run here.
    """
    replayed = None if request.replay_of is None else _replayed(request.replay_of, request.endpoint, find_job)
    if replayed is not None and request.deployment is None:
        request = request.model_copy(update={"deployment": replayed.deployment})
    stored = choose_deployment(registry, request)
    asked = Asked(registry, request, stored.revision, job, invoker, settings)
    deployment = stored.document
    if isinstance(deployment, ModelDeployment):
        return resolve_model(asked, deployment, replayed)
    if replayed is not None:
        message = f"deployment {request.deployment!r} makes no dead letters; clear the run of a failed job to resume it"
        raise DocumentError([Problem(SOURCE, "replay_of", message)])
    if isinstance(deployment, PipelineDeployment):
        return resolve_pipeline(asked, deployment)
    assert isinstance(deployment, DagDeployment)  # noqa: S101 - the registry knows three kinds
    return resolve_dag(asked, deployment)


def choose_deployment(registry: Registry, request: JobRequest) -> Stored:
    """Return the deployment a request means: the one it names, or its endpoint's default."""
    endpoint = registry.endpoint(request.endpoint).document
    name = request.deployment
    if name is None and isinstance(endpoint, Endpoint):
        name = endpoint.defaults.deployment_name
    if name is None:
        known = ", ".join(registry.deployment_names(request.endpoint)) or "none"
        raise NotFoundError(
            f"endpoint {request.endpoint!r} has no default deployment and the request names none; there is: {known}. Name one, or "
            f"set a default: airflow batch-endpoints set-default {request.endpoint} DEPLOYMENT"
        )
    return registry.deployment(request.endpoint, name)


def _replayed(name: str, endpoint: str, find_job: FindJob) -> JobReference:
    found = find_job(name)
    if found is None:
        raise NotFoundError(
            f"there is no job {name!r} of endpoint {endpoint!r} to replay, or it was never planned; see: airflow batch-endpoints "
            f"jobs list {endpoint}"
        )
    return found
