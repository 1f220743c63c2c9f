"""The pod of one worker command, as plain data: a pure function of what the job has pinned."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from airflow_batch_endpoints.documents.compute import OUR_LABELS
from airflow_batch_endpoints.jobs.command_line import Command, worker_arguments
from airflow_batch_endpoints.jobs.spec import JobReference

CONTAINER = "base"
"""Name of the container, which is the one that KubernetesPodOperator looks at."""
USER = 65532
"""Whom pods run as unless their template names another: nobody special, in any image."""
GRACE_SECONDS = 30
"""From SIGTERM to SIGKILL: the worker releases its claims in this time."""
SPOT_TOLERATIONS = (
    {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
)
"""The taints by which GKE and AKS keep pods away from spot nodes (their documentation of spot VMs and spot node pools)."""

Pod = dict[str, Any]


def build(
    job: JobReference,
    command: Command,
    *,
    submission: str,
    instance: int | None = None,
    step: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Pod:
    """Return the pod, as Kubernetes' API takes it, without the random end of its name.

    :param job: whose it is, and where and as whom it runs.
    :param command: the worker's command.
    :param submission: which submission of the job.
    :param instance: number of the instance, for ``score``.
    :param step: name of the pipeline's step whose command it is.
    :param environment: further variables, with nothing secret in them.
    """
    launch = job.launch
    arguments = worker_arguments(
        command,
        {"job": job.job, "output_uri": job.output_uri},
        submission=submission,
        instance=instance,
        step=step,
    )
    compute = launch.kubernetes
    labels = {
        "app.kubernetes.io/name": "airflow-batch-endpoints",
        "app.kubernetes.io/component": command,
        f"{OUR_LABELS}endpoint": label(job.endpoint),
        f"{OUR_LABELS}deployment": label(job.deployment),
        f"{OUR_LABELS}job": label(job.job),
        **({} if instance is None else {f"{OUR_LABELS}instance": str(instance)}),
        **({} if step is None else {f"{OUR_LABELS}step": label(step)}),
    }
    annotations = {
        f"{OUR_LABELS}job": job.job,
        f"{OUR_LABELS}invoker": job.invoker or "",
        f"{OUR_LABELS}compute": compute.name,
    }
    variables = {"HOME": "/tmp", "TMPDIR": "/tmp", **(environment or {})}  # noqa: S108 - a volume of the pod's own
    pod: Pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(job.endpoint, command, instance, step),
            "namespace": compute.namespace,
            "labels": {**compute.labels, **labels},
            "annotations": {**compute.annotations, **annotations},
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "automountServiceAccountToken": launch.service_account is not None,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "nodeSelector": dict(compute.node_selector),
            "tolerations": [*compute.tolerations, *(SPOT_TOLERATIONS if compute.low_priority else ())],
            "volumes": [{"name": "scratch", "emptyDir": {}}, *compute.volumes],
            "containers": [
                {
                    "name": CONTAINER,
                    "image": launch.image,
                    "command": ["python", "-m", "airflow_batch_endpoints.worker"],
                    "args": [literal(argument) for argument in arguments],
                    "env": [{"name": name, "value": literal(value)} for name, value in sorted(variables.items())],
                    "envFrom": [source.model_dump(exclude_none=True) for source in compute.env_from],
                    "resources": launch.resources.model_dump(),
                    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, *compute.volume_mounts],  # noqa: S108
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    if launch.service_account is not None:
        spec["serviceAccountName"] = launch.service_account
    if compute.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in compute.image_pull_secrets]
    if compute.image_pull_policy is not None:
        container["imagePullPolicy"] = compute.image_pull_policy
    return merge(compute.pod_template, pod)


def literal(text: str) -> str:
    """Return a text that Kubernetes leaves as it is: it would put variables where ``$(NAME)`` stands."""
    return text.replace("$", "$$")


def merge(template: Pod, pod: Pod) -> Pod:
    """Lay our pod over a template: what ours says goes, what only the template says stays.

    Lists of named things (containers, volumes, variables) are merged by name, others are joined. The security contexts are the
    exception: there the template may choose (another user, a profile), and :mod:`.security` says what it may not.
    """
    merged: Pod = _over(deepcopy(template), pod)
    for path in (("spec",), ("spec", "containers", 0)):
        ours, theirs = _at(pod, path), _at(template, path)
        contexts = {**ours.get("securityContext", {}), **(theirs or {}).get("securityContext", {})}
        _at(merged, path)["securityContext"] = contexts
    return merged


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        merged = {name: _over(below.get(name), value) for name, value in above.items()}
        return {**merged, **{name: value for name, value in below.items() if name not in above}}
    if isinstance(below, list) and isinstance(above, list):
        return _over_lists(below, above)
    return deepcopy(above)


def _over_lists(below: list[Any], above: list[Any]) -> list[Any]:
    key = next((key for key in ("name", "mountPath") if all(_has(entry, key) for entry in [*below, *above])), None)
    if key is None:
        return [*above, *(entry for entry in below if entry not in above)]
    known = {entry[key]: entry for entry in below}
    names = {entry[key] for entry in above}
    return [_over(known.get(entry[key]), entry) for entry in above] + [e for e in below if e[key] not in names]


def _has(entry: Any, key: str) -> bool:
    return isinstance(entry, dict) and key in entry


def _at(pod: Any, path: Sequence[str | int]) -> Any:
    """Return what lies at a path; the container is looked up by its name in a template."""
    for step in path:
        if isinstance(step, int):
            pod = next((entry for entry in pod or [] if entry.get("name") == CONTAINER), None)
        else:
            pod = (pod or {}).get(step)
    return pod


def pod_name(endpoint: str, command: str, instance: int | None, step: str | None = None) -> str:
    """Return the name of a pod, short enough for the random end it gets."""
    parts = [endpoint, *([] if step is None else [step[:20]]), command, *([] if instance is None else [str(instance)])]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def label(value: str) -> str:
    """Return a text as the value of a label: shortened and marked with a digest where it does not fit."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", value).strip("-_.")
    if plain == value and len(value) <= 63:
        return value
    return f"{plain[:52].rstrip('-_.')}-{hashlib.sha256(value.encode()).hexdigest()[:8]}".lstrip("-")
