"""What the instances of a job know of each other: claims, commits, heartbeats and the order to stop.

All of it lies in the job directory, and all of its safety rests on one operation of the store, the exclusive create:
a claim is the right to *try* a shard, a commit decides whose result counts. Nobody ever takes either back.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from airflow_batch_endpoints import exceptions
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.heartbeat import Heartbeat, ProcessIdentity
from airflow_batch_endpoints.storage.store import Store

__all__ = ["Commit", "Heartbeat", "Ledger", "ProcessIdentity", "Stop"]


class Commit(BaseModel):
    """The one result of a shard that counts."""

    model_config = ConfigDict(frozen=True)

    job: str
    """Whose commit it is: a folder that serves job after job may see a worker of an older one come back."""
    shard: int
    incarnation: str
    part: str | None = None
    """Key of the rows: one Arrow IPC stream per mini-batch, in plan order."""
    dead: str | None = None
    """Key of the dead letters, JSON lines."""
    files: tuple[dict[str, Any], ...] = ()
    """Files the script wrote: ``name``, ``key``, ``bytes``, ``sha256``."""
    items: int
    succeeded: int
    failed: int
    rows: int
    bytes: int = 0
    sha256: str = ""
    """Digest of ``part`` where it is published as it is, that is, of a dataset's."""
    schemas: tuple[str, ...] = ()
    """The distinct schemas of the streams, serialized by Arrow, base64."""


class Stop(BaseModel):
    """Why every instance of a submission must stop."""

    model_config = ConfigDict(frozen=True)

    type: str
    exit_code: int
    message: str

    @classmethod
    def of(cls, error: exceptions.BatchEndpointsError) -> Stop:
        """Describe an error, so that the other instances and ``publish`` end with the same one."""
        return cls(type=type(error).__name__, exit_code=error.exit_code, message=str(error)[:3000])

    def error(self) -> exceptions.BatchEndpointsError:
        """Return the error this was made of."""
        kind = getattr(exceptions, self.type, None)
        if (
            not isinstance(kind, type)
            or not issubclass(kind, exceptions.BatchEndpointsError)
            or kind is exceptions.DocumentError
        ):
            return exceptions.UserError(self.message)
        return kind(self.message)


class Ledger:
    """One incarnation's view of the job directory.

    :param store: the job directory.
    :param job: name of the job.
    :param incarnation: who writes; unique for every start of an instance.
    :param submission: the submission of the job; a stop order of an earlier one is void.
    :param exclusive: whether the store can create exclusively. If not, shards are assigned by instance number
        (``distribution: static``), nothing is claimed and the last commit of a shard counts.
    """

    def __init__(self, store: Store, *, job: str, incarnation: str, submission: str, exclusive: bool = True) -> None:
        self.store = store
        self.job = job
        self.incarnation = incarnation
        self._stop_key = layout.stop(submission)
        self._exclusive = exclusive
        self.has_stop = False
        """Whether an order to stop was there when claims were last listed: costs no request of its own."""

    def claim(self, shard: int, attempt: int) -> bool:
        """Try to become the one who makes this attempt at a shard."""
        if not self._exclusive:
            return True
        return self.store.create(layout.claim(shard, attempt), self.incarnation.encode())

    def claims(self) -> dict[int, int]:
        """Return the latest attempt at every shard that was ever claimed."""
        latest: dict[int, int] = {}
        self.has_stop = False
        for key in self.store.list(layout.CLAIMS):
            if key.endswith(".json"):
                self.has_stop |= key == self._stop_key
                continue
            shard, _, attempt = key[len(layout.CLAIMS) + 1 :].partition(".")
            number = int(shard)
            latest[number] = max(latest.get(number, 0), int(attempt))
        return latest

    def claimant(self, shard: int, attempt: int) -> str | None:
        """Return which incarnation made an attempt at a shard."""
        content = self.store.read(layout.claim(shard, attempt))
        return None if content is None else content.decode()

    def commit(self, commit: Commit) -> bool:
        """Commit a shard. ``False``: another incarnation was first, and ours does not count."""
        key, content = layout.commit(commit.shard), commit.model_dump_json().encode()
        if not self._exclusive:
            self.store.write(key, content)
            return True
        # What a worker of an older job left is in nobody's way.
        return self.store.create(key, content) or (
            self.committed_by(commit.shard) is None and self.store.create(key, content)
        )

    def committed_by(self, shard: int) -> Commit | None:
        """Return the commit of a shard; one of another job is removed, and counts as none."""
        content = self.store.read(layout.commit(shard))
        if content is None:
            return None
        commit = Commit.model_validate_json(content)
        if commit.job == self.job:
            return commit
        self.store.delete(layout.commit(shard))
        return None

    def committed(self) -> set[int]:
        """Return the numbers of the shards that are done."""
        start, end = len(layout.COMMITS) + 1, -len(".json")
        return {int(key[start:end]) for key in self.store.list(layout.COMMITS)}

    def beat(self, heartbeat: Heartbeat) -> None:
        """Tell the others what this incarnation is doing."""
        self.store.write(layout.instance(self.incarnation), heartbeat.model_dump_json().encode())

    def heartbeat(self, incarnation: str) -> Heartbeat | None:
        """Return the last heartbeat of an incarnation."""
        content = self.store.read(layout.instance(incarnation))
        return None if content is None else Heartbeat.model_validate_json(content)

    def heartbeats(self, instance: int | None = None) -> dict[str, Heartbeat]:
        """Return the last heartbeat of every other incarnation.

        :param instance: of this instance alone.
        """
        start = "" if instance is None else f"{instance}-"
        found = {}
        for key in self.store.list(layout.INSTANCES):
            incarnation = key.rsplit("/", 1)[-1].removesuffix(".json")
            if incarnation == self.incarnation or not incarnation.startswith(start):
                continue
            heartbeat = self.heartbeat(incarnation)
            if heartbeat is not None:
                found[incarnation] = heartbeat
        return found

    def note_failures(self, shard: int, count: int) -> None:
        """Say how many items of a shard that was committed failed."""
        self.store.write(layout.failures(shard, count), self.incarnation.encode())

    def failed(self) -> int:
        """Return how many items failed in committed shards: at least, for whoever committed one may not have said so yet."""
        counts: dict[int, int] = {}
        for key in self.store.list(layout.FAILURES):
            shard, count = map(int, key.rsplit("/", 1)[-1].split("."))
            counts[shard] = max(counts.get(shard, 0), count)
        return sum(counts.values())

    def is_removed(self) -> bool:
        """Whether the working state is gone: the job was published, and this incarnation is late."""
        return self.store.read(layout.JOB) is None

    def stop(self, reason: Stop) -> None:
        """Order every instance of this submission to stop; the first reason stands."""
        self.store.create(self._stop_key, reason.model_dump_json().encode())

    def stopped(self) -> Stop | None:
        """Return why everybody must stop, if somebody said so."""
        content = self.store.read(self._stop_key)
        return None if content is None else Stop.model_validate_json(content)

    def check_stop(self) -> None:
        """Obey an order to stop. :raises BatchEndpointsError: what ended the job, for whoever found it."""
        stop = self.stopped()
        if stop is not None:
            raise stop.error()

    def is_published(self) -> bool:
        """Whether the predictions of this job are published already."""
        content = self.store.read(layout.MANIFEST)
        return content is not None and json.loads(content).get("job") == self.job

    def sweep(self) -> None:
        """Remove what a late incarnation wrote after publication had tidied up."""
        if self.is_removed():
            self.store.delete(layout.WORKING)
