"""Watching the pod of a deferred task: its log and progress, what it waits for, and whether it is still wanted."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable
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

from airflow_batch_endpoints.computes.kubernetes.status import ending, unanswered, waiting_for
from airflow_batch_endpoints.jobs import lines
from airflow_batch_endpoints.triggers.resuming import settled
from airflow_batch_endpoints.triggers.run import any_succeeded
from airflow_batch_endpoints.triggers.stopping import stop_reason

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState
    from kubernetes_asyncio.client import V1Pod

_TROUBLE = (AirflowException, ApiException, ClientError, OSError)
SILENT_SECONDS = 30.0
"""How long a node may be silent that has a running pod; for a pod that is being deleted, after its grace period."""


@dataclass(frozen=True)
class Watch:
    """What to look for besides the pod's end."""

    endpoint: str
    job: str
    submission: str
    """Canceled is only what was asked for this submission."""
    seconds: float
    """Between two looks."""
    heeds_failures: bool = True
    """Whether the failure of another step may end this one."""
    siblings: str | None = None
    """Id of the mapped task whose instances share the work: when one has succeeded, nothing is left to start for."""
    fallback_after: float | None = None
    """Seconds without a node after which the fallback is due; ``None`` without one."""


class BatchPodTrigger(KubernetesPodTrigger):
    """KubernetesPodOperator's trigger, with an eye on the job.

    Its events tell in ``pod`` how the pod ended, if it was seen to. Besides its own there are ``stopped``, ``withdrawn`` (nothing
    is left to do for a pod that has not started), ``fallback`` (no node in time) and ``lost`` (its node does not answer).

    :param watch: what to look for.
    """

    def __init__(self, *, watch: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch = Watch(**watch)
        self._told: str | None = None
        self._silent_since: float | None = None
        self._ending: dict[str, Any] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this again."""
        _, kwargs = super().serialize()
        # How the cluster is reached is looked up where the trigger runs: credentials are not copied into the trigger table.
        kwargs |= {"watch": asdict(self.watch), "config_dict": None, "connection_extras": None}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield what happens first."""
        started, ends = time.monotonic(), super().run()
        end = asyncio.ensure_future(anext(ends))
        look = asyncio.ensure_future(self._look())
        try:
            await asyncio.wait({end, look}, return_when=asyncio.FIRST_COMPLETED)
            event = end.result() if end.done() else look.result()
            await settled(started)
            self._fired_event = True
            yield TriggerEvent({**event.payload, "pod": self._ending})
        finally:
            for task in (end, look):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await ends.aclose()  # type: ignore[attr-defined]

    def define_pod_container_state(self, pod: V1Pod) -> ContainerState:
        """Look at the pod, and keep how it ended: it may be gone when the task goes on."""
        self._ending = ending(pod.to_dict())
        return super().define_pod_container_state(pod)

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
        """Tell that the job was canceled, or that a step of it failed."""
        watch = self.watch
        reason = await sync_to_async(stop_reason)(
            watch.endpoint, watch.job, watch.submission, heeds_failures=watch.heeds_failures
        )
        return None if reason is None else self._event("stopped", reason)

    async def _stuck(self, seconds: float) -> TriggerEvent | None:
        """Tell that the pod will not start, or not end; read its log while it runs."""
        pod = await self._ask("looked at", self.hook.get_pod(name=self.pod_name, namespace=self.pod_namespace))
        if pod is None:
            return None
        pod = pod.to_dict()
        if pod["status"]["phase"] != "Pending":
            lost = self._lost(pod)
            if pod["status"]["phase"] == "Running" and self._silent_since is None:
                await self._ask("listened to", self._read_log())
            return lost
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

    async def _ask(self, what: str, request: Awaitable[Any]) -> Any:
        """Return what the cluster answers; whether its troubles pass is for the other half of this trigger to judge."""
        try:
            return await request
        except _TROUBLE as error:
            self.log.warning("Pod %s cannot be %s now: %s: %s", self.pod_name, what, type(error).__name__, error)
            return None

    def _lost(self, pod: dict[str, Any]) -> TriggerEvent | None:
        """Tell that the pod's node has not answered for too long, by our own clock: the API server's may be another."""
        why = unanswered(pod)
        if why is None:
            self._silent_since = None
            return None
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        grace = pod["metadata"].get("deletion_grace_period_seconds") or 0
        return self._event("lost", why) if now - self._silent_since >= grace + SILENT_SECONDS else None

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
