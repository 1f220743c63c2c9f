"""Commands for documents: apply, list, show, set-default, delete, revisions, restore, computes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.cli.backend import Backend, choose
from airflow_batch_endpoints.cli.printing import command, confirm, note, one, rows, say
from airflow_batch_endpoints.registry.stored import require
from airflow_batch_endpoints.services.resources import Kind, StoredDocument

POLL_SECONDS = 0.25
DEFAULT_WAIT_SECONDS = 60.0
ASK_AGAIN_SECONDS = 2.0
DAG_FILE_HINT = (
    "No file defines the endpoint DAGs yet. Put this into a file of the dags folder, such as batch_endpoints.py:\n"
    "    from airflow_batch_endpoints.dags import build; build(globals())"
)


@command
def apply(args: Any) -> None:
    """Create or update documents."""
    backend = choose(args)
    done = backend.apply([Path(file) for file in args.file], set_default=args.set_default)
    content = [applied.model_dump() for applied in done]
    rows(content, ("kind", "endpoint", "name", "result"), args.output, empty="nothing to apply")
    if not args.no_wait:
        _wait_for_dags(backend, sorted({applied.endpoint for applied in done} - {""}))


def _wait_for_dags(backend: Backend, endpoints: Sequence[str]) -> None:
    """Wait until every endpoint can be invoked. A request to parse can be lost, so it is made again and again."""
    missing, is_expected = backend.not_invokable(endpoints)
    if not missing:
        return
    start, seconds = time.monotonic(), _wait_seconds()
    note(f"waiting until {', '.join(missing)} can be invoked ...")
    while missing and (waited := time.monotonic() - start) < seconds:
        if not is_expected and waited > 4 * ASK_AGAIN_SECONDS:
            note(DAG_FILE_HINT)
            return
        time.sleep(POLL_SECONDS)
        missing, is_expected = backend.not_invokable(missing)
    if missing:
        note(
            f"{', '.join(missing)} cannot be invoked yet after {seconds:g} s: is the DAG processor running? "
            "The documents are applied; the DAG appears when it parses the file."
        )
    else:
        note(f"invokable after {time.monotonic() - start:.1f} s")


def _wait_seconds() -> float:
    try:
        from airflow_batch_endpoints.config import settings

        return settings().apply_wait_seconds
    except ImportError:
        return DEFAULT_WAIT_SECONDS


@command
def list_endpoints(args: Any) -> None:
    """List endpoints."""
    content = [
        {
            "endpoint": endpoint.name,
            "default": endpoint.default,
            "deployments": [deployment.name for deployment in endpoint.deployments],
            "description": f"broken: {endpoint.error}" if endpoint.error else endpoint.description,
        }
        for endpoint in choose(args).endpoints()
    ]
    rows(content, ("endpoint", "default", "deployments", "description"), args.output, empty="no endpoints; apply one")


@command
def show(args: Any) -> None:
    """Show an endpoint or a deployment."""
    backend = choose(args)
    if args.deployment:
        show_stored(backend.deployment(args.endpoint, args.deployment), args.output)
        return
    endpoint = backend.endpoint(args.endpoint)
    content = endpoint.model_dump(mode="json", exclude={"recent_jobs"}, exclude_none=True)
    one({**content, "deployments": [deployment.name for deployment in endpoint.deployments]}, args.output)


def show_stored(stored: StoredDocument, output: str) -> None:
    """Print a document with its revision."""
    record = {"revision": stored.revision, "updated_at": stored.updated_at, "updated_by": stored.updated_by}
    one({**(stored.document or {}), **record}, output)


@command
def set_default(args: Any) -> None:
    """Choose the default deployment."""
    choose(args).set_default(args.endpoint, args.deployment)
    say(f"{args.endpoint}: the default is now {args.deployment}")


@command
def delete(args: Any) -> None:
    """Delete an endpoint or a deployment."""
    backend = choose(args)
    if args.deployment:
        require(backend.deployment, args.endpoint, args.deployment)
        confirm(f"Delete deployment {args.deployment} of {args.endpoint}?", assume_yes=args.yes)
        backend.delete_deployment(args.endpoint, args.deployment)
        say(f"deleted deployment {args.endpoint}/{args.deployment}")
        return
    deployments = [deployment.name for deployment in backend.endpoint(args.endpoint).deployments]
    confirm(f"Delete endpoint {args.endpoint} with its deployments {deployments}?", assume_yes=args.yes)
    backend.delete_endpoint(args.endpoint)
    say(f"deleted endpoint {args.endpoint}")


@command
def show_revisions(args: Any) -> None:
    """Show what a document was."""
    found = choose(args).revisions(*_whose(args), limit=args.limit)
    content = [revision.model_dump(mode="json", exclude_none=True) for revision in found]
    rows(content, ("revision", "change", "changed_at", "changed_by", "diff"), args.output, empty="no revisions")


@command
def restore(args: Any) -> None:
    """Make a document again what it was."""
    done = choose(args).restore(*_whose(args), args.revision)
    rows([done.model_dump()], ("kind", "endpoint", "name", "result"), args.output, empty="")


def _whose(args: Any) -> tuple[Kind, str, str | None]:
    if args.compute or args.datastore:
        return "compute" if args.compute else "datastore", args.endpoint, None
    return ("deployment", args.deployment, args.endpoint) if args.deployment else ("endpoint", args.endpoint, None)


@command
def list_computes(args: Any) -> None:
    """List computes."""
    content = []
    for stored in choose(args).computes():
        document = stored.document or {"description": f"broken: {stored.error}"}
        content.append(
            {"compute": stored.name, "type": document.get("type"), "description": document.get("description")}
        )
    rows(content, ("compute", "type", "description"), args.output, empty="no computes")


@command
def show_compute(args: Any) -> None:
    """Show a compute."""
    show_stored(choose(args).compute(args.compute), args.output)


@command
def delete_compute(args: Any) -> None:
    """Delete a compute."""
    backend = choose(args)
    require(backend.compute, args.compute)
    confirm(f"Delete compute {args.compute}?", assume_yes=args.yes)
    backend.delete_compute(args.compute)
    say(f"deleted compute {args.compute}")
