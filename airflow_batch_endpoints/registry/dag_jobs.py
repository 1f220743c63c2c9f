"""Jobs of deployments that run another DAG: its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_batch_endpoints.documents.job import SOURCE, JobOverrides
from airflow_batch_endpoints.documents.pipeline import DagDeployment
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.jobs.dag import DagSpec
from airflow_batch_endpoints.registry.asked import Asked, assets_of
from airflow_batch_endpoints.registry.references import Place, locate_input


def resolve_dag(asked: Asked, deployment: DagDeployment) -> DagSpec:
    """Return the job of a deployment that runs another DAG.

    An input without a name becomes the parameter ``input``, the job's folder, when one is named, the parameter ``output``. Data
    that say that they are (``{type: uri_folder, path: ...}``) arrive as their URI, ``{value: ...}`` as what is in it, everything
    else as it is.

    :raises ReachError: data outside of what jobs may read or write.
    """
    request = asked.request
    if request.overrides != JobOverrides():
        message = f"settings of mini-batches belong to model deployments; {deployment.name!r} runs the DAG {deployment.dag_id!r}"
        raise DocumentError([Problem(SOURCE, "settings", message)])
    places: list[Place] = []

    def parameter(name: str, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "value" in value and value.keys() <= {"type", "value"}:
            return value["value"]
        if "path" not in value or not value.keys() <= {"type", "path", "mode", "description"}:
            return value
        place = locate_input(asked.registry, str(value["path"]), asked.settings, what=f"inputs.{name}")
        places.append(place)
        return place.uri

    inputs = {name: parameter(name, value) for name, value in {**deployment.inputs, **request.inputs}.items()}
    if request.input_uri is not None:
        inputs["input"] = parameter("input", {"path": request.input_uri})
    wanted = {name: output.path for name, output in request.outputs.items() if output.path is not None}
    folder = asked.folder(request.output_uri or wanted.get("output"))
    if request.output_uri is not None or "output" in wanted:
        inputs["output"] = folder.uri
    inputs |= {
        name: asked.folder(path, what=f"outputs.{name}").uri for name, path in wanted.items() if name != "output"
    }
    return DagSpec(
        endpoint=request.endpoint,
        deployment=deployment.name,
        deployment_revision=asked.revision,
        job=asked.job,
        invoker=asked.invoker,
        input_uri=places[0].uri if places else "",
        output_uri=folder.uri,
        assets=assets_of(places),
        dag_id=deployment.dag_id,
        inputs=inputs,
    )


def with_defaults(document: DagDeployment, conf: Mapping[str, Any] | None) -> DagDeployment:
    """Return a deployment with the parameters of the run that it names as defaults.

    :param conf: those parameters; ``None`` when there is no such run.
    :raises DocumentError: there is no such run.
    """
    if conf is None:
        message = f"there is no run {document.dag_run_id!r} of DAG {document.dag_id!r}"
        raise DocumentError([Problem(f"deployment {document.name}", "dag_run_id", message)])
    return document.model_copy(update={"inputs": {**conf, **document.inputs}})
