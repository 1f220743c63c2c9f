"""Pipelines whose steps are pods."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from airflow_batch_endpoints.computes.kubernetes.security import weaknesses
from tests.kubernetes.conftest import Cluster, ClusterAirflow
from tests.pipelines import BEFORE, DATA, TWO_STEPS, deploy, finish, invoke, look, pipeline, states, step, text

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
    airflow.eventually(cluster.is_empty, 60)

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
    (pod,) = running(cluster, "lost", "second")
    if trouble == "kill":
        cluster.tool("kill", pod)
    else:
        cluster.kubectl("delete", "pod", pod, "--grace-period=15", "--wait=false")
    job = finish(airflow, endpoint, "lost")
    assert text(job, "made", "x") == "done\n"
    assert {entry["name"]: entry["tries"] for entry in job["steps"]} == {"first": 1, "second": 2}
    assert Path(log, "first").read_text() == "ran\n"
    airflow.eventually(cluster.is_empty, 120)


def test_canceling_removes_the_pods_of_steps(airflow: ClusterAirflow, cluster: Cluster) -> None:
    airflow.compute("pool")
    sleeping = step("sleep 300", DATA, {"made": "${{parent.outputs.made}}"}, {"data": "${{parent.inputs.data}}"})
    deploy(airflow, "sleeping", pipeline({"sleep": sleeping}, DATA, {"made": ""}), default_compute="pool")
    invoke(airflow, "sleeping", "canceled", data=airflow.inputs("small", 7))
    airflow.eventually(lambda: running(cluster, "canceled", "sleep"))
    assert airflow.rest("POST", "/v1/endpoints/sleeping/jobs/canceled/cancel").status_code == 200
    airflow.eventually(cluster.is_empty, 60)
    job = look(airflow, "sleeping", "canceled")
    assert (job["state"], states(job)) == ("Canceled", {"sleep": "Canceled"})
