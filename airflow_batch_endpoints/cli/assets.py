"""Commands for what has versions, and for data stores."""

from __future__ import annotations

from typing import Any, get_args

from airflow_batch_endpoints.cli.backend import choose
from airflow_batch_endpoints.cli.documents import show_stored
from airflow_batch_endpoints.cli.printing import command, confirm, rows, say
from airflow_batch_endpoints.documents.references import PREFIX, Reference, parse
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.registry.stored import require
from airflow_batch_endpoints.services.resources import AssetKind


@command
def list_datastores(args: Any) -> None:
    """List data stores."""
    content = []
    for stored in choose(args).datastores():
        document = stored.document or {"description": f"broken: {stored.error}"}
        facts = {name: document.get(name) for name in ("type", "conn_id", "secret_name", "description")}
        content.append({"datastore": stored.name, **facts})
    columns = ("datastore", "type", "conn_id", "secret_name", "description")
    rows(content, columns, args.output, empty="no data stores; apply one")


@command
def show_datastore(args: Any) -> None:
    """Show a data store."""
    show_stored(choose(args).datastore(args.datastore), args.output)


@command
def delete_datastore(args: Any) -> None:
    """Delete a data store."""
    backend = choose(args)
    require(backend.datastore, args.datastore)
    confirm(f"Delete data store {args.datastore}?", assume_yes=args.yes)
    backend.delete_datastore(args.datastore)
    say(f"deleted data store {args.datastore}")


@command
def list_assets(args: Any) -> None:
    """List assets."""
    backend = choose(args)
    kinds: tuple[AssetKind, ...] = (args.kind,) if args.kind else get_args(AssetKind)
    content = []
    for kind in kinds:
        for asset in backend.assets(kind):
            found = asset.model_dump(mode="json", exclude_none=True)
            description = f"broken: {asset.error}" if asset.error else asset.description
            content.append({**found, "description": description})
    rows(content, ("kind", "name", "latest", "versions", "description"), args.output, empty="no assets; apply one")


@command
def show_asset(args: Any) -> None:
    """Show a version of an asset."""
    reference = _reference(args.version)
    show_stored(choose(args).asset(args.kind, reference.name, reference.version), args.output)


@command
def archive(args: Any) -> None:
    """Archive a version."""
    name, version = _version(args.version)
    choose(args).archive_asset(args.kind, name, version, is_archived=True)
    say(f"archived {args.kind} {name}:{version}")


@command
def restore(args: Any) -> None:
    """Take back that a version was archived."""
    name, version = _version(args.version)
    choose(args).archive_asset(args.kind, name, version, is_archived=False)
    say(f"restored {args.kind} {name}:{version}")


@command
def delete(args: Any) -> None:
    """Delete a version."""
    backend, (name, version) = choose(args), _version(args.version)
    require(backend.asset, args.kind, name, version)
    confirm(f"Delete {args.kind} {name}:{version}?", assume_yes=args.yes)
    backend.delete_asset(args.kind, name, version)
    say(f"deleted {args.kind} {name}:{version}")


def _reference(text: str) -> Reference:
    try:
        return parse(f"{PREFIX}{text.removeprefix(PREFIX)}")
    except ValueError as error:
        raise UserError(f"found {ascii(text)[:80]}, expected NAME:VERSION, NAME@latest or NAME ({error})") from None


def _version(text: str) -> tuple[str, str]:
    reference = _reference(text)
    if reference.version is None:
        raise UserError(f"found {ascii(text)[:80]}, expected NAME:VERSION: one version, such as {reference.name}:3")
    return reference.name, reference.version
