"""Pipelines whose steps are pods."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from airflow_batch_endpoints.computes.kubernetes.security import weaknesses
from tests import churn
from tests.kubernetes.conftest import Cluster, ClusterAirflow
from tests.pipelines import BEFORE, DATA, TWO_STEPS, deploy, finish, invoke, look, pipeline, states, step, text

TELLING = """
import os
def init(): pass
def run(b): return [str([os.environ.get(name, "").upper() for name in ("REPORT_PASSWORD", "MLFLOW_TRACKING_PASSWORD")])] * len(b)
"""
pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]


def running(cluster: Cluster, job: str, name: str) -> list[str]:
    return [
        pod["metadata"]["name"] for pod in cluster.pods_of(job, step=name) if pod["status"]["phase"] == "Running"
    ]  # fmt: skip


def test_steps_are_pods(airflow: ClusterAirflow, cluster: Cluster) -> None:
    airflow.compute("pool")
    deploy(airflow, "counting", TWO_STEPS, default_compute="pool")
    invoke(airflow, "counting", "pods", data=airflow.inputs("small", 7))
    seen: dict[str, list[str]] = {}
    while airflow.state("batch_endpoint.counting", "pods") not in ("success", "failed"):
        for pod in cluster.pods_of("pods"):
            labels = pod["metadata"]["labels"]
            if "airflow-batch-endpoints/step" in labels:
                seen[labels["airflow-batch-endpoints/step"]] = weaknesses(pod)
        time.sleep(0.2)
    job = finish(airflow, "counting", "pods")
    assert seen == {"count": [], "repeat": []}
    assert states(job) == {"count": "Completed", "repeat": "Completed"}
    assert {entry["compute"] for entry in job["steps"]} == {"pool"}
    assert text(job, "result", "predictions.csv") == "7\n7\n"
    airflow.eventually(cluster.is_empty)

    invoke(airflow, "counting", "again", data=airflow.data / "small")
    job = finish(airflow, "counting", "again")
    assert {entry["reused_from"]["job"] for entry in job["steps"]} == {"pods"}


@pytest.mark.parametrize("trouble", ["kill", "delete"])
def test_a_step_whose_pod_is_lost_is_run_again(airflow: ClusterAirflow, cluster: Cluster, trouble: str) -> None:
    airflow.compute("pool")
    log = airflow.data / f"log-{trouble}"
    log.mkdir()
    log.chmod(0o777)
    first = step(f"echo ran >> {log}/first", DATA, {"made": ""}, {"data": "${{parent.inputs.data}}"})
    slow = f"if [ ! -e {log}/begun ]; then touch {log}/begun; sleep 120; fi; echo done > ${{{{outputs.made}}}}/x"
    given = {"before": "${{parent.jobs.first.outputs.made}}"}
    second = step(slow, BEFORE, {"made": "${{parent.outputs.made}}"}, given)
    endpoint = f"lost-{trouble}"
    deploy(
        airflow, endpoint, pipeline({"first": first, "second": second}, DATA, {"made": ""}), default_compute="pool"
    )  # fmt: skip
    invoke(airflow, endpoint, "lost", data=airflow.inputs("small", 7))
    airflow.eventually(lambda: Path(log, "begun").exists())
    (pod,) = airflow.eventually(lambda: running(cluster, "lost", "second"))
    if trouble == "kill":
        cluster.tool("kill", pod)
    else:
        cluster.kubectl("delete", "pod", pod, "--grace-period=15", "--wait=false")
    job = finish(airflow, endpoint, "lost")
    assert text(job, "made", "x") == "done\n"
    assert {entry["name"]: entry["tries"] for entry in job["steps"]} == {"first": 1, "second": 2}
    assert Path(log, "first").read_text() == "ran\n"
    airflow.eventually(cluster.is_empty)


@pytest.fixture(scope="module")
def by_hand(airflow: ClusterAirflow) -> churn.ByHand:
    airflow.compute("pool")
    churn.deploy(airflow, default_compute="pool")
    return churn.ByHand(airflow.data / "by-hand")


@pytest.mark.parametrize("name", churn.STEPS)
def test_with_the_pod_of_every_step_killed_a_pipeline_makes_what_hands_make(
    airflow: ClusterAirflow, cluster: Cluster, by_hand: churn.ByHand, name: str
) -> None:
    churn.start(airflow, by_hand, name, "killed")
    for each in churn.STEPS[name]:
        churn.await_work(airflow, name, "killed", each)
        (pod,) = airflow.eventually(lambda each=each: running(cluster, "killed", each))
        cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
    job = churn.assert_as_by_hand(airflow, by_hand, name, "killed")
    assert {entry["name"]: entry["tries"] for entry in job["steps"]} == dict.fromkeys(churn.STEPS[name], 2)
    airflow.eventually(cluster.is_empty)


def test_secrets_of_the_compute_reach_scripts_and_commands(airflow: ClusterAirflow, cluster: Cluster) -> None:
    secret = {"REPORT_PASSWORD": "swordfish", "MLFLOW_TRACKING_PASSWORD": "hush-hush"}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "reports"}, "stringData": secret})
    try:
        airflow.compute("secretive", env_from=[{"secretRef": {"name": "reports"}}])
        command = 'echo "$REPORT_PASSWORD,$MLFLOW_TRACKING_PASSWORD" | tr a-z A-Z > ${{outputs.made}}/seen'
        seeing = step(command, DATA, {"made": "${{parent.outputs.made}}"}, {"data": "${{parent.inputs.data}}"})
        deploy(airflow, "seeing", pipeline({"see": seeing}, DATA, {"made": ""}), default_compute="secretive")
        invoke(airflow, "seeing", "step", data=airflow.inputs("few", 3))
        assert text(finish(airflow, "seeing", "step"), "made", "seen") == "SWORDFISH,\n"

        airflow.script_endpoint("scripted", TELLING, compute="secretive")
        airflow.start_job("scripted", "script", "few")
        output = Path(airflow.end_of("scripted", "script")["output"].removeprefix("file://"))
        assert "['SWORDFISH', '']" in (output / "predictions.csv").read_text()
        for endpoint, job in (("seeing", "step"), ("scripted", "script")):
            logs = airflow.logs(f"batch_endpoint.{endpoint}", job)
            assert "swordfish" not in logs
            assert "hush-hush" not in logs
    finally:
        cluster.kubectl("delete", "secret", "reports", "--ignore-not-found")


def test_canceling_removes_the_pods_of_steps(airflow: ClusterAirflow, cluster: Cluster) -> None:
    airflow.compute("pool")
    sleeping = step("sleep 300", DATA, {"made": "${{parent.outputs.made}}"}, {"data": "${{parent.inputs.data}}"})
    deploy(airflow, "sleeping", pipeline({"sleep": sleeping}, DATA, {"made": ""}), default_compute="pool")
    invoke(airflow, "sleeping", "canceled", data=airflow.inputs("small", 7))
    airflow.eventually(lambda: running(cluster, "canceled", "sleep"))
    assert airflow.rest("POST", "/v1/endpoints/sleeping/jobs/canceled/cancel").status_code == 200
    airflow.eventually(cluster.is_empty)
    job = look(airflow, "sleeping", "canceled")
    assert (job["state"], states(job)) == ("Canceled", {"sleep": "Canceled"})
