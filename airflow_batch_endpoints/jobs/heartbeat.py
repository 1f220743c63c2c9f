"""What an incarnation says of itself in the job directory: read by the other instances, and by whoever looks at the job."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ProcessIdentity(BaseModel):
    """Enough of a process to tell, on its own host, that it is gone for good (and not that its number was reused)."""

    model_config = ConfigDict(frozen=True)

    boot: str
    pid_namespace: int
    pid: int
    start_ticks: int


class Heartbeat(BaseModel):
    """What an incarnation last said of itself. No time stamps: hosts do not agree on the time."""

    model_config = ConfigDict(frozen=True)

    incarnation: str
    sequence: int = 0
    state: str = "running"
    """``running``; or ``stopped`` or ``finished``, which release every claim it held."""
    in_progress: tuple[int, ...] = ()
    """Shards whose ``run()`` was under way; of one that stopped, those that it let go of."""
    alone: int | None = None
    """The item that is being tried with nothing else beside it, because it may be what kills workers."""
    shards_done: int = 0
    items: int = 0
    succeeded: int = 0
    failed: int = 0
    rows: int = 0
    process: ProcessIdentity | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the incarnation said that it holds nothing any more."""
        return self.state != "running"
