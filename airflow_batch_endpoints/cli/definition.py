"""The commands and their arguments. Imported by every ``airflow`` command, so nothing heavy is imported here."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command

_COMMANDS = "airflow_batch_endpoints.cli"

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

APPLY = ActionCommand(
    name="apply",
    help="Create or update endpoints, deployments and computes from YAML files",
    description="Create or update endpoints, deployments and computes from YAML files, all or none. Code and models that lie "
    "beside a file are copied to the configured artifact_uri. Waits until a new endpoint can be invoked.",
    func=lazy_load_command(f"{_COMMANDS}.documents.apply"),
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
LIST = ActionCommand(
    name="list",
    help="List endpoints with their deployments",
    func=lazy_load_command(f"{_COMMANDS}.documents.list_endpoints"),
    args=(OUTPUT,),
)
SHOW = ActionCommand(
    name="show",
    help="Show an endpoint, or one of its deployments",
    func=lazy_load_command(f"{_COMMANDS}.documents.show"),
    args=(ENDPOINT, Arg(("-d", "--deployment"), help="Name of a deployment"), OUTPUT),
)
SET_DEFAULT = ActionCommand(
    name="set-default",
    help="Choose the deployment that invocations get which name none",
    func=lazy_load_command(f"{_COMMANDS}.documents.set_default"),
    args=(ENDPOINT, Arg(("deployment",), help="Name of the deployment")),
)
DELETE = ActionCommand(
    name="delete",
    help="Delete an endpoint with its deployments, or one deployment",
    description="Delete an endpoint with its deployments, or one deployment. Jobs and their outputs stay.",
    func=lazy_load_command(f"{_COMMANDS}.documents.delete"),
    args=(ENDPOINT, Arg(("-d", "--deployment"), help="Delete this deployment only"), YES),
)
OVERRIDES = Arg(
    ("--set",),
    help="Override a setting for this job: instance_count, mini_batch_size, error_threshold, output_file_name, "
    "retry_settings.max_retries, retry_settings.timeout; may be given several times",
    action="append",
    default=[],
    metavar="NAME=VALUE",
    dest="assignments",
)
STARTING = (
    Arg(
        ("--output",),
        help="URI or path of a folder for this job (default: a folder of its own below the configured default_output_uri)",
        metavar="URI",
    ),
    OVERRIDES,
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
INVOKE = ActionCommand(
    name="invoke",
    help="Start a job",
    description=f"Start a job: score the files of an input with a deployment of an endpoint. {EXIT_CODES}",
    func=lazy_load_command(f"{_COMMANDS}.jobs.invoke"),
    args=(
        ENDPOINT,
        Arg(("--input",), help="URI or path of a file, a folder or a pattern", required=True, metavar="URI"),
        Arg(("--input-type",), help="What the input must be", choices=("uri_folder", "uri_file")),
        Arg(("-d", "--deployment"), help="Name of the deployment (default: the endpoint's default)"),
        *STARTING,
    ),
)
REPLAY = ActionCommand(
    name="replay",
    help="Start a job that scores the dead letters of another",
    description="Start a job that scores only the items that failed in a completed job, once what was wrong with them or with the "
    f"deployment is mended. It has a name and an output of its own; the old job stays as it is. {EXIT_CODES}",
    func=lazy_load_command(f"{_COMMANDS}.jobs.replay"),
    args=(
        ENDPOINT,
        JOB,
        Arg(("-d", "--deployment"), help="Name of the deployment (default: the one the job had)"),
        *STARTING,
    ),
)
JOBS = GroupCommand(
    name="jobs",
    help="Look at jobs, follow, cancel and replay them, download what they made",
    subcommands=(
        ActionCommand(
            name="list",
            help="List the newest jobs",
            func=lazy_load_command(f"{_COMMANDS}.jobs.list_jobs"),
            args=(
                Arg(("endpoint",), help="Only of this endpoint", nargs="?"),
                Arg(("--limit",), help="At most so many (default: %(default)s)", type=int, default=25),
                OUTPUT,
            ),
        ),
        ActionCommand(
            name="show",
            help="Show a job: state, counts, where its output is, why it failed",
            func=lazy_load_command(f"{_COMMANDS}.jobs.show"),
            args=(ENDPOINT, JOB, OUTPUT),
        ),
        ActionCommand(
            name="stream",
            help="Follow a job to its end; the exit code says how it ended",
            func=lazy_load_command(f"{_COMMANDS}.jobs.stream"),
            args=(ENDPOINT, JOB, OUTPUT),
        ),
        ActionCommand(
            name="cancel",
            help="Cancel a job",
            func=lazy_load_command(f"{_COMMANDS}.jobs.cancel"),
            args=(ENDPOINT, JOB, OUTPUT),
        ),
        REPLAY,
        ActionCommand(
            name="download",
            help="Copy the predictions of a job to a folder of this machine",
            func=lazy_load_command(f"{_COMMANDS}.jobs.download"),
            args=(ENDPOINT, JOB, Arg(("folder",), help="Where to (default: ./JOB)", nargs="?")),
        ),
    ),
)
COMPUTES = GroupCommand(
    name="computes",
    help="Look at computes and delete them; apply makes them",
    subcommands=(
        ActionCommand(
            name="list",
            help="List computes",
            func=lazy_load_command(f"{_COMMANDS}.documents.list_computes"),
            args=(OUTPUT,),
        ),
        ActionCommand(
            name="show",
            help="Show a compute",
            func=lazy_load_command(f"{_COMMANDS}.documents.show_compute"),
            args=(Arg(("compute",), help="Name of the compute"), OUTPUT),
        ),
        ActionCommand(
            name="delete",
            help="Delete a compute that no deployment names",
            func=lazy_load_command(f"{_COMMANDS}.documents.delete_compute"),
            args=(Arg(("compute",), help="Name of the compute"), YES),
        ),
    ),
)


def get_cli_commands() -> list[CLICommand]:
    """Return the commands that this provider adds to ``airflow``."""
    return [
        GroupCommand(
            name="batch-endpoints",
            help="Batch endpoints: apply, invoke, get predictions",
            subcommands=(APPLY, LIST, SHOW, SET_DEFAULT, DELETE, INVOKE, JOBS, COMPUTES),
        )
    ]
