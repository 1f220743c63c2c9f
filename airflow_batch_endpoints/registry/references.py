"""What names in documents and invocations stand for: assets and places in data stores become URIs, images and conda files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_batch_endpoints.documents.assets import DataAsset
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.datastore import Datastore
from airflow_batch_endpoints.documents.references import (
    PREFIX,
    Reference,
    StoreReference,
    is_reference,
    parse_place,
)
from airflow_batch_endpoints.exceptions import NotFoundError, Problem, ReachError, UserError
from airflow_batch_endpoints.storage.reach import check_reach, is_within
from airflow_batch_endpoints.storage.uris import join, normalise, shown

if TYPE_CHECKING:
    from airflow_batch_endpoints.config import Settings
    from airflow_batch_endpoints.registry.change import Change
    from airflow_batch_endpoints.registry.registry import Registry


# -- when a job is resolved ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where files are."""

    uri: str
    """Normalised."""
    type: Literal["uri_file", "uri_folder"] | None = None
    """What a data asset says they are."""
    datastore: Datastore | None = None
    """The data store they are in, whose credentials give access to them."""
    asset: str | None = None
    """The version of the data asset, such as ``azureml:heart-data:3``."""


def locate(registry: Registry, text: str, *, what: str) -> Place:
    """Return where something is that may be a path, a URI, a data asset or a place in a data store.

    Whether a job may reach it is not decided here.

    :param what: what it is, for the message: ``input``, ``output``, ``model``.
    :raises NotFoundError: there is no such asset or data store.
    :raises UserError: it is no reference and no URI.
    """
    if not is_reference(text):
        return Place(normalise(text, what=what))
    try:
        reference = parse_place(text)
    except ValueError as error:
        raise UserError(f"{what}: found {shown(text)}, expected a URI, {error}") from None
    try:
        if isinstance(reference, StoreReference):
            return _in_store(registry, reference, what)
        found = registry.asset("data", reference.name, reference.version).document
    except NotFoundError as error:
        raise NotFoundError(f"{what}: {error}") from None
    assert isinstance(found, DataAsset)  # noqa: S101 - its key says so
    place = locate(registry, found.path, what=f"{what} {reference}")
    return Place(place.uri, found.type, place.datastore, str(Reference(found.name, found.version)))


def _in_store(registry: Registry, reference: StoreReference, what: str) -> Place:
    store = registry.datastore(reference.datastore).document
    assert isinstance(store, Datastore)  # noqa: S101 - its key says so
    base = normalise(store.base_uri, what=f"data store {store.name}")
    path = reference.path.strip("/")
    uri = normalise(join(base, path) if path else base, what=what)
    if ".." in path.split("/") or not is_within(uri, base):
        raise ReachError(f"{what} {shown(str(reference))} leads out of data store {store.name!r}")
    return Place(uri, datastore=store)


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


# -- when documents are applied --------------------------------------------------------------------------------------


def check(document: Document, change: Change) -> list[Problem]:
    """Return a problem for each name in a document that stands for nothing, and for a data store that lies nowhere."""
    what = _described(document)
    problems = []
    if isinstance(document, Datastore):
        try:
            normalise(document.base_uri, what="uri")
        except UserError as error:
            problems.append(Problem(what, "uri", str(error)))
    for path, text in _references(document):
        try:
            reference = parse_place(text)
        except ValueError as error:
            problems.append(Problem(what, ".".join(path), f"found {shown(text)}, expected {error}"))
            continue
        if isinstance(reference, StoreReference):
            if change.datastore(reference.datastore) is None:
                message = f"there is no data store {reference.datastore!r}; apply its document first, or together"
                problems.append(Problem(what, ".".join(path), message))
        elif change.asset(kind := _kind(path), reference) is None:
            message = (
                f"there is no {kind} {str(reference).removeprefix('azureml:')}; apply its document first, or together"
            )
            problems.append(Problem(what, ".".join(path), message))
    return problems


def names_datastore(document: Document, name: str) -> bool:
    """Tell whether a document names a data store."""
    for path, text in _strings(document.model_dump(mode="json")):
        if path[-1] == "default_datastore" and text.removeprefix("azureml:") == name:
            return True
        reference = _parsed(text)
        if isinstance(reference, StoreReference) and reference.datastore == name:
            return True
    return False


def names_asset(document: Document, kind: str, name: str, version: str, *, is_latest: bool) -> bool:
    """Tell whether a document names a version of an asset.

    :param is_latest: whether it is the newest, which is also meant by ``@latest``.
    """
    content = document.model_dump(mode="json")
    meant = Reference(name, version), *([Reference(name)] if is_latest else [])
    if any(_kind(path) == kind and _parsed(text) in meant for path, text in _strings(content)):
        return True
    # An environment that was named is kept with what it stood for.
    return kind == "environment" and any(
        entry.get("name") == name and entry.get("version") == version for entry in _mappings(content, "environment")
    )


def _parsed(text: str) -> Reference | StoreReference | None:
    try:
        return parse_place(text) if is_reference(text) else None
    except ValueError:
        return None


def _references(document: Document) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what a document refers to here. Computes have fields of their own, models are MLflow's."""
    for path, text in _strings(document.model_dump(mode="json")):
        if is_reference(text) and not {"compute", "default_compute", "job_definition", "tags", "description"} & {*path}:
            yield path, text


def _strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        is_model = isinstance(value, dict) and value.get("type") in ("mlflow_model", "custom_model")
        for name, entry in value.items() if isinstance(value, dict) else enumerate(value):
            if is_model and isinstance(entry, str) and is_reference(entry) and not entry.startswith(f"{PREFIX}//"):
                continue  # A model of MLflow, which knows its versions.
            yield from _strings(entry, (*path, str(name)))


def _mappings(value: Any, field: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            if name == field and isinstance(entry, dict):
                yield entry
            yield from _mappings(entry, field)
    elif isinstance(value, list):
        for entry in value:
            yield from _mappings(entry, field)


def _kind(path: tuple[str, ...]) -> Literal["data", "environment", "component"]:
    """Return what a reference in a field means."""
    if path[-1] == "environment" or path[-2:] == ("environment", "name"):
        return "environment"
    return "component" if path[-1] == "component" else "data"


def _described(document: Document) -> str:
    kind = type(document).__name__.removesuffix("Asset")
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()
    return f"{words.split()[-1] if 'deployment' in words else words} {getattr(document, 'name', '')}"
