"""Deployments as Azure's resource manager has them.

Azure has no words for some of what a deployment here may say. That is kept in the resource's own ``properties``, as JSON under
``batchEndpoints.<section>.<field>``, so that a client which gets a deployment, changes it and puts it back loses nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_batch_endpoints.azure.endpoints import LOCATION, changed
from airflow_batch_endpoints.azure.fields import SOURCE, Field, Found, Table, at, nested
from airflow_batch_endpoints.azure.ids import PROVIDER, Asset, Workspace, read_asset
from airflow_batch_endpoints.azure.pipelines import is_pipeline, read_pipeline, write_pipeline
from airflow_batch_endpoints.documents.deployment import ModelDeployment, model_uri
from airflow_batch_endpoints.documents.invocation import seconds_of
from airflow_batch_endpoints.documents.loading import from_data
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.services.resources import StoredDocument

PREFIX = "batchEndpoints."
"""How the names of properties begin that hold what Azure has no words for."""
SECTIONS = ("model", "code_configuration", "environment", "resources", "settings")
_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<label>[^/@]+))\Z")
_URI_HINT = "a folder by its URI, percent-encoded: azureml:<URI>:1"


def _model(value: Any) -> dict[str, str]:
    asset = read_asset(value, "models")
    if ":" in asset.name or "/" in asset.name:
        return {"path": model_uri(asset.name)}
    if not asset.label and not asset.version:
        raise ValueError(f"found {shown(value)}, expected a version, too: azureml:<name>:<version>")
    by = f"@{asset.label}" if asset.label else f":{asset.version}"
    return {"name": asset.name, "path": model_uri(f"azureml:{asset.name}{by}")}


def _model_id(model: dict[str, Any], workspace: Workspace) -> str:
    match = _REGISTERED.match(model["path"])
    asset = Asset(match["name"], match["version"], match["label"]) if match else Asset(model["path"])
    return workspace.asset("models", asset)


def _code(value: Any) -> str:
    name = read_asset(value, "codes").name
    if ":/" not in name:
        raise ValueError(f"found {shown(name)}; no code is registered here, name {_URI_HINT}")
    return name


def _environment(value: Any) -> dict[str, str]:
    text = str(value)
    # Azure's own environments come by name and version alone.
    if text.startswith("azureml:") and not text.startswith("azureml://"):
        name, _, version = text.removeprefix("azureml:").partition(":")
        asset = Asset(name, version or None)
    else:
        asset = read_asset(value, "environments")
    if "/" in asset.name or ":" in asset.name:
        return {"image": asset.name}
    return {"name": asset.name, **({"version": asset.version} if asset.version else {})}


def _environment_id(environment: dict[str, Any], workspace: Workspace) -> str | None:
    name, image = environment.get("name"), environment.get("image")
    if image and re.search("[/:]", image):
        return workspace.asset("environments", Asset(image))
    version = environment.get("version")
    return workspace.asset("environments", Asset(name, str(version))) if name and version else None


def _compute(value: Any) -> str:
    return read_asset(value, "computes").name.removeprefix("azureml:")


def _output_action(value: Any) -> str:
    known = {"appendrow": "append_row", "summaryonly": "summary_only"}
    found = known.get(str(value).lower().replace("_", ""))
    if found is None:
        raise ValueError(f"found {shown(value)}, expected AppendRow or SummaryOnly")
    return found


def _timeout(value: Any) -> Any:
    return seconds_of(value) if isinstance(value, str) else value


def _number(value: Any, _: Workspace) -> int | None:
    """Return a number; a share of the items or a size in bytes is nothing that Azure knows."""
    return value if isinstance(value, int) else None


TABLE = Table(
    fields=(
        Field("tags", "tags"),
        Field("properties.description", "description"),
        Field("properties.properties", "properties"),
        Field("properties.model.assetId", "model", read=_model, write=_model_id),
        Field("properties.codeConfiguration.codeId", "code_configuration.code", read=_code,
              write=lambda uri, workspace: workspace.asset("codes", Asset(uri))),
        Field("properties.codeConfiguration.scoringScript", "code_configuration.scoring_script"),
        Field("properties.environmentId", "environment", read=_environment, write=_environment_id),
        Field("properties.compute", "compute", read=_compute, write=lambda name, workspace: workspace.compute(name)),
        Field("properties.resources.instanceCount", "resources.instance_count"),
        Field("properties.resources.instanceType", "resources.instance_type"),
        Field("properties.resources.properties", "resources.properties"),
        Field("properties.miniBatchSize", "settings.mini_batch_size", write=_number),
        Field("properties.errorThreshold", "settings.error_threshold", write=_number),
        Field("properties.maxConcurrencyPerInstance", "settings.max_concurrency_per_instance"),
        Field("properties.retrySettings.maxRetries", "settings.retry_settings.max_retries"),
        Field("properties.retrySettings.timeout", "settings.retry_settings.timeout", read=_timeout,
              write=lambda seconds, _: f"PT{seconds}S"),
        Field("properties.outputAction", "settings.output_action", read=_output_action,
              write=lambda action, _: action.title().replace("_", "")),
        Field("properties.outputFileName", "settings.output_file_name"),
        Field("properties.loggingLevel", "settings.logging_level"),
        Field("properties.environmentVariables", "settings.environment_variables"),
    ),
    ignored=("properties.provisioningState", "properties.model.referenceType"),
)  # fmt: skip


def read_deployment(resource: Any, endpoint: str, name: str) -> ModelDeployment | PipelineDeployment:
    """Return the document that a resource stands for. :raises DocumentError: with every problem."""
    if is_pipeline(resource):
        return read_pipeline(resource, endpoint, name)
    found = TABLE.read(resource)
    _unpack(found)
    return found.document(ModelDeployment, type="model", endpoint_name=endpoint, name=name)


def write_deployment(stored: StoredDocument, workspace: Workspace, *, is_invokable: bool = True) -> dict[str, Any]:
    """Return a deployment as a resource.

    :param stored: as it is kept; one without a document has only its names.
    :param is_invokable: whether the endpoint's DAG is there.
    """
    endpoint = stored.endpoint or ""
    content: dict[str, Any] = {}
    if stored.document is not None:
        document = from_data(stored.document, f"deployment {stored.name}")
        if isinstance(document, PipelineDeployment):
            content = write_pipeline(document, workspace)
        else:
            content = TABLE.write(document, workspace)
        if isinstance(document, ModelDeployment):
            content = _with_the_rest(content, document)
    told = content.get("properties", {})
    if told.get("model"):
        told["model"]["referenceType"] = "Id"
    if stored.error:
        told["description"] = stored.error
    state = "Failed" if stored.error else "Succeeded" if is_invokable else "Creating"
    return {
        "id": workspace.deployment(endpoint, stored.name),
        "name": stored.name,
        "type": f"{PROVIDER}/workspaces/batchEndpoints/deployments",
        "location": LOCATION,
        "tags": content.get("tags", {}),
        "properties": {"properties": {}, **told, "provisioningState": state},
        "systemData": changed(stored.updated_at, stored.updated_by),
    }


def _unpack(found: Found) -> None:
    """Take what Azure has no words for out of the properties. What it says in its own words goes before."""
    properties = found.values.get("properties")
    if not isinstance(properties, dict):
        return
    problems = []
    for name in [name for name in properties if name.startswith(PREFIX)]:
        value = properties.pop(name)
        path, place = name.removeprefix(PREFIX), f"{found.places['properties']}.{name}"
        section, separator, last = path.partition(".")
        if section not in SECTIONS or not separator or not last or "." in last:
            problems.append(
                Problem(SOURCE, place, f"expected {PREFIX}<section>.<field> with one of {', '.join(SECTIONS)}")
            )
            continue
        try:
            told = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            problems.append(Problem(SOURCE, place, f"found {shown(value)}, expected JSON"))
            continue
        whole = found.values.get(section)
        if isinstance(whole, dict):
            whole.setdefault(last, told)
        elif path not in found.values:
            found.values[path], found.places[path] = told, place
    if problems:
        raise DocumentError(problems)


def _with_the_rest(content: dict[str, Any], document: ModelDeployment) -> dict[str, Any]:
    """Return a resource with what it could not say among its properties."""
    said, whole = nested(TABLE.read(content).values), document.model_dump(mode="json")
    rest = {
        f"{PREFIX}{section}.{name}": json.dumps(at(whole, f"{section}.{name}"))
        for section, fields in document.model_dump(exclude_defaults=True).items()
        for name in (fields if section in SECTIONS and fields else ())
        if at(said, f"{section}.{name}") != at(whole, f"{section}.{name}")
    }
    content["properties"].setdefault("properties", {}).update(rest)
    return content
