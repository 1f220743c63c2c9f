"""From a request and the registry to a job: decided once, on every surface alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.deployment import DeploymentSettings, FieldError, ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.documents.job import JobRequest
from airflow_batch_endpoints.exceptions import DocumentError, NotFoundError, Problem, UserError
from airflow_batch_endpoints.jobs.naming import path_name
from airflow_batch_endpoints.jobs.spec import JobReference, JobSpec, OutputAsset, Replay
from airflow_batch_endpoints.registry import launching
from airflow_batch_endpoints.registry.references import Place, locate
from airflow_batch_endpoints.registry.registry import Registry, Stored
from airflow_batch_endpoints.storage.reach import check_reach
from airflow_batch_endpoints.storage.uris import join

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
    source = locate_input(registry, replayed.input_uri if replayed else request.input_uri or "", settings)
    target = locate_output(registry, request.output_uri, settings) or Place(
        join(settings.default_output_uri, request.endpoint, path_name(job))
    )
    model = _model(registry, deployment.model.path)
    code_at = None if deployment.code_configuration is None else _code(registry, deployment.code_configuration.code)
    conda_file, conda_at = _conda_file(registry, deployment)
    places = [place for place in (source, target, model, code_at, conda_at) if place is not None]
    launch = launching.with_access(
        launching.pin(registry, deployment, compute, invoker=invoker, settings=settings),
        [place.datastore for place in places if place.datastore is not None],
    )
    instances = request.overrides.instance_count or deployment.resources.instance_count
    code = deployment.code_configuration
    effective = request.overrides.apply(deployment.settings)
    try:
        effective.require_consistent(is_script=code is not None)
    except FieldError as error:
        raise DocumentError([Problem("job request", error.field, str(error))]) from None
    output_assets = _output_assets(deployment.settings.output_asset, effective, target.uri)
    spec = JobSpec(
        endpoint=request.endpoint,
        deployment=deployment.name,
        deployment_revision=stored.revision,
        job=job,
        invoker=invoker,
        input_uri=source.uri,
        input_type=request.input_type or source.type,
        assets=tuple(dict.fromkeys(place.asset for place in places if place.asset is not None)),
        replay=None if replayed is None else _replay(replayed, settings),
        output_uri=target.uri,
        output_assets=output_assets,
        allowed_input_uris=settings.allowed_input_uris,
        model_uri=model.uri,
        model_name=deployment.model.name or "model",
        code_uri=None if code_at is None else code_at.uri,
        scoring_script=None if code is None else code.scoring_script,
        conda_file=conda_file,
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


def locate_input(registry: Registry, text: str, settings: Settings, *, what: str = "input") -> Place:
    """Return where an input is. :raises ReachError: where jobs may not read."""
    place = locate(registry, text, what=what)
    check_reach(place.uri, settings.allowed_input_uris, what=what, option="allowed_input_uris")
    return place


def locate_output(registry: Registry, text: str | None, settings: Settings, *, what: str = "output") -> Place | None:
    """Return where an output goes, ``None`` when nothing is said of it. :raises ReachError: where jobs may not write."""
    if text is None:
        return None
    place = locate(registry, text, what=what)
    if place.asset is not None:
        raise UserError(
            f"{what}: {place.asset} is a version of a data asset, which does not change; name a place, such as "
            "azureml://datastores/<store>/paths/<path>"
        )
    check_reach(place.uri, settings.allowed_output_uris, what=what, option="allowed_output_uris")
    return place


def _output_assets(name: str | None, settings: DeploymentSettings, output_uri: str) -> tuple[OutputAsset, ...]:
    """Return what the predictions are registered as: the file, or the folder of files, that holds them."""
    if name is None:
        return ()
    if settings.output_action == "summary_only":
        return (OutputAsset(name=name, type="uri_folder", uri=output_uri),)
    uri = join(output_uri, settings.output_file_name.rstrip("/"))
    return (OutputAsset(name=name, type="uri_folder" if settings.is_dataset else "uri_file", uri=uri),)


def _code(registry: Registry, text: str) -> Place:
    return locate(registry, text, what="code_configuration.code")


def _conda_file(registry: Registry, deployment: ModelDeployment) -> tuple[str | dict[str, Any] | None, Place | None]:
    """Return the conda file, by its URI or written out, and where it is."""
    found = deployment.environment.conda_file if deployment.environment is not None else None
    place = locate(registry, found, what="environment.conda_file") if isinstance(found, str) else None
    return (found if place is None else place.uri), place


def _model(registry: Registry, path: str) -> Place:
    return Place(path) if path.startswith(("models:/", "runs:/")) else locate(registry, path, what="model")
