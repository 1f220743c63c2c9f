from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient

from airflow_batch_endpoints.computes.kubernetes import pod, security
from airflow_batch_endpoints.computes.kubernetes.status import ending, outcome, refusal, unanswered, waiting_for
from airflow_batch_endpoints.documents.compute import KubernetesCompute
from airflow_batch_endpoints.documents.loading import loads
from airflow_batch_endpoints.exceptions import DocumentError
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.jobs.spec import JobReference

HERE = Path(__file__).parent
STATUSES = yaml.safe_load((HERE / "statuses.yml").read_text())


def compute(**fields: Any) -> KubernetesCompute:
    document = loads(json.dumps({"name": "pool", "type": "kubernetes", "image": "worker:1", **fields}), source="test")
    assert isinstance(document, KubernetesCompute)
    return document


def reference(compute_: KubernetesCompute, **launch: Any) -> JobReference:
    pinned = Launch(compute=compute_, image=compute_.image, resources=compute_.resources, **launch)
    return JobReference(
        endpoint="flights", deployment="main", job="manual__2024-01-01T00:00:00+00:00", invoker="ann",
        input_uri="s3://lake/in", output_uri="s3://lake/out/$(HOME)", launch=pinned,
    )  # fmt: skip


# -- the pod ----------------------------------------------------------------------------------------------------------


GOLDEN = {
    "plain": (compute(), {}, {"command": "plan", "environment": {"BATCH_ENDPOINTS_JOB_SPEC": "{}"}}),
    "everything": (
        compute(
            namespace="scoring",
            image_pull_policy="IfNotPresent",
            image_pull_secrets=["registry"],
            resources={"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"memory": "4Gi", "nvidia.com/gpu": 1}},
            node_selector={"pool": "spot"},
            tolerations=[{"key": "spot", "operator": "Exists"}],
            low_priority=True,
            labels={"kueue.x-k8s.io/queue-name": "team-a", "app.kubernetes.io/name": "not mine to say"},
            annotations={"cost-centre": "42"},
            env_from=[{"secretRef": {"name": "s3"}}, {"configMapRef": {"name": "proxy"}, "prefix": "P_"}],
            volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            volume_mounts=[{"name": "data", "mountPath": "/data"}],
            pod_template={
                "metadata": {"annotations": {"iam.amazonaws.com/role": "scoring"}},
                "spec": {
                    "priorityClassName": "batch",
                    "securityContext": {"runAsUser": 1000},
                    "containers": [
                        {
                            "name": "base",
                            "image": "ignored",
                            "env": [{"name": "TZ", "value": "UTC"}],
                            "workingDir": "/tmp",
                        }
                    ],
                    "tolerations": [{"key": "own", "operator": "Exists"}],
                },
            },
        ),
        {"service_account": "ann-sa"},
        {"command": "score", "instance": 3},
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_pod_is_the_one_people_reviewed(name: str) -> None:
    compute_, launch, arguments = GOLDEN[name]
    built = pod.build(reference(compute_, **launch), submission="0", **arguments)
    golden = HERE / f"pod-{name}.yml"
    assert built == yaml.safe_load(golden.read_text())
    assert security.weaknesses(built) == []


def test_the_pod_of_a_step_says_which() -> None:
    name = "outer.A_step_with_a_name_of_no_small_length_" + "x" * 60
    built = pod.build(reference(compute()), "step", submission="0", step=name)
    assert built["metadata"]["labels"]["airflow-batch-endpoints/step"] == pod.label(name)
    assert built["metadata"]["name"] == "flights-outer-a-step-with-a-step"
    assert built["spec"]["containers"][0]["args"][-2:] == ["--step", name]


def test_labels_and_names_fit() -> None:
    for text in ("a", "x" * 300, "manual__2024-01-01T00:00:00+00:00", "ü", "-", "..", "a/b", ""):
        value = pod.label(text)
        assert len(value) <= 63
        assert value == "" or (value[0].isalnum() and value[-1].isalnum())
    assert pod.label("a:b") != pod.label("a+b")


def test_templates_add_and_do_not_replace() -> None:
    built = pod.build(reference(GOLDEN["everything"][0]), "score", submission="0", instance=0)
    container = built["spec"]["containers"][0]
    assert container["image"] == "worker:1"
    assert container["workingDir"] == "/tmp"
    assert {entry["name"] for entry in container["env"]} >= {"TZ", "HOME"}
    assert built["metadata"]["labels"]["app.kubernetes.io/name"] == "airflow-batch-endpoints"


def test_what_people_wrote_stays_text() -> None:
    built = pod.build(reference(compute()), "score", submission="0", instance=0, environment={"X": "$(HOME) $5"})
    container = built["spec"]["containers"][0]
    assert "s3://lake/out/$$(HOME)" in container["args"]
    assert {"name": "X", "value": "$$(HOME) $$5"} in container["env"]


# -- what a pod may not have --------------------------------------------------------------------------------------------

CONTEXT = "spec.containers[base].securityContext"


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("spec.hostNetwork", True, "spec.hostNetwork"),
        ("spec.hostPID", True, "spec.hostPID"),
        ("spec.hostIPC", True, "spec.hostIPC"),
        ("spec.volumes", [{"name": "x", "hostPath": {"path": "/"}}], "spec.volumes[x].hostPath"),
        ("spec.securityContext.runAsNonRoot", False, "runAsNonRoot"),
        ("spec.securityContext.runAsUser", 0, "runAsUser"),
        ("spec.securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile"),
        ("spec.securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}], "kernel.msgmax"),
        ("spec.securityContext.seLinuxOptions", {"type": "spc_t"}, "seLinuxOptions"),
        ("spec.containers.0.securityContext.privileged", True, "privileged"),
        ("spec.containers.0.securityContext.allowPrivilegeEscalation", True, "allowPrivilegeEscalation"),
        ("spec.containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "SYS_ADMIN"),
        ("spec.containers.0.securityContext.capabilities", {}, "capabilities.drop"),
        ("spec.containers.0.securityContext.procMount", "Unmasked", "procMount"),
        ("spec.containers.0.ports", [{"hostPort": 80}], "hostPort 80"),
        ("spec.containers.0.lifecycle", {"preStop": {"httpGet": {"host": "169.254.169.254"}}}, "lifecycle.preStop"),
        ("spec.initContainers", [{"name": "init", "image": "i"}], "spec.initContainers[init]"),
        (
            "metadata.annotations",
            {"container.apparmor.security.beta.kubernetes.io/base": "unconfined"},
            "switches AppArmor off",
        ),
    ],
)
def test_each_weakness_is_found(path: str, value: Any, found: str) -> None:
    weak = deepcopy(pod.build(reference(compute()), "score", submission="0", instance=0))
    *steps, last = path.split(".")
    place: Any = weak
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    assert any(found in weakness for weakness in security.weaknesses(weak))


def test_a_template_cannot_weaken_silently() -> None:
    for template in (
        {"spec": {"hostNetwork": True}},
        {"spec": {"securityContext": {"runAsNonRoot": False}}},
        {"spec": {"containers": [{"name": "base", "securityContext": {"privileged": True}}]}},
        {"spec": {"containers": [{"name": "sidecar", "image": "x"}]}},
        {"spec": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}},
    ):
        assert security.weaknesses_of_launch(Launch(compute=compute(pod_template=template))), template
    with pytest.raises(DocumentError, match="service account"):
        compute(pod_template={"spec": {"serviceAccountName": "admin"}})


# -- what became of it --------------------------------------------------------------------------------------------------


class _Response:
    def __init__(self, content: dict[str, Any]) -> None:
        self.data = json.dumps(content)


def seen(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    rest = {"image": "worker:1", "imageID": "", "ready": False, "restartCount": 0}
    status = {**status, "containerStatuses": [{**rest, **each} for each in status.get("containerStatuses", [])]}
    content = {
        "metadata": {"name": "p", **metadata},
        "spec": {"containers": [{"name": "base", "image": "worker:1", "resources": {"limits": {"memory": "1Gi"}}}]},
        "status": status,
    }
    found: dict[str, Any] = ApiClient().deserialize(_Response(content), "V1Pod").to_dict()
    return found


@pytest.mark.parametrize("row", STATUSES, ids=lambda row: str(row["what"]))
def test_each_status_has_its_verdict(row: dict[str, Any]) -> None:
    judged = outcome(seen(row["status"]))
    assert judged.verdict == row["verdict"]
    assert row.get("sentence", "") in judged.sentence
    if "result" in row:
        assert judged.result == row["result"]


@pytest.mark.parametrize("row", STATUSES, ids=lambda row: str(row["what"]))
def test_what_is_kept_of_an_ended_pod_tells_the_same(row: dict[str, Any]) -> None:
    pod = seen(row["status"])
    kept = ending(pod)
    is_over = row["status"].get("phase") in ("Succeeded", "Failed")
    assert (kept is not None) >= is_over
    assert kept is None or outcome(json.loads(json.dumps(kept))) == outcome(pod)


def test_a_pod_that_goes_on_has_no_ending() -> None:
    running = {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]}
    assert ending(seen(running, deletionTimestamp="2024-01-01T00:00:00Z")) is None


def test_a_pod_that_is_gone_is_lost() -> None:
    assert outcome(None).verdict == "lost"
    running = {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]}
    assert "being deleted" in outcome(seen(running, deletionTimestamp="2024-01-01T00:00:00Z")).sentence


def test_what_a_pending_pod_waits_for() -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert waiting_for(seen({"phase": "Pending", "conditions": [unschedulable]})) == "for a node: 0/3 nodes"
    image = {"name": "base", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}
    assert (
        waiting_for(seen({"phase": "Pending", "containerStatuses": [image]})) == "to start: ImagePullBackOff: Back-off"
    )
    assert waiting_for(seen({"phase": "Pending"})) is None
    assert waiting_for(seen({"phase": "Running"})) is None


def test_the_signs_of_a_silent_node() -> None:
    running = {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]}
    unready = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
    ready = {"type": "Ready", "status": "True"}
    assert unanswered(seen({**running, "conditions": [ready]})) is None
    assert "node does not answer" in str(unanswered(seen({**running, "conditions": [unready]})))
    assert "does not go" in str(unanswered(seen(running, deletionTimestamp="2024-01-01T00:00:00Z")))
    ended = {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"terminated": {"exitCode": 0}}}]}
    assert unanswered(seen({**ended, "conditions": [unready]})) is None
    assert unanswered(seen({"phase": "Pending", "conditions": [unready]})) is None


@pytest.mark.parametrize(
    ("status", "message", "verdict"),
    [
        (403, 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', "wait"),
        (403, 'pods is forbidden: User "airflow" cannot create resource "pods"', "failed"),
        (403, 'violates PodSecurity "restricted:latest"', "failed"),
        (401, "Unauthorized", "failed"),
        (404, 'namespaces "x" not found', "failed"),
        (422, "Pod is invalid: spec.containers[0].image: Required value", "failed"),
        (409, "already exists", "lost"),
        (429, "too many requests", "lost"),
        (500, "etcdserver: leader changed", "lost"),
        (503, "apiserver is shutting down", "lost"),
        (None, "", "lost"),
    ],
)
def test_refusals(status: int | None, message: str, verdict: str) -> None:
    judged = refusal(status, "reason", json.dumps({"kind": "Status", "message": message}), namespace="scoring")
    assert judged.verdict == verdict
    assert message in judged.sentence
    assert refusal(status, "reason", "<html>", namespace="scoring").sentence.endswith("reason")
