"""Jobs of pipeline deployments: each step with what it gets, where it runs, and what becomes of what it makes."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_batch_endpoints.documents.component import (
    ParallelComponent,
    PipelineComponent,
    StepResources,
)
from airflow_batch_endpoints.documents.deployment import (
    DeploymentSettings,
    RetrySettings,
    model_uri,
)
from airflow_batch_endpoints.documents.job import SOURCE
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.documents.ports import MODEL_TYPES, LiteralValue, literal
from airflow_batch_endpoints.documents.references import LATEST, PREFIX, is_reference
from airflow_batch_endpoints.exceptions import DocumentError, Problem, UserError
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.jobs.pipeline import (
    JobOutput,
    MiniBatches,
    OutputOf,
    PipelineSpec,
    StepInput,
    StepOutput,
    StepSpec,
)
from airflow_batch_endpoints.jobs.spec import OutputAsset
from airflow_batch_endpoints.pipelines.bind import bind_inputs, bind_outputs
from airflow_batch_endpoints.pipelines.commands import own_name
from airflow_batch_endpoints.pipelines.graph import FromJob, FromStep, Given, Graph, Node, NodeInput, build
from airflow_batch_endpoints.registry import launching
from airflow_batch_endpoints.registry.asked import Asked, assets_of
from airflow_batch_endpoints.registry.model_jobs import conda_file_of
from airflow_batch_endpoints.registry.outputs import require_free
from airflow_batch_endpoints.registry.references import Place, locate, locate_input, locate_output
from airflow_batch_endpoints.storage.reach import is_within
from airflow_batch_endpoints.storage.uris import join

REUSE = "_steps"
"""Folder beside the jobs of an endpoint where finished steps are found again; no job is called so."""


def resolve_pipeline(asked: Asked, deployment: PipelineDeployment) -> PipelineSpec:
    """Return the job of a pipeline deployment.

    :raises DocumentError: with every input or output that is missing, unknown or wrongly typed.
    :raises ReachError: data outside of what jobs may read or write.
    """
    if not isinstance(deployment.component, PipelineComponent):
        raise UserError(
            f"deployment {deployment.name!r} names its component but does not hold it; apply its document again"
        )
    graph, _ = build(deployment.component, deployment.settings)
    return _Resolver(asked, deployment, graph).spec()


def _overrides_of_models(asked: Asked, deployment: PipelineDeployment) -> list[Problem]:
    overrides = asked.request.overrides
    found = [*overrides.model_dump(exclude_none=True, exclude={"retry_settings"})]
    found += [*overrides.retry_settings.model_dump(exclude_none=True)]
    message = (
        f"belongs to model deployments; {deployment.name!r} is a pipeline, whose steps say it themselves. What a job may change "
        "of a pipeline are its inputs"
    )
    return [Problem(SOURCE, name, message) for name in found]


@dataclass(frozen=True)
class _Step:
    """A step on the way to its spec."""

    spec: StepSpec
    places: list[Place]


class _Resolver:
    def __init__(self, asked: Asked, deployment: PipelineDeployment, graph: Graph) -> None:
        self._asked, self._deployment, self._graph = asked, deployment, graph
        request = asked.request
        given: dict[str, LiteralValue | None] = {}
        made: tuple[dict[str, str], str | None] = ({}, None)
        problems = _overrides_of_models(asked, deployment)
        # Whatever is wrong is told in one pass.
        try:
            given = bind_inputs(graph, request.named_inputs(), request.unnamed_input)
        except DocumentError as error:
            problems += error.problems
        try:
            made = bind_outputs(graph, request.outputs)
        except DocumentError as error:
            problems += error.problems
        if problems:
            raise DocumentError(problems)
        self._given = given
        self._wanted, folder = made
        self._folder = asked.folder(request.output_uri or folder)
        self._data = {
            name: self._located(str(value), str(graph.inputs[name].type), self._place(name, value))
            for name, value in given.items()
            if value is not None and graph.inputs[name].is_data
        }

    def _place(self, name: str, value: LiteralValue) -> str:
        """Return where an input stands in the request, for messages."""
        unnamed = self._asked.request.unnamed_input
        is_unnamed = name not in self._asked.request.inputs and unnamed is not None and unnamed.path == value
        return "input" if is_unnamed else f"inputs.{name}.path"

    def spec(self) -> PipelineSpec:
        asked, graph = self._asked, self._graph
        outputs, output_places = self._outputs()
        steps = [self._step(node) for node in graph.nodes]
        places = [*self._data.values(), *output_places, *(place for step in steps for place in step.places)]
        launch = asked.launch(
            launching.Work(f"deployment {self._deployment.name!r}"),
            graph.settings.default_compute,
            [*places, self._folder],
        )
        launches = {step.spec.name: step.spec.launch for step in steps}
        launching.require_shared_storage(
            launch,
            [
                ("output", self._folder.uri),
                *((f"inputs.{name}", place.uri) for name, place in self._data.items()),
                *((f"outputs.{name}", output.uri) for name, output in outputs.items()),
            ],
        )
        output_assets = self._output_assets(outputs)
        require_free(asked.registry, output_assets)
        return PipelineSpec(
            endpoint=asked.request.endpoint,
            deployment=self._deployment.name,
            deployment_revision=asked.revision,
            job=asked.job,
            invoker=asked.invoker,
            input_uri=next((place.uri for place in self._data.values()), ""),
            output_uri=self._folder.uri,
            output_assets=output_assets,
            assets=assets_of(places),
            launch=launch,
            steps=launches,
            inputs={name: self._data[name].uri if name in self._data else value for name, value in self._given.items()},
            outputs=outputs,
            graph=tuple(step.spec for step in steps),
            allowed_input_uris=asked.settings.allowed_input_uris,
            continue_on_step_failure=graph.settings.continue_on_step_failure is not False,
            force_rerun=bool(graph.settings.force_rerun),
            reuse_uri=self._reuse_uri([launch, *launches.values()]),
        )

    def _reuse_uri(self, launches: list[Launch]) -> str | None:
        uri = join(self._asked.settings.default_output_uri, self._asked.request.endpoint, REUSE)
        return uri if all(launching.is_shared(launch, uri) for launch in launches) else None

    # -- data ---------------------------------------------------------------------------------------------------------

    def _located(self, text: str, kind: str, what: str) -> Place:
        """Return where data are; models of MLflow keep their name, for the worker to fetch them."""
        if kind in MODEL_TYPES and (text.startswith(("models:", "runs:")) or _is_model_name(text)):
            try:
                return Place(model_uri(text if ":" in text.removeprefix(PREFIX) or "@" in text else f"{text}@{LATEST}"))
            except ValueError as error:
                raise DocumentError([Problem(SOURCE, what, f"found {text!r}, expected {error}")]) from None
        return locate_input(self._asked.registry, text, self._asked.settings, what=what)

    def _outputs(self) -> tuple[dict[str, JobOutput], list[Place]]:
        """Return where the pipeline's outputs go."""
        found: dict[str, JobOutput] = {}
        places: list[Place] = []
        for name, made_by in self._graph.outputs.items():
            place = locate_output(
                self._asked.registry, self._wanted.get(name), self._asked.settings, what=f"outputs.{name}"
            ) or Place(join(self._folder.uri, name), datastore=self._folder.datastore)
            places.append(place)
            found[name] = JobOutput(
                made_by=OutputOf(step=made_by.step, output=made_by.output),
                type=self._graph.output_types[name],
                uri=place.uri,
            )
        _require_apart(self._folder.uri, {name: output.uri for name, output in found.items()})
        return found, places

    def _output_assets(self, outputs: dict[str, JobOutput]) -> tuple[OutputAsset, ...]:
        """Return what outputs are registered as: what the invocation says of it, or else the pipeline."""
        found = []
        for name, output in outputs.items():
            wanted = self._asked.request.outputs.get(name)
            asset = wanted if wanted is not None and wanted.name is not None else self._graph.output_assets.get(name)
            if asset is not None and asset.name is not None:
                found.append(OutputAsset(name=asset.name, version=asset.version, type=output.type, uri=output.uri))
        return tuple(found)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _step(self, node: Node) -> _Step:
        component, step = node.component, node.step
        inputs: dict[str, StepInput] = {}
        places: list[Place] = []
        for name, given in node.inputs.items():
            inputs[name], place = self._input(node, name, given)
            places += [] if place is None else [place]
        environment = step.environment or component.environment
        conda_file, conda_at = conda_file_of(self._asked.registry, environment)
        code = component.code
        code_at = None if code is None else locate(self._asked.registry, code, what=f"code of step {node.name}")
        places += [place for place in (conda_at, code_at) if place is not None]
        launch = self._asked.launch(
            launching.Work(
                f"step {node.name} of deployment {self._deployment.name!r}",
                None if environment is None else environment.image,
                step.resources or component.resources,
            ),
            step.compute or node.settings.default_compute,
            [*places, self._folder],
        )
        launching.require_shared_storage(
            launch, [("output", self._folder.uri), *((f"data of step {node.name}", place.uri) for place in places)]
        )
        variables = {**component.environment_variables, **step.environment_variables}
        spec = StepSpec(
            name=node.name,
            inputs=inputs,
            outputs={name: StepOutput(type=made.type, mode=made.mode) for name, made in node.outputs.items()},
            command=component.command,
            mini_batches=_mini_batches(component, step.resources, variables, launch)
            if isinstance(component, ParallelComponent)
            else None,
            code_uri=None if code_at is None else code_at.uri,
            conda_file=conda_file,
            environment_variables=variables,
            timeout=(step.limits.timeout if step.limits is not None else None) or component.limits.timeout,
            is_deterministic=component.is_deterministic,
            launch=launch,
            memory_bytes=launching.local_memory(launch),
        )
        return _Step(spec, places)

    def _input(self, node: Node, name: str, given: NodeInput) -> tuple[StepInput, Place | None]:
        """Return what a step gets under a name, and where it is, if it is data known now."""
        declared, source = given.declared, given.source
        found = StepInput(type=declared.type or "string", mode=given.mode)
        if isinstance(source, FromStep):
            return found.model_copy(update={"source": OutputOf(step=source.step, output=source.output)}), None
        value = source.value if isinstance(source, Given) else None
        if isinstance(source, FromJob):
            value = self._given[source.name]
            value = source.default if value is None else value
        if value is None:
            return found, None
        if not declared.is_data:
            return found.model_copy(update={"value": literal(value, declared)}), None
        if isinstance(source, FromJob) and source.name in self._data:
            place = self._data[source.name]
        else:
            place = self._located(str(value), str(declared.type), f"input {name!r} of step {node.name}")
        return found.model_copy(update={"value": place.uri}), place


def _is_model_name(text: str) -> bool:
    return is_reference(text) and not text.startswith("azureml://")


def _mini_batches(
    component: ParallelComponent, resources: StepResources | None, variables: dict[str, str], launch: Launch
) -> MiniBatches:
    """Return how a parallel step scores, as settings of a model deployment say it."""
    count = (resources or component.resources).instance_count
    settings = DeploymentSettings(
        max_concurrency_per_instance=component.max_concurrency_per_instance,
        mini_batch_size=component.mini_batch_size,
        error_threshold=component.threshold,
        retry_settings=RetrySettings(
            max_retries=component.retry_settings.max_retries, timeout=component.retry_settings.timeout
        ),
        output_action="append_row" if component.task.append_row_to is not None else "summary_only",
        logging_level=component.logging_level,
        environment_variables=variables,
        output_format=component.output_format,
    )
    to = component.task.append_row_to
    return MiniBatches(
        input=own_name(component.input_data),
        scoring_script=component.task.entry_script,
        arguments=component.task.program_arguments,
        append_row_to=None if to is None else own_name(to),
        settings=launching.per_device(settings, launch),
        instance_count=min(count, launch.compute.max_instances or count),
    )


def _require_apart(folder: str, outputs: dict[str, str]) -> None:
    """Refuse outputs that lie in each other, or where the job keeps its own files."""
    problems = []
    for name, uri in outputs.items():
        if is_within(folder, uri):
            problems.append(
                Problem(SOURCE, f"outputs.{name}", f"{uri} holds the job's own folder {folder}; name another")
            )
        elif is_within(uri, join(folder, "_batch")):
            problems.append(Problem(SOURCE, f"outputs.{name}", f"{uri} is where the job works; name another folder"))
        for other, place in outputs.items():
            if name != other and is_within(uri, place):
                problems.append(Problem(SOURCE, f"outputs.{name}", f"{uri} lies in the output {other!r}; name another"))
    if problems:
        raise DocumentError(problems)
