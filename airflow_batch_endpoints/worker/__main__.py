"""``python -m airflow_batch_endpoints.worker plan|score|publish|step``: what runs in the pod or the subprocess."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from airflow_batch_endpoints.exceptions import BatchEndpointsError, InfrastructureError, StoppedError, UserError
from airflow_batch_endpoints.jobs import handing
from airflow_batch_endpoints.worker import results
from airflow_batch_endpoints.worker.processes import signal_when_parent_ends

log = logging.getLogger("airflow_batch_endpoints.worker")


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    :param arguments: command line; ``sys.argv`` by default.
    :return: the exit code: 0 done, 2 user error, 3 threshold exceeded, 4 stopped, 5 incomplete at publication,
        1 infrastructure.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout
    )
    # Names of files need not be UTF-8.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    # Without a handler the first process of a container would ignore it.
    signal.signal(signal.SIGTERM, _stop)
    parent = os.environ.get("BATCH_ENDPOINTS_PARENT")
    if parent and not signal_when_parent_ends(signal.SIGTERM, int(parent)):
        return StoppedError.exit_code
    try:
        result = _run(options)
    except BatchEndpointsError as error:
        return _fail(error)
    except (OSError, MemoryError) as error:
        log.debug("", exc_info=True)
        return _fail(InfrastructureError(f"{options.command} failed: {type(error).__name__}: {error}"))
    results.leave(result)
    return 0


def _stop(*_: object) -> None:
    """End a command in the middle of what it does; ``score``, once it holds claims, ends in its own way."""
    raise StoppedError("asked to stop; whoever is next goes on from what is done")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="batch-endpoints-worker", description=__doc__)
    parser.add_argument("--log-level", choices=["warning", "info", "debug"], default="info")
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="list the input and write the plan; the job is in BATCH_ENDPOINTS_JOB_SPEC")
    score = commands.add_parser("score", help="claim and score shards until none is left")
    publish = commands.add_parser("publish", help="publish the predictions, once")
    step = commands.add_parser("step", help="run the command of a pipeline's step and publish its outputs")
    for command in (plan, score, publish, step):
        command.add_argument("--submission", required=True, help="what tells this submission of the job from others")
        command.add_argument("--output-uri", required=command is not plan, help="folder of the job")
        command.add_argument(
            "--job", required=command is not plan, help="name of the job, checked against the folder's"
        )
        command.add_argument("--step", required=command is step, help="name of a pipeline's step")
    score.add_argument("--instance", type=int, required=True, help="number of this instance, from 0")
    return parser


def _run(options: argparse.Namespace) -> dict[str, Any]:
    # Imported where they run: each command pays for itself alone.
    if options.step is not None:
        return _run_step(options)
    if options.command == "plan":
        from airflow_batch_endpoints.jobs.pinned import read_spec
        from airflow_batch_endpoints.worker.commands import plan

        value = os.environ.get(handing.VARIABLE)
        if not value:
            raise UserError(f"no job to plan: {handing.VARIABLE} is empty, expected a job specification as JSON")
        return plan.run(read_spec(handing.unpack(value)), submission=options.submission)
    if options.command == "score":
        from airflow_batch_endpoints.worker.commands import score

        return score.run(options.output_uri, options.job, options.submission, instance=options.instance)
    from airflow_batch_endpoints.worker.commands import publish

    return publish.run(options.output_uri, options.job, options.submission)


def _run_step(options: argparse.Namespace) -> dict[str, Any]:
    if options.output_uri is None or options.job is None:
        raise UserError(f"--step {options.step} needs --output-uri and --job, too")
    job = (options.output_uri, options.job, options.submission)
    if options.command == "step":
        from airflow_batch_endpoints.worker.commands import step

        return step.run(*job, step=options.step)
    from airflow_batch_endpoints.worker.steps import parallel

    if options.command == "score":
        return parallel.score(*job, step=options.step, instance=options.instance)
    return (parallel.plan if options.command == "plan" else parallel.publish)(*job, step=options.step)


def _fail(error: BatchEndpointsError) -> int:
    log.error("%s", error)
    results.leave(results.of_error(error))
    return error.exit_code


class _WithoutPandas:
    """Keeps Arrow from importing pandas at the first array it makes of Python's values.

    That takes a third of a second and 40 MB, which these commands have no use for. Slots are programs of their own and have it.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("the worker's commands do without pandas", name=fullname)


if __name__ == "__main__":
    sys.meta_path.insert(0, _WithoutPandas())
    sys.exit(main())
