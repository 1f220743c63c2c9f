"""Commands for jobs: invoke, replay, list, show, stream, cancel, logs, download, sync."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml

from airflow_batch_endpoints.cli.backend import Backend, choose
from airflow_batch_endpoints.cli.printing import command, note, one, rows, say
from airflow_batch_endpoints.documents.job import parse_assignments
from airflow_batch_endpoints.documents.job_file import load_job_file
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import naming
from airflow_batch_endpoints.jobs.states import TERMINAL, JobState
from airflow_batch_endpoints.services.resources import DryRun, Job, JobDetails

POLL_SECONDS = 0.5
EXIT_CODES = {"Completed": 0, "Canceled": 4, "Failed": 5}
_INTERNAL = {"request", "submission", "dag_id", "run_id", "tasks", "steps"}
"""Fields of a job that a table leaves out, or shows in a table of their own."""
_STEP_COLUMNS = ("step", "state", "after", "compute", "seconds", "tries", "reused_from", "error")


@command
def invoke(args: Any) -> None:
    """Start a job, and follow it when asked."""
    named = {} if args.file is None else load_job_file(args.file)
    _start(args, {**named, "input": args.input, "input_type": args.input_type})


@command
def replay(args: Any) -> None:
    """Start a job that scores the dead letters of another."""
    _start(args, {"replay_of": args.job})


def _start(args: Any, source: dict[str, Any]) -> None:
    """Start a job on an input or on another's dead letters, and follow it when asked."""
    backend = choose(args)
    assigned = parse_assignments(args.assignments)
    for group in ("inputs", "outputs"):
        # What is said on the command line goes over what a file says.
        if group in assigned:
            assigned[group] = _over(source.get(group) or {}, assigned[group])
    conf = {**source, "deployment": args.deployment, "output": args.output, **assigned}
    conf = {name: value for name, value in conf.items() if value is not None}
    # A name of its own, whatever happens: a request that is tried again is then the same job.
    name = naming.check_job_name(args.job_name) if args.job_name else naming.new_job_name()
    if args.dry_run:
        _show_plan(backend.dry_run(args.endpoint, conf, name=name))
        return
    job, is_new = backend.invoke(args.endpoint, conf, name=name)
    note(f"{'started' if is_new else 'found'} job {name}")
    if args.wait:
        job = _follow(backend, args.endpoint, name)
    _print(job, args.format)
    if args.wait:
        raise SystemExit(_exit_code(job))


def _over(named: dict[str, Any], assigned: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of inputs or outputs by name, with what is assigned to some of them."""
    found = dict(named)
    for name, value in assigned.items():
        before = found.get(name)
        found[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def _show_plan(plan: DryRun) -> None:
    """Print the job as it would be pinned, and the pods it would start."""
    say(yaml.safe_dump_all([plan.job, *plan.pods], sort_keys=False, allow_unicode=True).rstrip())


def _print(job: Job, output: str) -> None:
    content = job.model_dump(mode="json")
    if output != "table":
        one(content, output)
        return
    one({name: value for name, value in content.items() if name not in _INTERNAL}, output)
    steps = [{**step, "step": step["name"], "reused_from": _whose(step)} for step in content.get("steps") or ()]
    if steps:
        say("")
        rows(steps, _STEP_COLUMNS, output, empty="")


def _whose(step: dict[str, Any]) -> str:
    """Return whose outputs a step took, if it ran nothing."""
    reused = step["reused_from"]
    return "" if reused is None else f"{reused['step']} of {reused['job']}"


@command
def list_jobs(args: Any) -> None:
    """List jobs."""
    columns = ("name", "endpoint", "deployment", "state", "invoker", "created", "counts")
    if not 1 <= args.limit <= 200:
        raise UserError(f"--limit {args.limit}: expected 1 to 200")
    states = _states(args.state)
    found = choose(args).jobs(
        args.endpoint, limit=args.limit, states=states, invoker=args.invoker, deployment=args.deployment
    )
    rows([job.model_dump(mode="json") for job in found], columns, args.output, empty="no jobs")


def _states(names: list[str] | None) -> list[JobState] | None:
    if names is None:
        return None
    known: dict[str, JobState] = {state.lower(): state for state in get_args(JobState)}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise UserError(f"--state {unknown[0]}: expected one of {', '.join(known.values())}")
    return [known[name.lower()] for name in names]


@command
def show(args: Any) -> None:
    """Show a job."""
    _print(choose(args).job(args.endpoint, args.job), args.output)


@command
def stream(args: Any) -> None:
    """Follow a job."""
    job = _follow(choose(args), args.endpoint, args.job)
    _print(job, args.output)
    raise SystemExit(_exit_code(job))


@command
def cancel(args: Any) -> None:
    """Cancel a job."""
    _print(choose(args).cancel(args.endpoint, args.job), args.output)


@command
def logs(args: Any) -> None:
    """Print the logs of a job."""
    for line in choose(args).logs(args.endpoint, args.job, task=args.task, instance=args.instance):
        say(line.rstrip("\n"))


@command
def sync(args: Any) -> None:
    """Bring the table of jobs up to date."""
    say(f"looked at {choose(args).sync()} runs")


@command
def download(args: Any) -> None:
    """Copy what a job published."""
    backend = choose(args)
    folder = Path(args.folder or naming.path_name(args.job))
    for name in backend.published(args.endpoint, args.job):
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"the job published a file named {name!r}, which would lie outside {folder}")
        _save(backend.content(args.endpoint, args.job, name), target)
        say(str(target))


def _save(content: Iterable[bytes], target: Path) -> None:
    """Write a file whole or not at all: what broke off must not pass for what the job published."""
    # Not named after the file: that name may be one that the job published, or too long.
    part = target.with_name(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as copy:
                copy.writelines(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}; name another folder, or make room"
        ) from error


def _exit_code(job: Job) -> int:
    if job.state == "Failed" and "error_threshold" in (job.error or ""):
        return 3
    return EXIT_CODES[job.state]


def _follow(backend: Backend, endpoint: str, name: str) -> JobDetails:
    """Show how far a job is until it ends: a bar in a terminal, lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        return _follow_bar(backend, endpoint, name, console)
    return _follow_lines(backend, endpoint, name)


def _follow_bar(backend: Backend, endpoint: str, name: str, console: Any) -> JobDetails:
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
            job = backend.job(endpoint, name)
            done, total, _ = _progress(job)
            progress.update(bar, description=job.state, total=total, completed=done, rows=job.counts.rows or 0)
            if job.state in TERMINAL:
                return job
            time.sleep(POLL_SECONDS)


def _follow_lines(backend: Backend, endpoint: str, name: str) -> JobDetails:
    last = None
    while True:
        job = backend.job(endpoint, name)
        line = str(job.state)
        done, total, what = _progress(job)
        if total:
            line += f": {done} of {total} {what}"
            line += f", {job.counts.rows or 0:,} rows" if what == "items" else ""
        if line != last:
            print(line, file=sys.stderr, flush=True)
            last = line
        if job.state in TERMINAL:
            return job
        time.sleep(POLL_SECONDS)


def _progress(job: JobDetails) -> tuple[int, int | None, str]:
    """Return how much of a job is done, how much there is, and what of."""
    if job.steps:
        return sum(step.state == "Completed" for step in job.steps), len(job.steps), "steps"
    return (job.counts.succeeded or 0) + (job.counts.failed or 0), job.counts.listed, "items"
