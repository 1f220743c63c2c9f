"""``batch-endpoints``: the same commands without Airflow's own command line, for machines that have no Airflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.cli.definition import COMMANDS, HELP, NAME, WHERE, Command, Group


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(prog=NAME, description=HELP)
    root.add_argument("--version", action="version", version=__version__)
    _add(root, COMMANDS)
    return root


def _add(parent: argparse.ArgumentParser, entries: Sequence[Command | Group]) -> None:
    commands: Any = parent.add_subparsers(required=True, metavar="COMMAND")
    for entry in entries:
        if isinstance(entry, Group):
            _add(commands.add_parser(entry.name, help=entry.help, description=entry.help), entry.commands)
            continue
        command = commands.add_parser(entry.name, help=entry.help, description=entry.description or entry.help)
        for argument in (*entry.args, *WHERE):
            command.add_argument(*argument.flags, **argument.options)
        command.set_defaults(command=entry)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    :param arguments: the command line; that of the process by default.
    """
    try:
        import httpx  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        print(f"error: {error.name} is not installed; pip install 'airflow-batch-endpoints[client]'", file=sys.stderr)
        raise SystemExit(2) from None
    args = parser().parse_args(arguments)
    args.command(args)


if __name__ == "__main__":
    main()
