"""What the services answer: the same on every surface. Imports nothing of Airflow, so that the remote CLI reads it, too."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from airflow_batch_endpoints.jobs.states import JobState
from airflow_batch_endpoints.jobs.timeline import Incarnation, ShardSpan

Item = TypeVar("Item")
Kind = Literal["endpoint", "deployment", "compute", "datastore"]
"""What has one document under its name, and revisions of it."""
AssetKind = Literal["data", "environment", "component"]
"""What has versions."""


class Resource(BaseModel):
    """Base of all answers; what a newer server says more is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(Resource, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    total: int
    """How many there are in all."""
    limit: int
    offset: int


class Counts(Resource):
    """How far a job is: items, rows and shards. Final once the job is completed, before that what its instances say."""

    listed: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    rows: int | None = None
    shards: int | None = None
    shards_done: int | None = None


class Job(Resource):
    """A job."""

    name: str
    endpoint: str
    deployment: str | None = None
    deployment_revision: str | None = None
    state: JobState
    compute: str | None = None
    invoker: str | None = None
    replay_of: str | None = None
    """Whose dead letters it scores."""
    input: str | None = None
    output: str | None = None
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    seconds: float | None = None
    """How long it ran, or has been running."""
    counts: Counts = Counts()
    model: str | None = None
    """The model as it was resolved."""
    error: str | None = None
    request: dict[str, Any] = {}
    """What was asked for: parameters of the run."""
    submission: int = 0
    """How often its run was cleared."""
    dag_id: str
    run_id: str


class Instance(Resource):
    """One instance of a job: a mapped ``score`` task."""

    instance: int
    state: str | None = None
    """State of the task instance."""
    tries: int = 0
    compute: str | None = None
    host: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    items: int = 0
    succeeded: int = 0
    failed: int = 0
    rows: int = 0
    shards_done: int = 0
    error: str | None = None


class StepOfJob(Resource):
    """A step of some job."""

    job: str
    step: str


class Step(Resource):
    """A step of a pipeline job."""

    name: str
    after: list[str] = []
    """Names of the steps it waits for."""
    is_parallel: bool = False
    state: JobState
    compute: str | None = None
    tries: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    seconds: float | None = None
    """How long it ran, or has been running."""
    reused_from: StepOfJob | None = None
    """Whose outputs were used again, if no command was run."""
    outputs: dict[str, str] = {}
    """URIs of what it made, by name."""
    error: str | None = None
    task: str
    """Id of the task whose log tells of it."""
    instances: list[Instance] = []
    """Who shares the work of a parallel step."""


class JobOutput(Resource):
    """A named output of a pipeline job."""

    type: str
    uri: str


class OtherRun(Resource):
    """The run of another DAG that a job consists of."""

    dag_id: str
    run_id: str | None = None
    """``None`` before it is started."""
    state: str | None = None
    """State of that run."""


class JobDetails(Job):
    """A job with what each of its instances or steps does."""

    deployment_type: Literal["model", "pipeline", "dag"] = "model"
    inputs: dict[str, Any] = {}
    """Inputs of a pipeline or of another DAG, as they were resolved."""
    outputs: dict[str, JobOutput] = {}
    """Outputs of a pipeline."""
    steps: list[Step] = []
    """Steps of a pipeline; each comes after those it waits for."""
    other_run: OtherRun | None = None
    """What a job of another DAG consists of."""
    tasks: dict[str, list[str]] = {}
    """States of the instances of each task."""
    instances: list[Instance] = []
    rows_per_second: float | None = None
    seconds_left: float | None = None
    """An estimate from the items that are done."""


class Progress(Resource):
    """How far a job is: from its directory in storage, or, where the server cannot read that, from its run."""

    source: Literal["storage", "run"]
    note: str | None = None
    """Why it comes from the run, or why there is nothing yet."""
    items: int | None = None
    items_done: int | None = None
    items_failed: int | None = None
    mini_batches: int | None = None
    mini_batches_done: int | None = None
    shards: int | None = None
    shards_done: int | None = None
    rows: int | None = None
    rows_per_second: float | None = None
    seconds_left: float | None = None
    """An estimate from the items that are done."""
    instances: list[Incarnation] = []
    spans: list[ShardSpan] = []
    """Newest last. Of a published job, as they were noted when it was published."""
    is_cut: bool = False
    """Whether there are more spans or instances than these."""


class RecentJob(Resource):
    """A job as far as a strip of states needs it."""

    name: str
    state: JobState
    created: datetime
    rows: int | None = None
    seconds: float | None = None


class Port(Resource):
    """A named input or output of a deployment."""

    type: str | None = None
    required: bool = False
    default: bool | int | float | str | None = None
    description: str | None = None
    enum: list[bool | int | float | str] | None = None
    """The values that it may have, if not any."""


class DeploymentSummary(Resource):
    """A deployment as far as a list and a form need it."""

    name: str
    type: str | None = None
    compute: str | None = None
    description: str | None = None
    is_default: bool = False
    inputs: dict[str, Port] = {}
    """Named inputs of a pipeline, and the defaults of another DAG."""
    outputs: dict[str, Port] = {}
    """Named outputs of a pipeline."""


class Endpoint(Resource):
    """An endpoint with what a page shows of it."""

    name: str
    description: str | None = None
    tags: dict[str, str] = {}
    properties: dict[str, Any] = {}
    default: str | None = None
    """Name of the default deployment."""
    deployments: list[DeploymentSummary] = []
    is_invokable: bool = False
    """Whether its DAG is there."""
    recent_jobs: list[RecentJob] = []
    """Newest first."""
    scoring_uri: str | None = None
    """Where to ``POST`` invocations."""
    revision: str | None = None
    updated_at: str | None = None
    updated_by: str | None = None
    error: str | None = None
    """Why the entry cannot be read, if so."""


class StoredDocument(Resource):
    """A deployment, a compute, a data store or a version of an asset as it is kept."""

    kind: Kind | AssetKind
    name: str
    version: str | None = None
    is_latest: bool | None = None
    is_archived: bool | None = None
    endpoint: str | None = None
    document: dict[str, Any] | None = None
    revision: str | None = None
    updated_at: str | None = None
    updated_by: str | None = None
    is_default: bool | None = None
    error: str | None = None
    """Why the entry cannot be read, if so."""


class Asset(Resource):
    """An asset with its versions."""

    kind: AssetKind
    name: str
    latest: str | None = None
    """The newest version that is not archived."""
    versions: list[str] = []
    """In the order in which they were made."""
    archived: list[str] = []
    type: str | None = None
    """Of the newest version."""
    description: str | None = None
    """Of the newest version."""
    error: str | None = None
    """Why the entry cannot be read, if so."""


class Revision(Resource):
    """What a document was at one time."""

    number: int
    revision: str | None = None
    change: str
    """``created``, ``updated``, ``deleted``, or ``found``: changed by a task or by hand, noticed later; ``unreadable`` if
    it cannot be read since."""
    changed_at: datetime
    changed_by: str | None = None
    document: dict[str, Any] | None = None
    diff: str | None = None
    """What changed since the revision before, as a unified diff of YAML."""


class Applied(Resource):
    """What became of a document that was applied."""

    kind: str
    name: str
    version: str = ""
    """Of an asset."""
    endpoint: str = ""
    result: str
    """``created``, ``updated`` or ``unchanged``."""


class DryRun(Resource):
    """A job as it would be pinned, and the pods it would start."""

    job: dict[str, Any]
    pods: list[dict[str, Any]] = []


class JobDocuments(Resource):
    """The documents that a job ran, as they were."""

    deployment: StoredDocument | None = None
    launch: dict[str, Any] = {}
    """Where and as whom its workers were launched: the compute as it was pinned."""
    request: dict[str, Any] = {}


class Day(Resource):
    """What an endpoint's jobs came to on one day (UTC) by the time they ended."""

    day: str
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    items: int = 0
    items_failed: int = 0
    rows: int = 0


class Statistics(Resource):
    """What an endpoint's jobs came to, day by day."""

    days: list[Day]


class EndpointRights(Resource):
    """What the caller may do with an endpoint and its jobs."""

    may_read: bool
    may_read_jobs: bool
    may_invoke: bool
    may_cancel: bool
    may_read_documents: bool
    may_edit_documents: bool


class Session(Resource):
    """Who the caller is, and what they may do."""

    user: str
    may_read_computes: bool
    may_edit_computes: bool = False
    mlflow_uri: str | None = None
    """Address of the MLflow server, if there is one and it holds no credentials."""
    endpoint: EndpointRights | None = None
    """Rights to the endpoint that was asked for."""


class OutputFile(Resource):
    """A file that a job published."""

    name: str
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None


class Outputs(Resource):
    """What a job published."""

    output: str
    files: list[OutputFile] = []
    dead_letters: OutputFile | None = None
    manifest: dict[str, Any]


class Preview(Resource):
    """The first rows of a job's predictions."""

    file: str
    columns: list[str]
    rows: list[list[Any]]
    is_complete: bool
    """Whether these are all the rows."""


class DeadLetterGroup(Resource):
    """Failed items that failed alike."""

    error_type: str
    message: str
    """Of the first."""
    traceback: str | None = None
    """Of the first."""
    count: int
    items: list[str] = Field(default=[], description="The first of them.")


class DeadLetters(Resource):
    """The items of a job that failed for good."""

    total: int | None = None
    """``None`` when there are more than were read."""
    groups: list[DeadLetterGroup] = []
    items: list[dict[str, Any]] = []
    """One page of the letters themselves."""
