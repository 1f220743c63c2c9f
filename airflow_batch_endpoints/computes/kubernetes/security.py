"""What a pod may not have: the restricted Pod Security Standard, as a list of what breaks it.

Source of the rules: "Pod Security Standards" of the Kubernetes documentation, profiles baseline and restricted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_batch_endpoints.computes.kubernetes.pod import build
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.jobs.spec import JobReference

_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    }
)
_SELINUX_TYPES = frozenset({None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_SECCOMP = ("RuntimeDefault", "Localhost")


def weaknesses_of_launch(launch: Launch) -> list[str]:
    """Return what makes the pods of a launch weaker than the standard."""
    sample = JobReference(endpoint="e", deployment="d", job="j", input_uri="", output_uri="", launch=launch)
    return weaknesses(build(sample, "score", submission="0", instance=0))


def weaknesses(pod: dict[str, Any]) -> list[str]:
    """Return what in a pod the restricted standard forbids, each with its path; empty when it is met."""
    return [
        *_of_pod(pod),
        *(found for path, container in _containers(pod) for found in _of_container(pod, path, container)),
    ]


def _containers(pod: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod["spec"].get(kind) or []:
            yield f"spec.{kind}[{container.get('name', '')}]", container


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    spec = pod["spec"]
    context = spec.get("securityContext") or {}
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"spec.{field}: shares what belongs to the node"
    for volume in spec.get("volumes") or []:
        for kind in sorted(set(volume) - {"name"} - _VOLUMES):
            yield f"spec.volumes[{volume.get('name', '')}].{kind}: volumes of this kind reach into the node"
    for sysctl in context.get("sysctls") or []:
        if sysctl.get("name") not in _SYSCTLS:
            yield f"spec.securityContext.sysctls: {sysctl.get('name')} is not among those that are safe"
    for name, profile in (pod.get("metadata", {}).get("annotations") or {}).items():
        if name.startswith("container.apparmor.security.beta.kubernetes.io/"):
            if profile != "runtime/default" and not profile.startswith("localhost/"):
                yield f"metadata.annotations.{name}: switches AppArmor off"


def _of_container(pod: dict[str, Any], path: str, container: dict[str, Any]) -> Iterator[str]:
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    yield from (f"{path}.securityContext.{found}" for found in _of_context(of_pod, own))
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"{path}.ports: hostPort {port['hostPort']} is the node's"
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook) or {}
        if any((handler.get(kind) or {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{path}.lifecycle.{hook}: names a host"


def _of_context(of_pod: dict[str, Any], own: dict[str, Any]) -> Iterator[str]:
    context = {**of_pod, **own}
    capabilities = own.get("capabilities") or {}
    rules = {
        "privileged: is the node's own administrator": not own.get("privileged"),
        "allowPrivilegeEscalation: expected false": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop: expected [ALL]": "ALL" in (capabilities.get("drop") or []),
        "runAsNonRoot: expected true": context.get("runAsNonRoot") is True,
        "runAsUser: 0 is root": context.get("runAsUser") != 0,
        "seccompProfile: expected RuntimeDefault or Localhost": (context.get("seccompProfile") or {}).get("type")
        in _SECCOMP,
        "procMount: expected Default": own.get("procMount") in (None, "Default"),
    }
    yield from (rule for rule, is_kept in rules.items() if not is_kept)
    for added in sorted(set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}):
        yield f"capabilities.add: {added} is not allowed"
    for options in (of_pod.get("seLinuxOptions") or {}, own.get("seLinuxOptions") or {}):
        if options.get("type") not in _SELINUX_TYPES or options.get("user") or options.get("role"):
            yield "seLinuxOptions: another type, user or role than containers have"
