"""Commands for jobs: invoke, replay, list, show, stream, cancel, download."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from airflow_batch_endpoints.cli.documents import registry
from airflow_batch_endpoints.cli.printing import command, note, one, rows, say
from airflow_batch_endpoints.computes.kubernetes import pod
from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.documents.job import parse_assignments, request_from_conf
from airflow_batch_endpoints.exceptions import ConflictError, InputError
from airflow_batch_endpoints.jobs import naming
from airflow_batch_endpoints.jobs.command_line import Command
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.jobs.states import TERMINAL
from airflow_batch_endpoints.registry import runs
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.storage.uris import normalise

POLL_SECONDS = 0.5
_CHUNK = 1 << 20
EXIT_CODES = {"Completed": 0, "Canceled": 4, "Failed": 5}


@command
def invoke(args: Any) -> None:
    """Start a job, and follow it when asked."""
    _start(args, {"input": normalise(args.input, what="--input"), "input_type": args.input_type})


@command
def replay(args: Any) -> None:
    """Start a job that scores the dead letters of another."""
    job = runs.find(args.endpoint, args.job)
    if job["state"] != "Completed":
        raise ConflictError(
            f"job {args.job!r} is {job['state']}; only a completed job has dead letters to replay. A failed one is resumed by "
            "clearing its run"
        )
    if not job["counts"]["failed"]:
        raise InputError(
            f"job {args.job!r} has no dead letters: all of its items succeeded, so there is nothing to replay"
        )
    _start(args, {"replay_of": args.job})


def _start(args: Any, source: dict[str, Any]) -> None:
    """Start a job on an input or on another's dead letters, and follow it when asked."""
    conf = {
        **source,
        "deployment": args.deployment,
        "output": normalise(args.output, what="--output") if args.output else None,
        **parse_assignments(args.assignments),
    }
    conf = {name: value for name, value in conf.items() if value is not None}
    name = naming.check_job_name(args.job_name) if args.job_name else naming.new_job_name()
    # The task resolves it again; here it is so that mistakes are told before anything is started.
    spec = resolve(
        registry(),
        request_from_conf(args.endpoint, conf),
        job=name,
        invoker=getpass.getuser(),
        settings=settings(),
        find_job=lambda other: runs.reference(args.endpoint, other),
    )
    if args.dry_run:
        _show_plan(spec)
        return
    is_new = runs.start(args.endpoint, conf, job=name, user=getpass.getuser())
    note(f"{'started' if is_new else 'found'} job {name}")
    if args.wait:
        job = _follow(args.endpoint, name)
        one(job, args.format)
        raise SystemExit(_exit_code(job))
    one(runs.find(args.endpoint, name), args.format)


def _show_plan(spec: JobSpec) -> None:
    """Print the job as it would be pinned, and the pods it would start."""
    documents: list[Any] = [spec.model_dump(mode="json", exclude_none=True)]
    if spec.launch.compute.type == "kubernetes":
        commands: tuple[tuple[Command, int | None], ...] = (("plan", None), ("score", 0), ("publish", None))
        documents += [pod.build(spec, command, submission="0", instance=instance) for command, instance in commands]
    say(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True).rstrip())


@command
def list_jobs(args: Any) -> None:
    """List jobs."""
    columns = ("name", "endpoint", "deployment", "state", "invoker", "created", "counts")
    rows(runs.recent(args.endpoint, limit=args.limit), columns, args.output, empty="no jobs")


@command
def show(args: Any) -> None:
    """Show a job."""
    one(runs.find(args.endpoint, args.job), args.output)


@command
def stream(args: Any) -> None:
    """Follow a job."""
    job = _follow(args.endpoint, args.job)
    one(job, args.output)
    raise SystemExit(_exit_code(job))


@command
def cancel(args: Any) -> None:
    """Cancel a job."""
    one(runs.cancel(args.endpoint, args.job, user=getpass.getuser()), args.output)


@command
def download(args: Any) -> None:
    """Copy what a job published."""
    from airflow_batch_endpoints.jobs import layout
    from airflow_batch_endpoints.storage import open_store

    job = runs.find(args.endpoint, args.job)
    store = open_store(job["output"]) if job["output"] else None
    manifest = store.read(layout.MANIFEST) if store else None
    if store is None or manifest is None:
        raise ConflictError(f"job {args.job!r} has published nothing (state: {job['state']})")
    folder = Path(args.folder or naming.path_name(args.job))
    content = json.loads(manifest)
    files = [
        *content["files"],
        *([content["dead_letters"]] if content["dead_letters"] else []),
        {"name": layout.MANIFEST},
    ]
    for file in files:
        target = folder / file["name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        with store.reader(file["name"]) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK)
        say(str(target))


def _exit_code(job: runs.Job) -> int:
    if job["state"] == "Failed" and "error_threshold" in (job["error"] or ""):
        return 3
    return EXIT_CODES[job["state"]]


def _follow(endpoint: str, name: str) -> runs.Job:
    """Show how far a job is until it ends: a bar in a terminal, lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    return _follow_bar(endpoint, name, console) if console.is_terminal else _follow_lines(endpoint, name)


def _follow_bar(endpoint: str, name: str, console: Any) -> runs.Job:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("NotStarted", total=None, rows=0)
        while True:
            job = runs.find(endpoint, name)
            counts = job["counts"]
            done = (counts["succeeded"] or 0) + (counts["failed"] or 0)
            progress.update(
                bar, description=job["state"], total=counts["listed"], completed=done, rows=counts["rows"] or 0
            )
            if job["state"] in TERMINAL:
                return job
            time.sleep(POLL_SECONDS)


def _follow_lines(endpoint: str, name: str) -> runs.Job:
    last = None
    while True:
        job = runs.find(endpoint, name)
        counts = job["counts"]
        line = job["state"]
        if counts["listed"]:
            done = (counts["succeeded"] or 0) + (counts["failed"] or 0)
            line += f": {done} of {counts['listed']} items, {counts['rows'] or 0:,} rows"
        if line != last:
            print(line, file=sys.stderr, flush=True)
            last = line
        if job["state"] in TERMINAL:
            return job
        time.sleep(POLL_SECONDS)
