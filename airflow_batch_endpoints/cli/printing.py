"""How commands speak: tables for people, JSON and YAML for programs, sentences for errors."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.table import Table

from airflow_batch_endpoints.exceptions import BatchEndpointsError, DocumentError

WIDE = 400
"""Columns of a table that goes to a file or a pipe."""
Command = TypeVar("Command", bound=Callable[..., Any])


def command(function: Command) -> Command:
    """Make errors of ours sentences on standard error, with an exit code that scripts can use."""

    @functools.wraps(function)
    def run(args: Any) -> None:
        try:
            with _own_output():
                function(args)
        except DocumentError as error:
            for problem in error.problems:
                print(f"error: {problem}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        except BatchEndpointsError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return run  # type: ignore[return-value]


_out: TextIO = sys.stdout
"""Where results go; see :func:`_own_output`."""


@contextmanager
def _own_output() -> Iterator[None]:
    """Keep standard output for results: Airflow logs there what it does, which would break JSON that somebody reads."""
    global _out
    sys.stdout.flush()
    before, _out = _out, os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    try:
        yield
    finally:
        sys.stdout.flush()
        _out.flush()
        os.dup2(_out.fileno(), 1)
        _out.close()
        _out = before


def say(text: str) -> None:
    """Print a line of the result."""
    print(text, file=_out)


def rows(content: Sequence[dict[str, Any]], columns: Sequence[str], output: str, *, empty: str) -> None:
    """Print a list.

    :param columns: what a table shows; JSON and YAML have everything.
    :param empty: what to say for a table without rows.
    """
    if output != "table":
        _print_data(list(content), output)
        return
    if not content:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in content:
        table.add_row(*(_text(row.get(column)) for column in columns))
    console = Console(file=_out)
    if not console.is_terminal:
        # Nobody looks: do not fold what a program may read line by line.
        console.width = WIDE
    console.print(table)


def one(content: dict[str, Any], output: str) -> None:
    """Print one thing: a line per field."""
    if output != "table":
        _print_data(content, output)
        return
    console, width = Console(file=_out, highlight=False), max(map(len, content)) + 2
    for name, value in content.items():
        if value not in (None, "", {}, [], ()):
            text = _text(value).replace("\n", "\n" + " " * width)
            console.print(f"[bold]{name:<{width}}[/]{text}", soft_wrap=True)


def note(text: str) -> None:
    """Say something that is not the result."""
    print(text, file=sys.stderr, flush=True)


def confirm(question: str, *, assume_yes: bool) -> None:
    """Ask; anything but yes ends the command."""
    if assume_yes:
        return
    if not sys.stdin.isatty():
        note("error: this needs a confirmation; give --yes")
        raise SystemExit(2)
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        note("nothing was changed")
        raise SystemExit(1)


def _print_data(content: Any, output: str) -> None:
    if output == "json":
        say(json.dumps(content, indent=2, default=str))
        return
    import yaml

    text = yaml.safe_dump(json.loads(json.dumps(content, default=str)), sort_keys=False, allow_unicode=True)
    say(text.rstrip())


def _text(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_text(entry)}" for name, entry in value.items() if entry is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_text(entry) for entry in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(str(value))
