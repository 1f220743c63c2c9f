"""References that clients of Azure ML send: datastores that an option names, and what is applied here under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_batch_endpoints.documents.references import PREFIX, StoreReference, parse_place
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem
from airflow_batch_endpoints.storage.uris import join

_ID = "/subscriptions/"


def resolve(conf: Mapping[str, Any], places: Mapping[str, str], datastores: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a job with the storage that its datastores stand for.

    What the option does not name stays a reference, in its short form: to a data store or a data asset that is applied here.

    :param places: how the client calls each parameter.
    :param datastores: URIs by name, as the option has them.
    :raises DocumentError: naming each that is no reference.
    """
    found, problems = dict(conf), []

    def read(value: str, name: str) -> str:
        if not value.startswith((PREFIX, _ID)):
            return value
        try:
            reference = parse_place(value if value.startswith(PREFIX) else f"azureml:/{value}")
        except ValueError as error:
            known = ", ".join(datastores) or "none"
            message = f"found {shown(value)}, expected {error}. [batch_endpoints] azure_datastores names: {known}"
            problems.append(Problem("invocation", places.get(name, name), message))
            return value
        if not isinstance(reference, StoreReference) or reference.datastore not in datastores:
            return str(reference)
        uri = datastores[reference.datastore]
        return join(uri, reference.path) if reference.path.strip("/") else uri

    for name in ("input", "output"):
        if isinstance(found.get(name), str):
            found[name] = read(found[name], name)
        named = found.get(f"{name}s")
        if isinstance(named, dict):
            found[f"{name}s"] = {
                key: {**entry, "path": read(entry["path"], f"{name}s.{key}.path")}
                if isinstance(entry, dict) and isinstance(entry.get("path"), str)
                else entry
                for key, entry in named.items()
            }
    if problems:
        raise DocumentError(problems)
    return found
