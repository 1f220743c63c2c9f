"""The commands and their arguments: for ``airflow batch-endpoints`` and for ``batch-endpoints`` alike.

Imported by every ``airflow`` command, so nothing heavy is imported here; and without Airflow, so nothing of it either.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

_COMMANDS = "airflow_batch_endpoints.cli"
NAME = "batch-endpoints"
HELP = "Batch endpoints: apply, invoke, get predictions"


class Arg:
    """An argument: its flags, and what argparse wants to know of it."""

    def __init__(self, flags: tuple[str, ...], **options: Any) -> None:
        self.flags = flags
        self.options = options


@dataclass(frozen=True)
class Command:
    """A command."""

    name: str
    help: str
    function: str
    """Module and name below this package."""
    args: tuple[Arg, ...] = ()
    description: str | None = None

    def __call__(self, args: Any) -> None:
        """Run it. What it needs is imported now."""
        module, _, name = self.function.rpartition(".")
        getattr(importlib.import_module(f"{_COMMANDS}.{module}"), name)(args)


@dataclass(frozen=True)
class Group:
    """Commands under one name."""

    name: str
    help: str
    commands: tuple[Command, ...]


ENDPOINT = Arg(("endpoint",), help="Name of the endpoint")
JOB = Arg(("job",), help="Name of the job, which is the id of its DAG run")
FORMAT_CHOICES = ("table", "json", "yaml")
OUTPUT = Arg(
    ("-o", "--output"), help="How to print: %(choices)s (default: %(default)s)", choices=FORMAT_CHOICES, default="table"
)
FORMAT = Arg(
    ("--format",),
    help="How to print the job: %(choices)s (default: %(default)s)",
    choices=FORMAT_CHOICES,
    default="table",
)
YES = Arg(("-y", "--yes"), help="Do not ask", action="store_true")
SERVER = Arg(
    ("--server",),
    help="Address of an Airflow server to work on, instead of the Airflow of this machine; BATCH_ENDPOINTS_SERVER says the same",
    metavar="URL",
)
PROFILE = Arg(
    ("--profile",),
    help="The server of this name in the file of profiles; BATCH_ENDPOINTS_PROFILE says the same",
    metavar="NAME",
)
TOKEN_FILE = Arg(
    ("--token-file",),
    help="File with a token of that server; BATCH_ENDPOINTS_TOKEN, or BATCH_ENDPOINTS_USERNAME and BATCH_ENDPOINTS_PASSWORD, do "
    "as well",
    metavar="FILE",
)

WHERE = (SERVER, PROFILE, TOKEN_FILE)
"""Which Airflow a command works on; every command takes them."""

APPLY = Command(
    name="apply",
    help="Create or update endpoints, deployments, computes, data stores and assets from YAML files",
    description="Create or update endpoints, deployments, computes, data stores and assets from YAML "
    "files, all or none; models are registered in MLflow. Code, models and data that lie beside a file are copied to the "
    "configured artifact_uri. Waits until a new endpoint can be invoked.",
    function="documents.apply",
    args=(
        Arg(
            ("-f", "--file"),
            help="A document; may be given several times",
            action="append",
            required=True,
            metavar="FILE",
        ),
        Arg(
            ("--set-default",),
            help="Make the deployment among the files the default of its endpoint",
            action="store_true",
        ),
        Arg(("--no-wait",), help="Do not wait until a new endpoint can be invoked", action="store_true"),
        OUTPUT,
    ),
)
LIST = Command(
    name="list",
    help="List endpoints with their deployments",
    function="documents.list_endpoints",
    args=(OUTPUT,),
)
SHOW = Command(
    name="show",
    help="Show an endpoint, or one of its deployments",
    function="documents.show",
    args=(ENDPOINT, Arg(("-d", "--deployment"), help="Name of a deployment"), OUTPUT),
)
SET_DEFAULT = Command(
    name="set-default",
    help="Choose the deployment that invocations get which name none",
    function="documents.set_default",
    args=(ENDPOINT, Arg(("deployment",), help="Name of the deployment")),
)
DELETE = Command(
    name="delete",
    help="Delete an endpoint with its deployments, or one deployment",
    description="Delete an endpoint with its deployments, or one deployment. Jobs and their outputs stay.",
    function="documents.delete",
    args=(ENDPOINT, Arg(("-d", "--deployment"), help="Delete this deployment only"), YES),
)
_WHOSE = (
    Arg(("endpoint",), help="Name of the endpoint; of the compute with --compute, of the data store with --datastore"),
    Arg(("-d", "--deployment"), help="Of this deployment, not of the endpoint"),
    Arg(("--compute",), help="Of a compute, not of an endpoint", action="store_true"),
    Arg(("--datastore",), help="Of a data store, not of an endpoint", action="store_true"),
)
REVISIONS = Command(
    name="revisions",
    help="Show what a document was: who changed it when, and how",
    function="documents.show_revisions",
    args=(*_WHOSE, Arg(("--limit",), help="At most so many (default: %(default)s)", type=int, default=25), OUTPUT),
)
RESTORE = Command(
    name="restore",
    help="Make a document again what it was",
    function="documents.restore",
    args=(*_WHOSE, Arg(("--revision",), help="Which of its revisions", required=True), OUTPUT),
)
STARTING = (
    Arg(
        ("--output",),
        help="URI or path of a folder for this job (default: a folder of its own below the configured default_output_uri)",
        metavar="URI",
    ),
    Arg(
        ("--set",),
        help="Override a setting for this job: instance_count, mini_batch_size, error_threshold, output_file_name, "
        "retry_settings.max_retries, retry_settings.timeout; or give an input or output by name: inputs.x=5, "
        "inputs.x.path=URI, outputs.y.path=URI; may be given several times",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="assignments",
    ),
    Arg(("--job-name",), help="Name of the job; repeating a request with the same name starts nothing new"),
    Arg(("--wait",), help="Follow the job to its end", action="store_true"),
    Arg(
        ("--dry-run",),
        help="Start nothing; print the job as it would be pinned, and the pods it would start",
        action="store_true",
    ),
    FORMAT,
)
"""What every command has that starts a job."""
EXIT_CODES = (
    "With --wait the exit code is 0 when the job completed, 3 when too many items failed, 4 when it was canceled and 5 when it "
    "failed otherwise."
)
INVOKE = Command(
    name="invoke",
    help="Start a job",
    description="Start a job: score the files of an input with a deployment of an endpoint, or run its pipeline. Inputs and "
    f"outputs of a pipeline are given by name, in a file or with --set. {EXIT_CODES}",
    function="jobs.invoke",
    args=(
        ENDPOINT,
        Arg(
            ("--input",),
            help="URI or path of a file, a folder or a pattern; of a pipeline, its one data input",
            metavar="URI",
        ),
        Arg(
            ("-f", "--file"),
            help="YAML file with inputs and outputs by name; paths in it start from its folder",
            metavar="FILE",
        ),
        Arg(("--input-type",), help="What the input must be", choices=("uri_folder", "uri_file")),
        Arg(("-d", "--deployment"), help="Name of the deployment (default: the endpoint's default)"),
        *STARTING,
    ),
)
REPLAY = Command(
    name="replay",
    help="Start a job that scores the dead letters of another",
    description="Start a job that scores only the items that failed in a completed job, once what was wrong with them or with the "
    f"deployment is mended. It has a name and an output of its own; the old job stays as it is. {EXIT_CODES}",
    function="jobs.replay",
    args=(
        ENDPOINT,
        JOB,
        Arg(("-d", "--deployment"), help="Name of the deployment (default: the one the job had)"),
        *STARTING,
    ),
)
JOBS = Group(
    name="jobs",
    help="Look at jobs, follow, cancel and replay them, download what they made",
    commands=(
        Command(
            name="list",
            help="List the newest jobs",
            function="jobs.list_jobs",
            args=(
                Arg(("endpoint",), help="Only of this endpoint", nargs="?"),
                Arg(("--limit",), help="At most so many, 200 at most (default: %(default)s)", type=int, default=25),
                Arg(
                    ("--state",),
                    help="Only in this state; may be given several times",
                    action="append",
                    metavar="STATE",
                ),
                Arg(("--invoker",), help="Only of this user"),
                Arg(("-d", "--deployment"), help="Only of this deployment"),
                OUTPUT,
            ),
        ),
        Command(
            name="show",
            help="Show a job: state, counts, where its output is, why it failed",
            function="jobs.show",
            args=(ENDPOINT, JOB, OUTPUT),
        ),
        Command(
            name="stream",
            help="Follow a job to its end; the exit code says how it ended",
            function="jobs.stream",
            args=(ENDPOINT, JOB, OUTPUT),
        ),
        Command(
            name="cancel",
            help="Cancel a job",
            function="jobs.cancel",
            args=(ENDPOINT, JOB, OUTPUT),
        ),
        REPLAY,
        Command(
            name="logs",
            help="Print the logs of the tasks of a job",
            function="jobs.logs",
            args=(
                ENDPOINT,
                JOB,
                Arg(("--task",), help="Only of this task", choices=("plan", "score", "publish")),
                Arg(("--instance",), help="Only of this instance", type=int),
            ),
        ),
        Command(
            name="sync",
            help="Bring the table of jobs up to date with all DAG runs; deletes nothing",
            function="jobs.sync",
        ),
        Command(
            name="download",
            help="Copy the predictions of a job to a folder of this machine",
            function="jobs.download",
            args=(ENDPOINT, JOB, Arg(("folder",), help="Where to (default: ./JOB)", nargs="?")),
        ),
    ),
)
COMPUTES = Group(
    name="computes",
    help="Look at computes and delete them; apply makes them",
    commands=(
        Command(
            name="list",
            help="List computes",
            function="documents.list_computes",
            args=(OUTPUT,),
        ),
        Command(
            name="show",
            help="Show a compute",
            function="documents.show_compute",
            args=(Arg(("compute",), help="Name of the compute"), OUTPUT),
        ),
        Command(
            name="delete",
            help="Delete a compute that no deployment names",
            function="documents.delete_compute",
            args=(Arg(("compute",), help="Name of the compute"), YES),
        ),
    ),
)


DATASTORES = Group(
    name="datastores",
    help="Look at data stores and delete them; apply makes them",
    commands=(
        Command(name="list", help="List data stores", function="assets.list_datastores", args=(OUTPUT,)),
        Command(
            name="show",
            help="Show a data store",
            function="assets.show_datastore",
            args=(Arg(("datastore",), help="Name of the data store"), OUTPUT),
        ),
        Command(
            name="delete",
            help="Delete a data store that nothing names",
            function="assets.delete_datastore",
            args=(Arg(("datastore",), help="Name of the data store"), YES),
        ),
    ),
)
_KIND = Arg(("kind",), help="What it is: %(choices)s", choices=("data", "environment", "component"))
_VERSION = Arg(("version",), help="The version, as NAME:VERSION", metavar="NAME:VERSION")
ASSETS = Group(
    name="assets",
    help="Look at data assets, environments and components, archive and delete their versions; apply makes them",
    commands=(
        Command(
            name="list",
            help="List assets with their versions",
            function="assets.list_assets",
            args=(
                Arg(("kind",), help="Only of this kind: %(choices)s", choices=_KIND.options["choices"], nargs="?"),
                OUTPUT,
            ),
        ),
        Command(
            name="show",
            help="Show a version of an asset",
            function="assets.show_asset",
            args=(
                _KIND,
                Arg(("version",), help="NAME:VERSION, or NAME for the newest", metavar="NAME[:VERSION]"),
                OUTPUT,
            ),
        ),
        Command(
            name="archive",
            help="Archive a version: @latest means it no longer, by its number it is found",
            function="assets.archive",
            args=(_KIND, _VERSION),
        ),
        Command(
            name="restore",
            help="Take back that a version was archived",
            function="assets.restore",
            args=(_KIND, _VERSION),
        ),
        Command(
            name="delete",
            help="Delete a version that nothing names; files stay where they are",
            function="assets.delete",
            args=(_KIND, _VERSION, YES),
        ),
    ),
)


COMMANDS: tuple[Command | Group, ...] = (
    APPLY, LIST, SHOW, SET_DEFAULT, DELETE, REVISIONS, RESTORE, INVOKE, JOBS, COMPUTES, DATASTORES, ASSETS,
)  # fmt: skip


def get_cli_commands() -> list[CLICommand]:
    """Return the commands that this provider adds to ``airflow``."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand
    from airflow.cli.cli_config import Arg as AirflowArg

    def action(command: Command) -> ActionCommand:
        args = [AirflowArg(arg.flags, **arg.options) for arg in (*command.args, *WHERE)]
        return ActionCommand(command.name, command.help, command, args, command.description)

    def either(entry: Command | Group) -> CLICommand:
        if isinstance(entry, Command):
            return action(entry)
        return GroupCommand(entry.name, entry.help, [action(command) for command in entry.commands])

    return [GroupCommand(NAME, HELP, [either(entry) for entry in COMMANDS])]
