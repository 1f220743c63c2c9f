"""What became of a pod: done, failed for good, or lost to the infrastructure. One table for pods, one for refusals of the API.

Pods are looked at as the ``to_dict()`` of the Kubernetes client, of either kind (it and kubernetes-asyncio agree).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_batch_endpoints.computes.kubernetes.pod import CONTAINER
from airflow_batch_endpoints.computes.outcome import FINAL_EXIT_CODES, Outcome, Verdict, error_of

_STOPPED, _KILLED = 4, (137, 143)
_CANNOT_RUN = (126, 127, 128)
_TAIL = 1_500


@dataclass(frozen=True)
class _Facts:
    """What the rows of the table look at."""

    is_gone: bool = False
    name: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    is_being_deleted: bool = False
    disruption: str | None = None
    exit_code: int | None = None
    ended_as: str = ""
    result: dict[str, Any] | None = None
    tail: str = ""
    waiting: str = ""
    waiting_message: str = ""
    image: str = ""
    memory_limit: str = ""

    @property
    def error(self) -> str:
        """What the worker itself says went wrong."""
        return error_of(self.result or {})

    @property
    def lines(self) -> str:
        """The last lines of the log, where the worker left no result."""
        return f"; its last lines:\n{self.tail}" if self.tail else ""


class _Row(NamedTuple):
    what: str
    applies: Callable[[_Facts], bool]
    verdict: Verdict
    sentence: Callable[[_Facts], str]


_NODE_REASONS = frozenset(
    {
        "Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "NodeAffinity", "UnexpectedAdmissionError",
        "OutOfcpu", "OutOfmemory", "OutOfpods", "Outofephemeral-storage",
    }
)  # fmt: skip
_BAD_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_BAD_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

_TABLE = (
    _Row("gone", lambda f: f.is_gone, "lost", lambda f: "it is gone: deleted, or its node was removed"),
    _Row("done", lambda f: f.exit_code == 0, "done", lambda f: "done"),
    _Row(
        "failure of the work",
        lambda f: f.exit_code in FINAL_EXIT_CODES,
        "failed",
        lambda f: f.error or f"the worker ended with exit code {f.exit_code}{f.lines}",
    ),
    _Row(
        "deadline of the template",
        lambda f: f.reason == "DeadlineExceeded",
        "failed",
        lambda f: "it ran longer than the activeDeadlineSeconds of its compute's pod_template",
    ),
    _Row(
        "node",
        lambda f: f.reason in _NODE_REASONS,
        "lost",
        lambda f: f"its node gave it up ({f.reason}): {f.message or 'no further word'}",
    ),
    _Row("disruption", lambda f: f.disruption is not None, "lost", lambda f: f"it was disrupted: {f.disruption}"),
    _Row(
        "out of memory",
        lambda f: f.ended_as == "OOMKilled",
        "lost",
        lambda f: f"out of memory: it was killed at its limit of {f.memory_limit or 'the node'} (OOMKilled)",
    ),
    _Row(
        "registry out of reach",
        lambda f: f.waiting == "RegistryUnavailable",
        "lost",
        lambda f: f"the registry of image {f.image!r} is out of reach: {f.waiting_message}",
    ),
    _Row(
        "image",
        lambda f: f.waiting in _BAD_IMAGE,
        "failed",
        lambda f: (
            f"image {f.image!r} cannot be pulled ({f.waiting}): {f.waiting_message}; check environment.image of the "
            "deployment, or image and image_pull_secrets of the compute"
        ),
    ),
    _Row(
        "container",
        lambda f: f.waiting in _BAD_CONTAINER,
        "failed",
        lambda f: f"its container cannot be started ({f.waiting}): {f.waiting_message}",
    ),
    _Row(
        "command",
        lambda f: f.ended_as in ("ContainerCannotRun", "StartError") or f.exit_code in _CANNOT_RUN,
        "failed",
        lambda f: f"image {f.image!r} cannot run `python -m airflow_batch_endpoints.worker`: {f.tail or f.ended_as}",
    ),
    _Row(
        "no worker in the image",
        lambda f: (
            f.result is None
            and f.exit_code == 1
            and "airflow_batch_endpoints" in f.tail
            and "No module named" in f.tail
        ),
        "failed",
        lambda f: f"image {f.image!r} has no worker: install airflow-batch-endpoints in it{f.lines}",
    ),
    _Row("stopped", lambda f: f.exit_code == _STOPPED, "lost", lambda f: "it was asked to stop and released its work"),
    _Row(
        "killed",
        lambda f: f.exit_code in _KILLED,
        "lost",
        lambda f: f"it was {'deleted' if f.is_being_deleted else 'killed'} (exit code {f.exit_code})",
    ),
    _Row("being deleted", lambda f: f.is_being_deleted, "lost", lambda f: "it is being deleted, or its node is lost"),
    _Row(
        "infrastructure",
        lambda f: f.exit_code is not None,
        "lost",
        lambda f: f.error or f"the worker ended with exit code {f.exit_code}{f.lines}",
    ),
    _Row(
        "anything else",
        lambda f: True,
        "lost",
        lambda f: (
            f"it ended in phase {f.phase or 'unknown'}{': ' + (f.message or f.reason) if f.message or f.reason else ''}"
        ),
    ),
)


def outcome(pod: dict[str, Any] | None) -> Outcome:
    """Return what became of a pod.

    :param pod: the pod, ``None`` when it is gone.
    """
    facts = _facts(pod)
    row = next(row for row in _TABLE if row.applies(facts))
    told = facts.error if row.what in ("failure of the work", "infrastructure") else ""
    sentence = told or (f"pod {facts.name}: {row.sentence(facts)}" if facts.name else f"the pod: {row.sentence(facts)}")
    return Outcome(row.verdict, sentence, facts.result or {})


def ending(pod: dict[str, Any]) -> dict[str, Any] | None:
    """Return what :func:`outcome` looks at in a pod that has ended, as plain data; ``None`` for one that has not.

    A pod may be gone by the time it is judged: whoever sees it end keeps this.
    """
    status = pod.get("status") or {}
    is_over = status.get("phase") in ("Succeeded", "Failed")
    if not is_over and _state(status).get("terminated") is None:
        return None
    seen = {
        "metadata": {name: (pod.get("metadata") or {}).get(name) for name in ("name", "deletion_timestamp")},
        "spec": {
            "containers": [
                {name: container.get(name) for name in ("name", "image", "resources")}
                for container in (pod.get("spec") or {}).get("containers") or []
            ]
        },
        "status": {
            name: status.get(name) for name in ("phase", "reason", "message", "conditions", "container_statuses")
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(seen, default=str))
    return plain


def waiting_for(pod: dict[str, Any]) -> str | None:
    """Say what a pod waits for that has not started; ``None`` when it has, or nothing is known yet."""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return None
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"for a node: {condition.get('message') or condition.get('reason')}"
    facts = _facts(pod)
    if facts.waiting and facts.waiting not in ("ContainerCreating", "PodInitializing"):
        return f"to start: {facts.waiting}: {facts.waiting_message}"
    return None


def unanswered(pod: dict[str, Any]) -> str | None:
    """Say by which sign a pod's node does not answer; ``None`` without one. Signs pass: only time makes them a fact.

    Without a readiness probe a running container is ready, unless the control plane says otherwise because its node is silent.
    Pods are not always deleted then: never, when all nodes of a zone are lost.
    """
    status = pod.get("status") or {}
    if (pod.get("metadata") or {}).get("deletion_timestamp") is not None:
        return "it was deleted and does not go: its node does not answer"
    is_unready = any(
        condition["type"] == "Ready" and condition["status"] != "True" for condition in status.get("conditions") or []
    )
    if status.get("phase") == "Running" and is_unready and _state(status).get("running"):
        return "its node does not answer"
    return None


def refusal(status: int | None, reason: str, body: str, *, namespace: str) -> Outcome:
    """Return what it means that the API server refused a request for a pod.

    :param status: HTTP status.
    :param reason: its phrase.
    :param body: the answer, usually a ``Status`` object.
    :param namespace: where the pod was to be.
    """
    message = _message_of(body) or reason
    if status == 403 and "exceeded quota" in message:
        return Outcome("wait", f"no room in the quota of namespace {namespace!r}: {message}")
    if status in (403, 401):
        return Outcome("failed", f"the cluster refuses this in namespace {namespace!r}: {message}")
    if status in (400, 404, 405, 422):
        return Outcome("failed", f"the cluster does not accept the pod: {message}")
    return Outcome("lost", f"the cluster answered {status}: {message}")


def _message_of(body: str) -> str:
    try:
        content = json.loads(body)
    except (TypeError, ValueError):
        return ""
    return str(content.get("message", "")) if isinstance(content, dict) else ""


def _facts(pod: dict[str, Any] | None) -> _Facts:
    if pod is None:
        return _Facts(is_gone=True)
    metadata, spec, status = pod.get("metadata") or {}, pod.get("spec") or {}, pod.get("status") or {}
    container: dict[str, Any] = next(
        (entry for entry in spec.get("containers") or [] if entry.get("name") == CONTAINER), {}
    )
    state = _state(status)
    terminated, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    text = terminated.get("message") or ""
    result = _result(text)
    return _Facts(
        name=metadata.get("name") or "",
        phase=status.get("phase") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        is_being_deleted=metadata.get("deletion_timestamp") is not None,
        disruption=_disruption(status),
        exit_code=terminated.get("exit_code"),
        ended_as=terminated.get("reason") or "",
        result=result,
        tail="" if result is not None else text.strip()[-_TAIL:],
        waiting=waiting.get("reason") or "",
        waiting_message=waiting.get("message") or "",
        image=container.get("image") or "",
        memory_limit=((container.get("resources") or {}).get("limits") or {}).get("memory", ""),
    )


def _state(status: dict[str, Any]) -> dict[str, Any]:
    """Return the state of our container."""
    statuses = status.get("container_statuses") or []
    return next((entry.get("state") or {} for entry in statuses if entry["name"] == CONTAINER), {})


def _disruption(status: dict[str, Any]) -> str | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or "no further word")
    return None


def _result(text: str) -> dict[str, Any] | None:
    """Return what the worker left; anything may stand there, for a script could have written it."""
    try:
        result = json.loads(text)
    except ValueError:
        return None
    return result if isinstance(result, dict) else None
