"""What a step of a pipeline leaves behind: the outputs it published, and whose they are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from airflow_batch_endpoints.jobs.pipeline import DataType


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedFile(_Record):
    """One file of an output."""

    name: str
    """Relative to the output; empty when the output is this one file."""
    bytes: int
    sha256: str | None = None
    """``None`` when the command wrote it to the store by itself."""
    identity: str | None = None
    """What the store says of its content (an etag, a version, size and time of change): another one means another content."""


class PublishedOutput(_Record):
    """One output of a step."""

    type: DataType
    uri: str
    files: tuple[PublishedFile, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is one file, not a folder."""
        return len(self.files) == 1 and not self.files[0].name


class StepReference(_Record):
    """A step of some job."""

    job: str
    step: str


class StepDone(_Record):
    """The content of a step's ``done.json``: its exclusive creation is the publication of these outputs."""

    job: str
    step: str
    incarnation: str
    """Who published; what another incarnation left is of no account."""
    outputs: dict[str, PublishedOutput] = {}
    key: str | None = None
    """What the outputs follow from, as a digest that an equal step finds them by; ``None`` when they are not to be used again."""
    seconds: float | None = None
    """How long it took; ``None`` for a parallel step."""
    reused_from: StepReference | None = None
    """Who made the outputs, when not this job did."""
