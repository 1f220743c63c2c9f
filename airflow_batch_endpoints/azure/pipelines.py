"""Deployments of pipeline components as Azure's resource manager has them."""

from __future__ import annotations

from typing import Any

from airflow_batch_endpoints.azure.fields import SOURCE, Field, Table
from airflow_batch_endpoints.azure.ids import Asset, Workspace, read_asset
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem

KIND = "PipelineComponent"
_CONFIGURATION = "properties.deploymentConfiguration"
_SETTINGS_PREFIX = "componentdeployment.settings."
"""How Azure's own services begin the names of settings."""


def _component(value: Any) -> str:
    asset = read_asset(value, "components")
    return f"azureml:{asset.name}@{asset.label}" if asset.label else f"azureml:{asset.name}:{asset.version}"


def _component_id(component: Any, workspace: Workspace) -> str | None:
    """Return the id of a component. Applied documents have it written out, with its name if it ever had one."""
    if not isinstance(component, dict) or not component.get("name"):
        return None
    version = component.get("version")
    return workspace.asset("components", Asset(component["name"], None if version is None else str(version)))


def _settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"found {shown(value)}, expected settings by name")
    found = {}
    for name, setting in value.items():
        short = name[len(_SETTINGS_PREFIX) :] if name.lower().startswith(_SETTINGS_PREFIX) else name
        if isinstance(setting, str) and setting.lower() in ("true", "false"):
            setting = setting.lower() == "true"
        if short == "default_compute" and isinstance(setting, str):
            setting = read_asset(setting, "computes").name if "/" in setting else setting
        found[short] = setting
    return found


TABLE = Table(
    fields=(
        Field("tags", "tags"),
        Field("properties.description", "description"),
        Field("properties.properties", "properties"),
        Field(f"{_CONFIGURATION}.componentId.assetId", "component", read=_component, write=_component_id),
        Field(f"{_CONFIGURATION}.settings", "settings", read=_settings,
              write=lambda settings, _: {name: value for name, value in settings.items() if value is not None}),
    ),
    ignored=(
        "properties.provisioningState", f"{_CONFIGURATION}.deploymentConfigurationType",
        f"{_CONFIGURATION}.componentId.referenceType", f"{_CONFIGURATION}.description", f"{_CONFIGURATION}.tags",
        # The client sends these with every deployment; of a pipeline they say nothing.
        "properties.errorThreshold", "properties.maxConcurrencyPerInstance", "properties.miniBatchSize",
        "properties.outputFileName", "properties.outputAction", "properties.loggingLevel", "properties.retrySettings",
    ),
)  # fmt: skip


def is_pipeline(resource: Any) -> bool:
    """Tell whether a resource is a deployment of a pipeline component."""
    properties = _entry(resource, "properties")
    return _entry(properties, "deploymentConfiguration") is not None


def read_pipeline(resource: Any, endpoint: str, name: str) -> PipelineDeployment:
    """Return the document that a resource stands for. :raises DocumentError: with every problem."""
    kind = _entry(_entry(_entry(resource, "properties"), "deploymentConfiguration"), "deploymentConfigurationType")
    if str(kind).lower() != KIND.lower():
        place = f"{_CONFIGURATION}.deploymentConfigurationType"
        raise DocumentError([Problem(SOURCE, place, f"found {shown(kind)}, expected {KIND}")])
    return TABLE.read(resource).document(PipelineDeployment, type="pipeline", endpoint_name=endpoint, name=name)


def write_pipeline(document: PipelineDeployment, workspace: Workspace) -> dict[str, Any]:
    """Return what a resource says of a deployment."""
    content = TABLE.write(document, workspace)
    configuration = content["properties"]["deploymentConfiguration"]
    configuration["deploymentConfigurationType"] = KIND
    if "componentId" in configuration:
        configuration["componentId"]["referenceType"] = "Id"
    return content


def _entry(content: Any, name: str) -> Any:
    """Return what stands under a name, which may be written in any case."""
    entries = content.items() if isinstance(content, dict) else ()
    return next((value for key, value in entries if str(key).lower() == name.lower()), None)
