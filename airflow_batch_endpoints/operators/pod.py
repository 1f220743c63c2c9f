"""A worker command in a pod, by the Kubernetes provider's own operator: its deferral, reattachment, logs and deletion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from airflow_batch_endpoints.computes.kubernetes import pod as pods
from airflow_batch_endpoints.computes.kubernetes.status import outcome, refusal, waiting_for
from airflow_batch_endpoints.computes.outcome import Outcome
from airflow_batch_endpoints.jobs.command_line import Command
from airflow_batch_endpoints.jobs.spec import JobReference
from airflow_batch_endpoints.triggers.pod import BatchPodTrigger, Watch, stamped

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger
    from kubernetes.client import V1Pod

_FOREVER = int(timedelta(days=365).total_seconds())
"""A pool without room delays a job; it does not end it."""
RESUME = "pod_ended"
"""The method of the task at hand that the trigger comes back to."""


class BatchWorkerPodOperator(KubernetesPodOperator):
    """Runs one command of the worker in a pod, for the task at hand.

    It is made when the task runs, from what its job has pinned: what the documents say by then does not matter, and parsing a DAG
    never imports Kubernetes. What became of the pod is judged by :func:`.outcome` alone.

    :param job: the job, with how it is launched.
    :param command: the worker's command.
    :param instance: number of the instance, for ``score``.
    :param step: name of the pipeline's step whose command it is.
    :param environment: further variables of the pod, with nothing secret in them.
    :param watch: what to look for while it runs.
    """

    def __init__(
        self,
        *,
        job: JobReference,
        command: Command,
        instance: int | None,
        step: str | None = None,
        environment: dict[str, str],
        watch: Watch,
        **kwargs: Any,
    ) -> None:
        compute = job.launch.kubernetes
        super().__init__(
            kubernetes_conn_id=compute.kubernetes_conn_id,
            namespace=compute.namespace,
            deferrable=True,
            pod_template_dict=pods.build(
                job, command, submission=watch.submission, instance=instance, step=step, environment=environment
            ),
            termination_message_policy="FallbackToLogsOnError",
            termination_grace_period=pods.GRACE_SECONDS,
            schedule_timeout_seconds=_FOREVER,
            startup_timeout_seconds=compute.startup_timeout_seconds,
            log_pod_spec_on_failure=False,
            **kwargs,
        )
        self.watch = watch
        self._last_seen: dict[str, Any] | None = None

    # -- what the task calls ------------------------------------------------------------------------------------------

    def start(self, context: Context) -> Outcome:
        """Make the pod, or find it again, and defer; return only when there is nothing to wait for."""
        return self._judge(lambda: self.execute_async(context))

    def take(self, context: Context, event: dict[str, Any]) -> Outcome:
        """Take what the trigger saw: write the log, delete the pod and judge what became of it."""
        self._last_seen = event.get("pod")
        if event["status"] in ("withdrawn", "fallback", "stopped"):
            return self._judge(lambda: self._give_up(context, event))
        if event["status"] == "lost":
            self._judge(lambda: self._give_up(context, event))
            return Outcome("lost", f"pod {event['name']}: {event['message']}")
        judged = self._judge(lambda: self.trigger_reentry(context, event))
        waits = waiting_for(self._last_seen or {})
        if judged.verdict == "lost" and waits is not None:
            return Outcome("lost", f"pod {event['name']} did not start in time; it waits {waits}")
        return judged

    def _judge(self, action: Callable[[], None]) -> Outcome:
        """Do something with the pod and say what became of it; the provider's exceptions on the way are no judgement."""
        try:
            action()
        except ApiException as error:
            return refusal(error.status, error.reason, error.body, namespace=str(self.namespace))
        except HTTPError as error:
            return Outcome("lost", f"the cluster of connection {self.kubernetes_conn_id!r} is out of reach: {error}")
        except (ConfigException, AirflowNotFoundException) as error:
            return Outcome("failed", f"connection {self.kubernetes_conn_id!r} leads to no cluster: {error}")
        except AirflowException as error:
            self.log.debug("the provider says: %s", error)
        return outcome(self._last_seen)

    def _give_up(self, context: Context, event: dict[str, Any]) -> None:
        """Delete a pod that is not waited for any longer."""
        name, namespace, status = event["name"], event["namespace"], event["status"]
        try:
            self.pod = self.hook.get_pod(name, namespace)
            if status in ("withdrawn", "fallback") and self.pod.status.phase != "Pending":
                self.log.info("pod %s has started after all", name)
                self.invoke_defer_method(context=context)
            self.log.info("deleting pod %s: %s", name, event["message"])
            grace = 0 if status == "lost" else pods.GRACE_SECONDS
            self.client.delete_namespaced_pod(name, namespace, grace_period_seconds=grace)
        except ApiException as error:
            if error.status != 404:
                raise

    # -- what KubernetesPodOperator calls -----------------------------------------------------------------------------

    def defer(self, *, trigger: BaseTrigger, method_name: str, **kwargs: Any) -> NoReturn:
        """Defer with a trigger that has an eye on the job."""
        _, arguments = trigger.serialize()
        arguments["in_cluster"] = self.hook.is_in_cluster or arguments["in_cluster"]
        watching = BatchPodTrigger(**arguments, watch=vars(self.watch))
        super().defer(trigger=watching, method_name=RESUME, **kwargs)

    def cleanup(
        self, pod: V1Pod, remote_pod: V1Pod, xcom_result: dict[str, Any] | None = None, context: Context | None = None
    ) -> None:
        """Delete the pod and keep what it was last seen as, to be judged."""
        if self._killed or not remote_pod:
            return
        self._last_seen = remote_pod.to_dict()
        if remote_pod.status.phase != "Succeeded":
            self.patch_already_checked(remote_pod, reraise=False)
        self.process_pod_deletion(remote_pod, reraise=False)

    def _write_logs(self, pod: V1Pod, follow: bool = False, since_time: Any = None) -> None:  # type: ignore[override]
        """Write what the trigger has not: with the levels the worker gave its lines, without those for the trigger."""
        since = None if since_time is None else datetime.fromisoformat(str(since_time))
        log = self.client.read_namespaced_pod_log(
            name=pod.metadata.name,
            namespace=pod.metadata.namespace,
            container=self.base_container_name,
            timestamps=True,
            _preload_content=False,
        )
        for raw in log:
            for _, line in stamped([raw.decode(errors="backslashreplace")], since):
                if line.progress is None:
                    self.log.log(line.level, "%s", line.text)
