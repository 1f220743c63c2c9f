"""Jobs in pods, disturbed in every way a cluster disturbs them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.computes.kubernetes.security import weaknesses
from tests.kubernetes.conftest import Cluster, ClusterAirflow

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

SLOW = (
    "import os, time\ndef init(): pass\ndef run(b):\n    time.sleep(0.5)\n    return [os.path.basename(p) for p in b]\n"
)
ITEMS = 40


@pytest.fixture(scope="module")
def slow(airflow: ClusterAirflow) -> str:
    airflow.compute("pool")
    airflow.script_endpoint("slow", SLOW, compute="pool", mini_batch_size=1)
    airflow.inputs("many", ITEMS)
    airflow.inputs("few", 3)
    return "slow"


def predictions(job: dict[str, Any]) -> bytes:
    return Path(job["output"].removeprefix("file://"), "predictions.csv").read_bytes()


def expected(count: int = ITEMS) -> bytes:
    return b"".join([b"prediction\n", *(b'"%03d.csv"\n' % number for number in range(count))])


def assert_whole(job: dict[str, Any], count: int = ITEMS) -> None:
    counts = job["counts"]
    assert (counts["listed"], counts["succeeded"], counts["failed"]) == (count, count, 0)
    assert predictions(job) == expected(count)


def begun(airflow: ClusterAirflow, endpoint: str, job: str, commits: int = 3) -> None:
    folder = airflow.outputs / endpoint / job / "_batch" / "commits"
    airflow.eventually(lambda: folder.exists() and len(list(folder.iterdir())) >= commits)


def test_pods_do_what_processes_do(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    assert cluster.is_empty(), "no pod where no job is"
    airflow.start_job(slow, "pods", "many", instance_count=3)
    begun(airflow, slow, "pods")
    pods = cluster.pods_of("pods")
    assert [found for pod in pods for found in weaknesses(pod)] == []
    assert {pod["spec"]["automountServiceAccountToken"] for pod in pods} == {False}
    airflow.eventually(lambda: (airflow.job(slow, "pods")["counts"]["succeeded"] or 0) > 0)
    assert_whole(airflow.end_of(slow, "pods"))
    airflow.eventually(cluster.is_empty)


GOES = "asked to stop|being deleted"
"""A busy kubelet can lose how a container has ended that it was told to end."""
TROUBLE = {
    "kill": r"was killed \(exit code 137\)",
    "delete": GOES,
    "evict": GOES,
    "preempt": r"its node gave it up \(Terminated\)",
    "node": "node does not answer",
}
"""What is said of a pod that was lost in some way."""


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_pod_is_lost(airflow: ClusterAirflow, cluster: Cluster, slow: str, trouble: str) -> None:
    name = f"lost-{trouble}"
    airflow.start_job(slow, name, "many", instance_count=3)
    airflow.eventually(lambda: len(cluster.running(name)) == 3)
    begun(airflow, slow, name)
    (pod,) = cluster.running(name, 1)
    try:
        if trouble == "delete":
            cluster.kubectl("delete", "pod", pod, "--grace-period=15", "--wait=false")
        elif trouble == "node":
            cluster.tool("kubelet", "stop")
        else:
            cluster.tool(trouble, pod)
    finally:
        if trouble in ("node", "preempt"):
            if trouble == "node":
                airflow.eventually(lambda: TROUBLE["node"] in airflow.logs(f"batch_endpoint.{slow}", name))
            cluster.tool("kubelet", "start")
    assert_whole(airflow.end_of(slow, name))
    assert re.search(TROUBLE[trouble], airflow.logs(f"batch_endpoint.{slow}", name))
    airflow.eventually(cluster.is_empty)


def test_cancel_removes_the_pods(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    airflow.start_job(slow, "canceled", "many", instance_count=2)
    airflow.eventually(lambda: len(cluster.running("canceled")) == 2)
    airflow.cli("jobs", "cancel", slow, "canceled")
    airflow.eventually(cluster.is_empty)
    assert airflow.job(slow, "canceled")["state"] == "Canceled"


def test_scheduler_and_triggerer_are_lost(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    documents, items = airflow.data / "documents" / "slow", 3 * ITEMS
    # Long enough that nothing is done when they are gone, not even on a busy machine.
    airflow.inputs("plenty", items)
    airflow.start_job(slow, "watchless", "plenty", instance_count=2)
    airflow.eventually(lambda: len(cluster.running("watchless")) == 2)
    pods = set(cluster.running("watchless"))
    # What a job has pinned is what it runs: neither of these changes reaches it.
    airflow.compute("pool", image="localhost/no-such-image:1")
    (documents / "code" / "score.py").write_text(
        "def init(): raise RuntimeError('the new one')\ndef run(b): return b\n"
    )
    airflow.cli("apply", "-f", str(documents / "deployment.yml"))
    try:
        for component in ("triggerer", "scheduler"):
            airflow.kill_component(component)
            airflow.start_component(component)
        seen = set(pods)
        while airflow.state(f"batch_endpoint.{slow}", "watchless") == "running":
            seen |= set(cluster.running("watchless"))
            time.sleep(0.5)
        assert_whole(airflow.end_of(slow, "watchless"), items)
        assert seen == pods, "they were found again, not started twice"
    finally:
        airflow.compute("pool")
        airflow.script_endpoint("slow", SLOW, compute="pool", mini_batch_size=1)


def failing(airflow: ClusterAirflow, name: str, *, seconds: float = 180, **compute: Any) -> str:
    """Apply an endpoint on a compute that cannot work, invoke it, and return the error of its job."""
    airflow.compute(name, **compute)
    airflow.script_endpoint(name, SLOW, compute=name)
    airflow.start_job(name, "one", "few")
    job = airflow.end_of(name, "one", "failed", seconds=seconds)
    assert airflow.tries(f"batch_endpoint.{name}", "one", "plan") == 1, "what people must mend is not retried"
    return str(job["error"])


@pytest.mark.parametrize(
    ("name", "compute", "sentence"),
    [
        ("bad-image", {"image": "localhost/no-such-image:1"}, "cannot be pulled"),
        ("no-worker", {"image": "localhost/busybox:1"}, "cannot run `python -m"),
        ("no-account", {"service_account_name": "ghost"}, 'serviceaccount "ghost" not found'),
        ("forbidden", {"namespace": "kube-system"}, "refuses this in namespace 'kube-system'"),
        ("no-connection", {"kubernetes_conn_id": "nowhere"}, "leads to no cluster"),
        ("no-kubeconfig", {"kubernetes_conn_id": "nonsense"}, "leads to no cluster"),
        ("not-listed", {"service_accounts": {"somebody-else": "default"}}, "not among the service_accounts"),
    ],
)
def test_what_people_must_mend(
    airflow: ClusterAirflow, slow: str, name: str, compute: dict[str, Any], sentence: str
) -> None:
    error = failing(airflow, name, **compute)
    assert sentence in error
    assert "Traceback" not in error


def test_a_cluster_out_of_reach_is_tried_again(airflow: ClusterAirflow, slow: str) -> None:
    airflow.compute("dead", kubernetes_conn_id="dead")
    airflow.script_endpoint("dead", SLOW, compute="dead")
    airflow.start_job("dead", "one", "few")
    airflow.eventually(
        lambda: "cluster of connection 'dead' is out of reach" in airflow.logs("batch_endpoint.dead", "one")
    )
    airflow.eventually(lambda: airflow.tries("batch_endpoint.dead", "one", "plan") >= 2)
    airflow.cli("jobs", "cancel", "dead", "one")


def test_the_fallback_when_no_node_fits(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    airflow.compute(
        "spot", node_selector={"nowhere": "true"}, fallback={"compute": "pool", "after_seconds": 4}, low_priority=True
    )
    airflow.script_endpoint("spot", SLOW, compute="spot")
    airflow.start_job("spot", "one", "few")
    job = airflow.end_of("spot", "one")
    assert_whole(job, 3)
    assert job["compute"] == "pool, spot"
    logs = airflow.logs("batch_endpoint.spot", "one")
    assert "waits for a node: 0/1 nodes are available" in logs
    assert "going on with compute pool" in logs


def test_a_quota_without_room_delays(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "narrow"},
        "spec": {"hard": {"pods": "1"}},
    }
    airflow.eventually(cluster.is_empty)
    cluster.apply(quota)
    try:
        time.sleep(2)
        airflow.start_job(slow, "narrow", "few", instance_count=2)
        assert_whole(airflow.end_of(slow, "narrow"), 3)
        assert "no room in the quota of namespace 'default'" in airflow.logs(f"batch_endpoint.{slow}", "narrow")
    finally:
        cluster.kubectl("delete", "resourcequota", "narrow")


def test_a_file_that_takes_all_memory_is_one_dead_letter(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    hungry = (
        "import os\ndef init(): pass\ndef run(b):\n"
        "    if any('001.csv' in p for p in b): x = bytearray(2_000_000_000)\n"
        "    return [os.path.basename(p) for p in b]\n"
    )
    airflow.script_endpoint("hungry", hungry, compute="pool", mini_batch_size=1, retry_settings={"max_retries": 1})
    airflow.start_job("hungry", "one", "few")
    job = airflow.end_of("hungry", "one")
    assert (job["counts"]["succeeded"], job["counts"]["failed"]) == (2, 1)
    letters = Path(job["output"].removeprefix("file://"), "dead_letters.jsonl").read_text().splitlines()
    assert [Path(json.loads(line)["item"]).name for line in letters] == ["001.csv"]


def test_a_file_that_takes_its_whole_pod_along_is_one_dead_letter(
    airflow: ClusterAirflow, cluster: Cluster, slow: str
) -> None:
    """With cgroup v2 the kernel kills all of a pod that is out of memory; here we do."""
    deadly = (
        "import os, time\ndef init(): pass\ndef run(b):\n"
        "    if any('001.csv' in p for p in b):\n        print('deadly file in work', flush=True)\n        time.sleep(25)\n"
        "    return [os.path.basename(p) for p in b]\n"
    )
    airflow.script_endpoint("deadly", deadly, compute="pool", mini_batch_size=3, retry_settings={"timeout": 60})
    airflow.start_job("deadly", "one", "few", instance_count=1)
    deaths = 0
    while airflow.state("batch_endpoint.deadly", "one") in ("queued", "running"):
        for pod in cluster.running("one"):
            if "deadly file in work" in cluster.kubectl("logs", pod, check=False):
                cluster.tool("kill", pod)
                deaths += 1
                airflow.eventually(lambda gone=pod: gone not in cluster.running("one"))
        time.sleep(0.5)
    job = airflow.end_of("deadly", "one")
    assert (job["counts"]["succeeded"], job["counts"]["failed"]) == (2, 1)
    assert deaths >= 4, "once in company, three times alone"


def test_who_a_job_runs_as(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    for account in ("for-people", "for-others"):
        cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
    airflow.start_job(slow, "whoami", "few")
    me = airflow.end_of(slow, "whoami")["invoker"]
    airflow.compute("shared", service_accounts={me: "for-people"}, service_account_name="for-others")
    airflow.script_endpoint("invoked", SLOW, compute="shared", mini_batch_size=1)
    airflow.inputs("small", 7)

    def account_of(job: str) -> Any:
        return airflow.eventually(
            lambda: next(iter({pod["spec"].get("serviceAccountName") for pod in cluster.pods_of(job)}), None)
        )

    def job_of(dag_id: str) -> str:
        """Return the job that a DAG has invoked, once it has."""

        def invoked() -> str | None:
            return next((job for job in airflow.runs("batch_endpoint.invoked") if job.startswith(f"{dag_id}.")), None)

        return str(airflow.eventually(invoked))

    airflow.start_job("invoked", "by-me", "small")
    assert account_of("by-me") == "for-people"
    airflow.end_of("invoked", "by-me")
    airflow.trigger("invoking_waiting", "by-hand")
    assert account_of(job_of("invoking_waiting")) == "for-people", "a chain of DAGs runs as who began it"
    airflow.wait("invoking_waiting", "by-hand", "success")
    airflow.emit("invoking", "invoking_on_asset")
    on_asset = job_of("invoking_on_asset")
    assert account_of(on_asset) == "for-others", "nobody invoked it"
    assert airflow.end_of("invoked", on_asset)["invoker"] is None


def test_one_slot_for_each_accelerator(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    node = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"]
    capacity = {"status": {"capacity": {"example.com/gpu": "2"}}}
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(capacity))
    script = (
        "import os, time\ndef init(): pass\ndef run(b):\n"
        "    time.sleep(1)\n    return [os.environ['CUDA_VISIBLE_DEVICES'] for p in b]\n"
    )
    airflow.compute("gpus", resources={"limits": {"example.com/gpu": 2, "memory": "1Gi"}})
    airflow.script_endpoint("gpus", script, compute="gpus", mini_batch_size=1)
    airflow.inputs("small", 7)
    airflow.start_job("gpus", "one", "small")
    job = airflow.end_of("gpus", "one")
    assert set(predictions(job).split()) == {b"prediction", b'"0"', b'"1"'}
