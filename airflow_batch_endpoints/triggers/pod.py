"""Watching the pod of a deferred task: its log and progress, what it waits for, and whether it is still wanted."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pendulum
from aiohttp import ClientError
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import TriggerEvent
from asgiref.sync import sync_to_async
from kubernetes_asyncio.client import ApiException

from airflow_batch_endpoints.computes.kubernetes.status import waiting_for
from airflow_batch_endpoints.jobs import lines
from airflow_batch_endpoints.triggers.job import any_succeeded, cancellation

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

_TROUBLE = (AirflowException, ApiException, ClientError, OSError)
DELETION_SECONDS = 30.0
"""Seconds a pod may be late in going, after its grace period, before its node counts as lost."""


@dataclass(frozen=True)
class Watch:
    """What to look for besides the pod's end."""

    endpoint: str
    job: str
    submission: str
    """Canceled is only what was asked for this submission."""
    seconds: float
    """Between two looks."""
    siblings: str | None = None
    """Id of the mapped task whose instances share the work: when one has succeeded, nothing is left to start for."""
    fallback_after: float | None = None
    """Seconds without a node after which the fallback is due; ``None`` without one."""


class BatchPodTrigger(KubernetesPodTrigger):
    """KubernetesPodOperator's trigger, with an eye on the job.

    Besides its events there are ``canceled``, ``withdrawn`` (nothing is left to do for a pod that has not started),
    ``fallback`` (no node in time) and ``lost`` (deleted, but never gone: its node does not answer).

    :param watch: what to look for.
    """

    def __init__(self, *, watch: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch = Watch(**watch)
        self._told: str | None = None
        self._deleted_since: float | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this again."""
        _, kwargs = super().serialize()
        # How the cluster is reached is looked up where the trigger runs: credentials are not copied into the trigger table.
        kwargs |= {"watch": asdict(self.watch), "config_dict": None, "connection_extras": None}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield what happens first."""
        ends = super().run()
        end = asyncio.ensure_future(anext(ends))
        look = asyncio.ensure_future(self._look())
        try:
            await asyncio.wait({end, look}, return_when=asyncio.FIRST_COMPLETED)
            self._fired_event = True
            yield end.result() if end.done() else look.result()
        finally:
            for task in (end, look):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await ends.aclose()  # type: ignore[attr-defined]

    async def _look(self) -> TriggerEvent:
        started = time.monotonic()
        while True:
            await asyncio.sleep(self.watch.seconds)
            event = await self._unwanted() or await self._stuck(time.monotonic() - started)
            if event is not None:
                return event

    def _event(self, status: str, message: str) -> TriggerEvent:
        return TriggerEvent(
            {
                "status": status,
                "name": self.pod_name,
                "namespace": self.pod_namespace,
                "message": message,
                "last_log_time": self.last_log_time,
            }
        )

    async def _unwanted(self) -> TriggerEvent | None:
        """Tell that the job was canceled."""
        reason = await sync_to_async(cancellation)(self.watch.endpoint, self.watch.job, self.watch.submission)
        return None if reason is None else self._event("canceled", reason)

    async def _stuck(self, seconds: float) -> TriggerEvent | None:
        """Tell that the pod will not start, or not end; read its log while it runs."""
        try:
            pod = (await self.hook.get_pod(name=self.pod_name, namespace=self.pod_namespace)).to_dict()
            if pod["status"]["phase"] == "Running":
                await self._read_log()
        except _TROUBLE as error:
            # Whether it passes is for the other half of this trigger to judge, which looks more often.
            self.log.warning("Pod %s cannot be looked at now: %s: %s", self.pod_name, type(error).__name__, error)
            return None
        if pod["metadata"].get("deletion_timestamp") is not None:
            return self._overdue(pod)
        if pod["status"]["phase"] != "Pending":
            return None
        waits = waiting_for(pod)
        if waits is not None and waits != self._told:
            self._told = waits
            self.log.info("Pod %s waits %s", self.pod_name, waits)
        if await sync_to_async(self._is_all_done)():
            return self._event("withdrawn", "the other instances have done all the work")
        has_node = pod["spec"].get("node_name") is not None
        if self.watch.fallback_after is not None and not has_node and seconds >= self.watch.fallback_after:
            return self._event("fallback", f"no node in {seconds:.0f} s; it waits {waits or 'for a node'}")
        return None

    def _overdue(self, pod: dict[str, Any]) -> TriggerEvent | None:
        """Compare with our own clock alone: the one of the API server may be another."""
        now = time.monotonic()
        self._deleted_since = now if self._deleted_since is None else self._deleted_since
        grace = pod["metadata"].get("deletion_grace_period_seconds") or 0
        if now - self._deleted_since < grace + DELETION_SECONDS:
            return None
        return self._event("lost", "it was deleted long ago and is still there: its node does not answer")

    def _is_all_done(self) -> bool:
        ti = self._task
        return self.watch.siblings is not None and any_succeeded(ti.dag_id, ti.run_id, self.watch.siblings)

    @property
    def _task(self) -> TaskInstance:
        assert self.task_instance is not None  # noqa: S101 - the triggerer sets it before it runs a trigger
        return self.task_instance

    async def _read_log(self) -> None:
        """Pass on what the pod has written since the last look."""
        since = self.last_log_time
        seconds = None if since is None else math.ceil((datetime.now(UTC) - since).total_seconds()) + 1
        found = await self.hook.read_logs(
            name=self.pod_name,
            namespace=self.pod_namespace,
            container_name=self.base_container_name,
            since_seconds=seconds,
        )
        progress = None
        for moment, line in stamped(found, since):
            self.last_log_time = pendulum.instance(moment)
            progress = line.progress or progress
            if line.progress is None:
                self.log.log(line.level, "%s", line.text)
        if progress is not None:
            await sync_to_async(self._report)(progress)

    def _report(self, progress: dict[str, int]) -> None:
        from airflow.sdk.bases.xcom import BaseXCom

        ti = self._task
        BaseXCom.set(
            "progress", progress, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
        )


def stamped(raw: list[str], since: datetime | None) -> list[tuple[datetime, lines.Line]]:
    """Return the lines of a log, read with time stamps, that are newer than a moment."""
    found = []
    for text in raw:
        stamp, _, rest = text.partition(" ")
        try:
            # Nanoseconds are more than datetime keeps.
            moment = datetime.fromisoformat(f"{stamp.rstrip('Z')[:26]}+00:00")
        except ValueError:
            continue
        if since is None or moment > since:
            found.append((moment, lines.read(rest.rstrip("\n"))))
    return found
