"""Commands for documents: apply, list, show, set-default, delete, computes."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.cli.printing import command, confirm, note, one, rows, say
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.loading import load
from airflow_batch_endpoints.exceptions import BatchEndpointsError, DocumentError, Problem
from airflow_batch_endpoints.registry.registry import Registry, Stored, described

POLL_SECONDS = 0.25
ASK_AGAIN_SECONDS = 2.0
DAG_FILE_HINT = (
    "No file defines the endpoint DAGs yet. Put this into a file of the dags folder, such as batch_endpoints.py:\n"
    "    from airflow_batch_endpoints.dags import build; build(globals())"
)


def registry() -> Registry:
    """Return the registry of this Airflow, as the user of this terminal."""
    from airflow_batch_endpoints.registry import runs
    from airflow_batch_endpoints.registry.metadata import MetadataStore

    return Registry(
        MetadataStore(on_write=runs.request_parsing),
        user=getpass.getuser(),
        has_running_jobs=runs.has_running,
        allow_unrestricted_pods=settings().allow_unrestricted_pods,
    )


@command
def apply(args: Any) -> None:
    """Create or update documents."""
    from airflow_batch_endpoints.registry.staging import stage

    documents: list[tuple[Path, Document]] = []
    problems: list[Problem] = []
    for file in args.file:
        try:
            documents.append((Path(file).absolute().parent, load(file)))
        except DocumentError as error:
            problems += error.problems
    if problems:
        raise DocumentError(problems)
    artifact_uri = settings().artifact_uri
    staged = [stage(document, base, artifact_uri) for base, document in documents]
    done = registry().apply(staged, set_default=args.set_default)
    content = [described(what, document) for what, document in done]
    rows(content, ("kind", "endpoint", "name", "result"), args.output, empty="nothing to apply")
    if not args.no_wait:
        _wait_for_dags(sorted({applied["endpoint"] for applied in content} - {""}))


def _wait_for_dags(endpoints: list[str]) -> None:
    """Wait until every endpoint can be invoked. A request to parse can be lost, so it is made again and again."""
    from airflow.utils.session import create_session

    from airflow_batch_endpoints.registry import runs

    missing = [endpoint for endpoint in endpoints if not runs.has_dag(endpoint)]
    if not missing:
        return
    start, deadline, asked = time.monotonic(), time.monotonic() + settings().apply_wait_seconds, 0.0
    note(f"waiting until {', '.join(missing)} can be invoked ...")
    while missing and time.monotonic() < deadline:
        if time.monotonic() - asked >= ASK_AGAIN_SECONDS:
            asked = time.monotonic()
            with create_session() as session:
                if not runs.request_parsing(session) and asked - start > 4 * ASK_AGAIN_SECONDS:
                    note(DAG_FILE_HINT)
                    return
        time.sleep(POLL_SECONDS)
        missing = [endpoint for endpoint in missing if not runs.has_dag(endpoint)]
    if missing:
        note(
            f"{', '.join(missing)} cannot be invoked yet after {settings().apply_wait_seconds:g} s: is the DAG processor running? "
            "The documents are applied; the DAG appears when it parses the file."
        )
    else:
        note(f"invokable after {time.monotonic() - start:.1f} s")


@command
def list_endpoints(args: Any) -> None:
    """List endpoints."""
    found = registry()
    content: list[dict[str, Any]] = []
    for name in found.endpoint_names():
        try:
            endpoint: Any = found.endpoint(name).document
        except BatchEndpointsError as error:
            # One broken entry must not hide the others.
            content.append({"endpoint": name, "description": f"broken: {error}"})
            continue
        content.append(
            {
                "endpoint": name,
                "default": endpoint.defaults.deployment_name,
                "deployments": found.deployment_names(name),
                "description": endpoint.description,
            }
        )
    rows(content, ("endpoint", "default", "deployments", "description"), args.output, empty="no endpoints; apply one")


@command
def show(args: Any) -> None:
    """Show an endpoint or a deployment."""
    found = registry()
    if args.deployment:
        _show(found.deployment(args.endpoint, args.deployment), args.output)
        return
    stored = found.endpoint(args.endpoint)
    _show(stored, args.output, deployments=found.deployment_names(args.endpoint))


def _show(stored: Stored, output: str, **more: Any) -> None:
    document = stored.document.model_dump(mode="json", by_alias=True, exclude_none=True)
    record = {"revision": stored.revision, "updated_at": stored.updated_at, "updated_by": stored.updated_by}
    one({**document, **more, **record}, output)


@command
def set_default(args: Any) -> None:
    """Choose the default deployment."""
    registry().set_default(args.endpoint, args.deployment)
    say(f"{args.endpoint}: the default is now {args.deployment}")


@command
def delete(args: Any) -> None:
    """Delete an endpoint or a deployment."""
    found = registry()
    if args.deployment:
        found.deployment(args.endpoint, args.deployment)
        confirm(f"Delete deployment {args.deployment} of {args.endpoint}?", assume_yes=args.yes)
        found.delete_deployment(args.endpoint, args.deployment)
        say(f"deleted deployment {args.endpoint}/{args.deployment}")
        return
    found.endpoint(args.endpoint)
    confirm(
        f"Delete endpoint {args.endpoint} with its deployments {found.deployment_names(args.endpoint)}?",
        assume_yes=args.yes,
    )
    found.delete_endpoint(args.endpoint)
    from airflow.utils.session import create_session

    from airflow_batch_endpoints.registry import runs

    with create_session() as session:
        runs.retire_dag(session, args.endpoint)
    say(f"deleted endpoint {args.endpoint}")


@command
def list_computes(args: Any) -> None:
    """List computes."""
    found = registry()
    content = []
    for name in found.compute_names():
        compute: Any = found.compute(name).document
        content.append({"compute": name, "type": compute.type, "description": compute.description})
    rows(content, ("compute", "type", "description"), args.output, empty="no computes")


@command
def show_compute(args: Any) -> None:
    """Show a compute."""
    _show(registry().compute(args.compute), args.output)


@command
def delete_compute(args: Any) -> None:
    """Delete a compute."""
    found = registry()
    found.compute(args.compute)
    confirm(f"Delete compute {args.compute}?", assume_yes=args.yes)
    found.delete_compute(args.compute)
    say(f"deleted compute {args.compute}")
