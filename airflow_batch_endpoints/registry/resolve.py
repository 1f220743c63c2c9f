"""From a request and the registry to a job: decided once, on every surface alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.deployment import FieldError, ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.documents.job import JobRequest
from airflow_batch_endpoints.exceptions import DocumentError, NotFoundError, Problem, UserError
from airflow_batch_endpoints.jobs.naming import path_name
from airflow_batch_endpoints.jobs.spec import JobReference, JobSpec, Replay
from airflow_batch_endpoints.registry import launching
from airflow_batch_endpoints.registry.registry import Registry, Stored
from airflow_batch_endpoints.storage.reach import check_reach
from airflow_batch_endpoints.storage.uris import join, normalise

FindJob = Callable[[str], JobReference | None]
"""Tells of a job by its name, among those of one endpoint; ``None`` when there is none, or it was never planned."""


def resolve(
    registry: Registry,
    request: JobRequest,
    *,
    job: str,
    invoker: str | None,
    settings: Settings,
    find_job: FindJob = lambda _: None,
) -> JobSpec:
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
    deployment = stored.document
    if not isinstance(deployment, ModelDeployment):
        raise UserError(
            f"deployment {request.endpoint}/{getattr(deployment, 'name', '')} is a pipeline; running pipeline deployments is "
            "not supported yet, name a deployment of type: model"
        )
    compute = registry.compute(deployment.compute or settings.default_compute).document
    launch = launching.pin(registry, deployment, compute, invoker=invoker, settings=settings)
    input_uri = replayed.input_uri if replayed is not None else normalise(request.input_uri or "", what="input")
    check_reach(input_uri, settings.allowed_input_uris, what="input", option="allowed_input_uris")
    if request.output_uri is None:
        output_uri = join(settings.default_output_uri, request.endpoint, path_name(job))
    else:
        output_uri = normalise(request.output_uri, what="output")
        check_reach(output_uri, settings.allowed_output_uris, what="output", option="allowed_output_uris")
    instances = request.overrides.instance_count or deployment.resources.instance_count
    code = deployment.code_configuration
    effective = request.overrides.apply(deployment.settings)
    try:
        effective.require_consistent(is_script=code is not None)
    except FieldError as error:
        raise DocumentError([Problem("job request", error.field, str(error))]) from None
    spec = JobSpec(
        endpoint=request.endpoint,
        deployment=deployment.name,
        deployment_revision=stored.revision,
        job=job,
        invoker=invoker,
        input_uri=input_uri,
        input_type=request.input_type,
        replay=None if replayed is None else _replay(replayed, settings),
        output_uri=output_uri,
        allowed_input_uris=settings.allowed_input_uris,
        model_uri=_model_uri(deployment.model.path),
        model_name=deployment.model.name or "model",
        code_uri=None if code is None else normalise(code.code, what="code_configuration.code"),
        scoring_script=None if code is None else code.scoring_script,
        conda_file=_conda_file(deployment),
        settings=launching.per_device(effective, launch),
        launch=launch,
        instance_count=min(instances, launch.compute.max_instances or instances),
        memory_bytes=launching.local_memory(launch),
    )
    launching.require_shared_storage(spec)
    return spec


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


def _replay(job: JobReference, settings: Settings) -> Replay:
    allowed = (*settings.allowed_output_uris, *settings.allowed_input_uris)
    check_reach(job.output_uri, allowed, what=f"output of job {job.job!r}", option="allowed_output_uris")
    return Replay(job=job.job, output_uri=job.output_uri)


def _conda_file(deployment: ModelDeployment) -> str | dict[str, Any] | None:
    found = deployment.environment.conda_file if deployment.environment is not None else None
    return normalise(found, what="environment.conda_file") if isinstance(found, str) else found


def _model_uri(path: str) -> str:
    if path.startswith(("models:/", "runs:/")):
        return path
    return normalise(path, what="model")
