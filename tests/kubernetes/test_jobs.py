from __future__ import annotations

from pathlib import Path

import pytest

from tests.kubernetes.conftest import Cluster, ClusterAirflow

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

SLOW = (
    "import os, time\ndef init(): pass\ndef run(b):\n    time.sleep(0.5)\n    return [os.path.basename(p) for p in b]\n"
)


@pytest.fixture(scope="module")
def slow(airflow: ClusterAirflow) -> str:
    airflow.compute("pool")
    airflow.script_endpoint("slow", SLOW, compute="pool", mini_batch_size=1)
    airflow.inputs("many", 40)
    return "slow"


def predictions(job: dict[str, str]) -> bytes:
    return Path(job["output"].removeprefix("file://"), "predictions.csv").read_bytes()


def test_pods_do_what_processes_do(airflow: ClusterAirflow, cluster: Cluster, slow: str) -> None:
    airflow.start_job(slow, "pods", "many", instance_count=3)
    job = airflow.end_of(slow, "pods")
    print(job)
    assert (job["counts"]["listed"], job["counts"]["succeeded"]) == (40, 40)
    assert predictions(job).count(b"\n") == 41
    airflow.eventually(cluster.is_empty, 60)
