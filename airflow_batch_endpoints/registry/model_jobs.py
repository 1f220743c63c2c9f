"""Jobs of model deployments: one data input, cut into mini-batches, and one output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.deployment import DeploymentSettings, Environment, FieldError, ModelDeployment
from airflow_batch_endpoints.documents.job import SOURCE, JobInput, JobRequest
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.jobs.spec import JobReference, JobSpec, OutputAsset, Replay
from airflow_batch_endpoints.registry import launching, outputs
from airflow_batch_endpoints.registry.asked import Asked, assets_of
from airflow_batch_endpoints.registry.references import Place, locate, locate_input
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.storage.reach import check_reach
from airflow_batch_endpoints.storage.uris import join


def resolve_model(asked: Asked, deployment: ModelDeployment, replayed: JobReference | None) -> JobSpec:
    """Return the job of a model deployment.

    :param replayed: whose dead letters are the input.
    """
    registry, request, settings = asked.registry, asked.request, asked.settings
    place, given = ("input", JobInput(path=replayed.input_uri)) if replayed is not None else _only_input(request)
    source = locate_input(registry, str(given.path), settings, what=place)
    target = asked.folder(_only_output(request))
    model = _model(registry, deployment.model.path)
    code_at = None if deployment.code_configuration is None else _code(registry, deployment.code_configuration.code)
    conda_file, conda_at = conda_file_of(registry, deployment.environment)
    places = [place for place in (source, target, model, code_at, conda_at) if place is not None]
    launch = asked.launch(launching.work_of(deployment), deployment.compute, places)
    instances = request.overrides.instance_count or deployment.resources.instance_count
    code = deployment.code_configuration
    effective = request.overrides.apply(deployment.settings)
    try:
        effective.require_consistent(is_script=code is not None)
    except FieldError as error:
        raise DocumentError([Problem(SOURCE, error.field, str(error))]) from None
    output_assets = _output_assets(request, effective, target.uri)
    outputs.require_free(registry, output_assets)
    spec = JobSpec(
        endpoint=request.endpoint,
        deployment=deployment.name,
        deployment_revision=asked.revision,
        job=asked.job,
        invoker=asked.invoker,
        input_uri=source.uri,
        input_type=_file_or_folder(given) or source.type,
        assets=assets_of(places),
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
    launching.require_shared_storage(launch, _places(spec))
    return spec


def _only_input(request: JobRequest) -> tuple[str, JobInput]:
    """Return the one data input that a model takes, under any name, with where it stands in the request.

    :raises DocumentError: there is none, more than one, or one that is no data.
    """
    problems = []
    given = {f"inputs.{name}": value for name, value in request.named_inputs().items()}
    if request.unnamed_input is not None:
        given["input"] = request.unnamed_input
    for place, value in given.items():
        if value.path is None:
            message = "literal inputs belong to pipeline deployments; a model takes one data input"
            problems.append(Problem(SOURCE, place, message))
        elif value.type not in (None, "uri_file", "uri_folder"):
            problems.append(Problem(SOURCE, f"{place}.type", f"found {value.type}, expected uri_folder or uri_file"))
    if not given:
        message = "missing; give the URI of a file, a folder or a pattern, or replay_of, the name of a completed job"
        problems.append(Problem(SOURCE, "input", message))
    elif len(given) > 1 and not problems:
        message = f"found {', '.join(sorted(given))}; a model deployment takes exactly one data input, under any name"
        problems.append(Problem(SOURCE, "inputs", message))
    if problems:
        raise DocumentError(problems)
    ((place, value),) = given.items()
    return (place if place == "input" else f"{place}.path"), value


def _only_output(request: JobRequest) -> str | None:
    """Return where the one output of a model is to go, under any name."""
    given = [output.path for output in request.outputs.values() if output.path is not None]
    if request.output_uri is not None:
        given.append(request.output_uri)
    if len(given) > 1 or len(request.outputs) > 1:
        message = f"found {max(len(given), len(request.outputs))} outputs; a model deployment makes exactly one, under any name"
        raise DocumentError([Problem(SOURCE, "outputs", message)])
    return given[0] if given else None


def _output_assets(request: JobRequest, settings: DeploymentSettings, output_uri: str) -> tuple[OutputAsset, ...]:
    """Return what the predictions are registered as: the file, or the folder of files, that holds them."""
    asked = next((output for output in request.outputs.values() if output.name is not None), None)
    name, version = (settings.output_asset, None) if asked is None else (asked.name, asked.version)
    if name is None:
        return ()
    if settings.output_action == "summary_only":
        return (OutputAsset(name=name, version=version, type="uri_folder", uri=output_uri),)
    kind: Literal["uri_file", "uri_folder"] = "uri_folder" if settings.is_dataset else "uri_file"
    uri = join(output_uri, settings.output_file_name.rstrip("/"))
    return (OutputAsset(name=name, version=version, type=kind, uri=uri),)


def _file_or_folder(given: JobInput) -> Literal["uri_file", "uri_folder"] | None:
    return given.type if given.type == "uri_file" or given.type == "uri_folder" else None


def _replay(job: JobReference, settings: Settings) -> Replay:
    allowed = (*settings.allowed_output_uris, *settings.allowed_input_uris)
    check_reach(job.output_uri, allowed, what=f"output of job {job.job!r}", option="allowed_output_uris")
    return Replay(job=job.job, output_uri=job.output_uri)


def _code(registry: Registry, text: str) -> Place:
    return locate(registry, text, what="code_configuration.code")


def conda_file_of(
    registry: Registry, environment: Environment | None
) -> tuple[str | dict[str, Any] | None, Place | None]:
    """Return the conda file of an environment, by its URI or written out, and where it is."""
    found = environment.conda_file if environment is not None else None
    place = locate(registry, found, what="environment.conda_file") if isinstance(found, str) else None
    return (found if place is None else place.uri), place


def _model(registry: Registry, path: str) -> Place:
    return Place(path) if path.startswith(("models:/", "runs:/")) else locate(registry, path, what="model")


def _places(spec: JobSpec) -> Iterator[tuple[str, str]]:
    yield "input", spec.input_uri
    yield "output", spec.output_uri
    if spec.replay is not None:
        yield f"output of job {spec.replay.job!r}", spec.replay.output_uri
    if spec.model_uri is not None:
        yield "model", spec.model_uri
    if spec.code_uri is not None:
        yield "code", spec.code_uri
    if isinstance(spec.conda_file, str):
        yield "conda file", spec.conda_file
