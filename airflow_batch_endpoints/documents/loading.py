"""From YAML files to documents: nothing that a file can hold may do harm, or end in a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from airflow_batch_endpoints.documents import validation
from airflow_batch_endpoints.documents.assets import DataAsset, EnvironmentAsset, ModelAsset, VersionedAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.component import PipelineComponent
from airflow_batch_endpoints.documents.component_files import COMPONENTS, ComponentFiles
from airflow_batch_endpoints.documents.compute import KubernetesCompute, LocalCompute
from airflow_batch_endpoints.documents.datastore import DATASTORES, NOT_SUPPORTED
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.documents.paths import Beside, paths
from airflow_batch_endpoints.documents.pipeline import DagDeployment, PipelineDeployment
from airflow_batch_endpoints.documents.references import is_reference
from airflow_batch_endpoints.exceptions import DocumentError, Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SYSTEM_FOLDERS = ("/etc", "/proc", "/sys", "/dev", "/boot", "/var", "/usr", "/bin", "/sbin", "/lib", "/run")


def load(path: str | Path, *, within: Path | None = None) -> Document:
    """Read a document from a file, with the component files that it names; paths in it are checked against its folder.

    :param within: folder that these paths must not lead out of; ``None`` for anywhere.
    :raises DocumentError: with every problem.
    """
    return load_with_components(path, within=within)[0]


def load_with_components(path: str | Path, *, within: Path | None = None) -> tuple[Document, list[Path]]:
    """Read a document like :func:`load`, and return the component files that were read for it, too."""
    path = Path(path)
    document = loads(read_file(path), source=str(path))
    return complete(document, str(path), path.absolute().parent, within)


def read_file(path: Path) -> bytes:
    """Return the content of a file that is not too large. :raises DocumentError: when it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError([Problem(str(path), "(document)", f"larger than {MAX_BYTES:,} bytes")])
        return path.read_bytes()
    except OSError as error:
        raise DocumentError([Problem(str(path), "(document)", f"cannot be read: {error.strerror}")]) from None


def loads(text: str | bytes, *, source: str) -> Document:
    """Read a document; what it names by paths is not looked at.

    :param text: YAML (or JSON) of one document.
    :param source: how messages call it.
    :raises DocumentError: with every problem.
    """
    return from_data(parse(text, source), source)


def complete(document: Document, source: str, base: Path, within: Path | None = None) -> tuple[Document, list[Path]]:
    """Return a document with the component files that it names, once all it names was seen to be there.

    :param source: how messages call it.
    :param base: folder that relative paths start from.
    :param within: folder that relative paths must not lead out of; ``None`` for anywhere.
    :return: the document, and the component files.
    :raises DocumentError: with every problem.
    """
    files = ComponentFiles(base, source, within, lambda path: parse(read_file(path), str(path)))
    if isinstance(document, PipelineDeployment):
        document = _with_component(document, files)
    elif isinstance(document, PipelineComponent):
        document = files.within(document)
    problems = files.problems or [
        problem for beside in paths(document) for problem in _check_path(base, beside, source, within)
    ]
    if problems:
        raise DocumentError(problems)
    return document, files.read


def from_data(data: Any, source: str) -> Document:
    """Return the document that plain data stand for."""
    if not isinstance(data, dict):
        raise DocumentError(
            [Problem(source, "(document)", f"found {validation.shown(data)}, expected fields and values")]
        )
    kind = _kind(data, source)
    is_flat = kind is ModelDeployment and "settings" not in data and "type" not in data
    document = validation.validate(kind, data, source, is_flat=is_flat)
    if isinstance(document, VersionedAsset) and document.name is None:
        raise DocumentError([Problem(source, "name", "missing; it is required")])
    return document


def _kind(data: dict[str, Any], source: str) -> type[Document]:
    """Tell what a document is from its ``$schema``, its ``type`` and its fields."""
    schema, kind = str(data.get("$schema", "")), data.get("type")
    if kind in ("local", "kubernetes"):
        return LocalCompute if kind == "local" else KubernetesCompute
    if "endpoint_name" in data or "Deployment" in schema:
        if kind not in (None, "model", "pipeline", "dag"):
            message = f"found {validation.shown(kind)}, expected model or pipeline (or ours, dag)"
            raise DocumentError([Problem(source, "type", message)])
        if kind == "dag" or "dag_id" in data:
            return DagDeployment
        is_pipeline = kind == "pipeline" or (
            kind is None and ("component" in data or "job_definition" in data or "pipelineComponent" in schema)
        )
        return PipelineDeployment if is_pipeline else ModelDeployment
    if kind == "pipeline" and ("component" in data or "job_definition" in data):
        return PipelineDeployment
    if kind is None:
        return _by_schema(schema) or _by_fields(data, source)
    if isinstance(kind, str) and kind in NOT_SUPPORTED:
        raise DocumentError([Problem(source, "type", f"found {validation.shown(kind)}; {NOT_SUPPORTED[kind]}")])
    if not isinstance(kind, str) or kind not in _TYPES:
        allowed = (
            "local or kubernetes for a compute, model or pipeline for a deployment (which has an endpoint_name), uri_file or "
            "uri_folder for a data asset, mlflow_model or custom_model for a model, command, parallel or pipeline for a component, "
            "uri, azure_blob or azure_data_lake_gen2 for a data store"
        )
        raise DocumentError([Problem(source, "type", f"found {validation.shown(kind)}, expected {allowed}")])
    return _TYPES[kind]


_TYPES: dict[str, type[Document]] = {
    **dict.fromkeys(("uri_file", "uri_folder", "mltable"), DataAsset),
    **dict.fromkeys(("mlflow_model", "custom_model", "triton_model"), ModelAsset),
    **COMPONENTS,
    **DATASTORES,
}
_SCHEMAS: dict[str, type[Document]] = {
    "data": DataAsset,
    "environment": EnvironmentAsset,
    "model": ModelAsset,
    **{f"{kind}Component": component for kind, component in COMPONENTS.items()},
}


def _by_schema(schema: str) -> type[Document] | None:
    return _SCHEMAS.get(schema.rpartition("/")[2].removesuffix(".schema.json"))


def _by_fields(data: dict[str, Any], source: str) -> type[Document]:
    """Tell what a document is that has neither a ``type`` nor a ``$schema`` that says it."""
    if "path" in data:
        message = "missing; it is uri_file or uri_folder for a data asset, mlflow_model or custom_model for a model"
        raise DocumentError([Problem(source, "type", message)])
    for field, kind in (("jobs", "pipeline"), ("task", "parallel"), ("command", "command")):
        if field in data:
            return COMPONENTS[kind]
    return EnvironmentAsset if {"image", "conda_file", "build"} & data.keys() else Endpoint


# -- YAML ---------------------------------------------------------------------------------------------------------


def parse(text: str | bytes, source: str) -> Any:
    """Parse safe YAML: one document, no tags, no aliases, no duplicate keys, limited in size and depth.

    :raises DocumentError: when it is anything else.
    """
    if len(text) > MAX_BYTES:
        raise DocumentError([Problem(source, "(document)", f"larger than {MAX_BYTES:,} bytes")])
    try:
        return _Builder(source).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise DocumentError([Problem(source, "(document)", f"not YAML: {error.problem}{place}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DocumentError([Problem(source, "(document)", f"not YAML: {reason}")]) from None


class _Builder:
    """Builds plain data from YAML's events, so that nothing is made before it has been looked at."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._problems: list[Problem] = []
        self._resolver = yaml.resolver.Resolver()
        self._constructor = yaml.constructor.SafeConstructor()

    def _fail(self, path: list[str], message: str) -> DocumentError:
        return DocumentError([*self._problems, Problem(self._source, ".".join(path) or "(document)", message)])

    def build(self, events: Any) -> Any:
        self._events = iter(events)
        documents: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if documents:
                    raise self._fail([], "more than one document in the file; put each document into a file of its own")
                documents.append(self._value(next(self._events), []))
        if not documents or documents[0] is None:
            raise self._fail(
                [], "the file is empty; expected an endpoint, a deployment, a compute, an asset or a data store"
            )
        if self._problems:
            raise DocumentError(self._problems)
        return documents[0]

    def _value(self, event: Any, path: list[str]) -> Any:
        if len(path) > MAX_DEPTH:
            raise self._fail(path[:1], f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            raise self._fail(path, f"aliases are not allowed; write the value of *{event.anchor} out")
        if event.tag is not None and event.tag != "!":
            raise self._fail(path, f"tags are not allowed; found {validation.shown(event.tag)}")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _scalar(self, event: Any, path: list[str]) -> Any:
        tag = self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        if tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"):
            return event.value
        try:
            return self._constructor.construct_object(node, deep=True)
        except (ValueError, OverflowError, yaml.YAMLError):
            raise self._fail(path, f"found {validation.shown(event.value)}, which is no value") from None

    def _sequence(self, path: list[str]) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, [*path, str(len(values))]))
        return values

    def _mapping(self, path: list[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._fail(path, "found a list or mapping as the name of a field, expected text")
            name = event.value
            value = self._value(next(self._events), [*path, name])
            if name in values:
                field = ".".join([*path, name])
                self._problems.append(Problem(self._source, field, "stands twice; keep one of the two"))
            values[name] = value
        return values


# -- files beside the document ------------------------------------------------------------------------------------


def _with_component(document: PipelineDeployment, files: ComponentFiles) -> PipelineDeployment:
    if document.component is None:
        return document
    if isinstance(document.component, PipelineComponent):
        return document.model_copy(update={"component": files.within(document.component, "component.")})
    if is_reference(document.component):
        return document
    found = files.component(document.component, "component")
    if found is not None and not isinstance(found, PipelineComponent):
        files.refuse("component", f"{document.component} is a component of type {found.type!r}, expected pipeline")
    return document if found is None else document.model_copy(update={"component": found})


def _check_path(base: Path, beside: Beside, source: str, within: Path | None) -> list[Problem]:
    """Refuse what is missing, and system folders: what is named here is copied where every worker can read it."""
    path, field = beside.path, beside.field
    if "\0" in path:
        return [Problem(source, field, f"{validation.shown(path)} is no path")]
    found = os.path.realpath(base / path)
    if within is not None and not Path(found).is_relative_to(within):
        return [Problem(source, field, f"{validation.shown(path)} leads out of what was uploaded")]
    if not os.path.exists(found):
        return [Problem(source, field, f"{validation.shown(path)} does not exist beside the document ({base})")]
    if (
        os.path.dirname(found) == found
        or found.startswith(tuple(f"{folder}/" for folder in _SYSTEM_FOLDERS))
        or found in _SYSTEM_FOLDERS
    ):
        inside_temporary = found.startswith(("/var/tmp/", "/var/lib/"))  # noqa: S108 - recognised, not used
        if not inside_temporary:
            return [
                Problem(source, field, f"{validation.shown(path)} is {found}, a system folder, which is not copied")
            ]
    if beside.script is not None and not os.path.isfile(os.path.join(found, beside.script)):
        return [Problem(source, beside.script_field, f"there is no file {beside.script!r} in {path!r}")]
    return []
