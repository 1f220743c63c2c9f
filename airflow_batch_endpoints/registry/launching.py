"""Where and as whom a job is launched: from its deployment, the computes and who invoked it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from airflow_batch_endpoints.computes.kubernetes import pod, security
from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.base import Document
from airflow_batch_endpoints.documents.compute import (
    EnvironmentSource,
    KubernetesCompute,
    LocalCompute,
    ObjectReference,
    PodResources,
    in_bytes,
)
from airflow_batch_endpoints.documents.datastore import Datastore
from airflow_batch_endpoints.documents.deployment import DeploymentSettings, ModelDeployment, Resources
from airflow_batch_endpoints.exceptions import ReachError, UserError
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.registry.registry import Registry


@dataclass(frozen=True)
class Work:
    """What is to be launched, as far as its document has a say in it."""

    what: str
    """For messages."""
    image: str | None = None
    resources: Resources | None = None


def work_of(deployment: ModelDeployment) -> Work:
    """Return the work of a model deployment."""
    image = deployment.environment.image if deployment.environment is not None else None
    return Work(f"deployment {deployment.name!r}", image, deployment.resources)


def pin(registry: Registry, work: Work, compute: Document, *, invoker: str | None, settings: Settings) -> Launch:
    """Return how the workers of a job, or of one of its steps, are launched.

    :param compute: where.
    :param invoker: who asked, as Airflow knows them.
    :raises UserError: the compute is switched off here, or lacks what a pod needs, or does not serve this invoker.
    """
    if isinstance(compute, LocalCompute):
        if not settings.allow_local_compute:
            raise UserError(
                f"compute {compute.name!r} is local, and [batch_endpoints] allow_local_compute is off here; name another compute"
            )
        return Launch(compute=compute)
    assert isinstance(compute, KubernetesCompute)  # noqa: S101 - the registry knows two kinds
    fallback = None
    if compute.fallback is not None:
        other = registry.compute(compute.fallback.compute).document
        if not isinstance(other, KubernetesCompute) or other.fallback is not None:
            raise UserError(
                f"compute {compute.name!r} falls back to {compute.fallback.compute!r}, which must be of type kubernetes and "
                "have no fallback of its own"
            )
        fallback = _pod_launch(other, work, invoker, settings)
    return _pod_launch(compute, work, invoker, settings).model_copy(update={"fallback": fallback})


def _pod_launch(compute: KubernetesCompute, work: Work, invoker: str | None, settings: Settings) -> Launch:
    image = work.image or compute.image
    if image is None:
        raise UserError(
            f"{work.what} runs on compute {compute.name!r}, and neither names an image; set environment.image, or image of the "
            "compute"
        )
    asked = work.resources or Resources()
    launch = Launch(
        compute=compute,
        image=image,
        resources=PodResources(
            requests={**compute.resources.requests, **asked.requests},
            limits={**compute.resources.limits, **asked.limits},
        ),
        service_account=service_account(compute, invoker),
    )
    if not settings.allow_unrestricted_pods and (found := security.weaknesses_of_launch(launch)):
        raise UserError(f"the pods of compute {compute.name!r} are not restricted enough: {'; '.join(found)}")
    return launch


def with_access(launch: Launch, datastores: Iterable[Datastore]) -> Launch:
    """Return how workers are launched that read or write in data stores: with the names of what gives them access.

    :param datastores: those that the job names; a store that names no secret is reached with the compute's own access.
    """
    stores = list(datastores)
    if not isinstance(launch.compute, KubernetesCompute):
        found = dict.fromkeys(store.conn_id for store in stores if store.conn_id is not None)
        return launch.model_copy(update={"connections": tuple(dict.fromkeys((*launch.connections, *found)))})
    secrets = dict.fromkeys(store.secret_name for store in stores if store.secret_name is not None)
    sources = [EnvironmentSource(secretRef=ObjectReference(name=name)) for name in secrets]
    known = launch.compute.env_from
    compute = launch.compute.model_copy(
        update={"env_from": (*known, *(source for source in sources if source not in known))}
    )
    fallback = None if launch.fallback is None else with_access(launch.fallback, stores)
    return launch.model_copy(update={"compute": compute, "fallback": fallback})


def service_account(compute: KubernetesCompute, invoker: str | None) -> str | None:
    """Return the account that the pods of an invoker's job run as; ``None`` for the namespace's default, without a token.

    :param invoker: who triggered the run. A job started by a DAG has the invoker of that DAG's run; schedules and assets have
        none.
    :raises UserError: the compute lists invokers, and neither this one nor a default.
    """
    listed = compute.service_accounts.get(invoker) if invoker is not None else None
    account = listed or compute.service_account_name
    if account is None and compute.service_accounts:
        who = f"invoker {invoker!r} is" if invoker is not None else "a job that no person invoked is"
        raise UserError(
            f"{who} not among the service_accounts of compute {compute.name!r}, which has no service_account_name for others; "
            "ask who owns the compute"
        )
    return account


def per_device(settings: DeploymentSettings, launch: Launch) -> DeploymentSettings:
    """Return the settings with one slot for each accelerator, if the instances have any."""
    if not launch.gpus:
        return settings
    return settings.model_copy(update={"max_concurrency_per_instance": launch.gpus, "slot_start_method": "spawn"})


def local_memory(launch: Launch) -> int | None:
    """Return the most memory of one instance's slots on local compute; pods have limits of their own."""
    compute = launch.compute
    return in_bytes(compute.memory) if isinstance(compute, LocalCompute) and compute.memory is not None else None


def require_shared_storage(launch: Launch, places: Iterable[tuple[str, str]]) -> None:
    """Refuse files of one machine for pods, which would read and write their own.

    :param places: what workers read and write, each with its URI.
    :raises ReachError: a ``file:`` URI is on no volume of the compute.
    """
    for what, uri in places:
        name = _without_volume(launch, uri)
        if name is not None:
            raise ReachError(
                f"{what} {uri} is a file of this machine, and compute {name!r} has no volume there; use object storage, or "
                "mount a shared volume at the same path (volumes and volume_mounts of the compute)"
            )


def is_shared(launch: Launch, uri: str) -> bool:
    """Tell whether workers see what is at a URI, wherever they are launched."""
    return _without_volume(launch, uri) is None


def _without_volume(launch: Launch, uri: str) -> str | None:
    """Return the compute on which a file of this machine is on no volume."""
    if not uri.startswith("file://"):
        return None
    path = PurePosixPath(unquote(uri.removeprefix("file://")))
    for each in (launch, launch.fallback):
        if each is None or not isinstance(each.compute, KubernetesCompute):
            continue
        if not any(path.is_relative_to(PurePosixPath(mount)) for mount in _mounts(each.compute)):
            return each.compute.name
    return None


def _mounts(compute: KubernetesCompute) -> Iterable[str]:
    containers: list[dict[str, Any]] = (compute.pod_template.get("spec") or {}).get("containers") or []
    ours = [
        mount
        for container in containers
        if container.get("name") == pod.CONTAINER
        for mount in container.get("volumeMounts") or []
    ]
    return [str(mount["mountPath"]) for mount in [*compute.volume_mounts, *ours] if "mountPath" in mount]
