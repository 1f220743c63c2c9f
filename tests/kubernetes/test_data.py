"""What goes through pods: real data, object storage, and pods that die at random."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from demo import flights
from tests.kubernetes.conftest import Cluster, ClusterAirflow
from tests.kubernetes.test_jobs import SLOW, assert_whole, begun, predictions

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]

HOST = "BATCH_ENDPOINTS_TEST_HOST"
"""Address under which pods reach servers of this machine."""
ROUNDS = "BATCH_ENDPOINTS_TEST_ROUNDS"
"""How many jobs are disturbed at random; 3 by default."""


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_flights_are_the_same_in_pods(airflow: ClusterAirflow) -> None:
    import mlflow

    flights.write_daily_files(airflow.data / "flights")
    uri = flights.train_and_log(airflow.mlflow_tracking_uri, airflow.home / "models")
    folder = airflow.data / "documents" / "flights"
    folder.mkdir(parents=True)
    shutil.copytree(mlflow.artifacts.download_artifacts(uri), folder / "model")
    airflow.compute("pool")
    (folder / "endpoint.yml").write_text("name: flights\n")
    for name in ("local", "pool"):
        deployment = {
            "name": name, "endpoint_name": "flights", "type": "model", "compute": name,
            "model": {"path": "model", "type": "mlflow_model"}, "settings": {"error_threshold": 0},
        }  # fmt: skip
        (folder / f"{name}.yml").write_text(json.dumps(deployment))
    airflow.cli(
        "apply", *(part for name in ("endpoint", "local", "pool") for part in ("-f", str(folder / f"{name}.yml")))
    )
    jobs = {}
    # Airflow's own user and that of the pods write here.
    (airflow.outputs / "flights").mkdir()
    (airflow.outputs / "flights").chmod(0o777)
    for name in ("local", "pool"):
        airflow.start_job("flights", name, "flights", deployment=name, instance_count=3)
        jobs[name] = airflow.end_of("flights", name, seconds=600)
    assert jobs["pool"]["counts"]["rows"] == 336_776
    assert predictions(jobs["pool"]) == predictions(jobs["local"])


@pytest.fixture(scope="module")
def dying(airflow: ClusterAirflow) -> str:
    airflow.compute("pool")
    airflow.script_endpoint("dying", SLOW, compute="pool", mini_batch_size=1)
    airflow.inputs("many", 40)
    return "dying"


@pytest.mark.parametrize("number", range(int(os.environ.get(ROUNDS, "3"))))
def test_pods_die_at_random(airflow: ClusterAirflow, cluster: Cluster, dying: str, number: int) -> None:
    chance, name = random.Random(number), f"round-{number}"
    airflow.start_job(dying, name, "many", instance_count=3)
    begun(airflow, dying, name, commits=2)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(chance.uniform(2, 5))
        running = [pod for instance in range(3) for pod in cluster.running(name, instance)]
        if running:
            grace = chance.choice([["--grace-period=0", "--force"], ["--grace-period=10"]])
            cluster.kubectl("delete", "pod", chance.choice(running), "--wait=false", "--ignore-not-found", *grace)
    assert_whole(airflow.end_of(dying, name, seconds=600))
    airflow.eventually(cluster.is_empty)


@pytest.mark.parametrize("whose", ["compute", "datastore"])
def test_object_storage_with_the_secret_of_the_compute_or_the_data_store(
    airflow: ClusterAirflow, cluster: Cluster, whose: str
) -> None:
    """moto is no referee of conditional puts, so one instance does the work; races are tested on storage that is one."""
    host = os.environ.get(HOST)
    if not host:
        pytest.skip(f"{HOST} is not set: pods would not reach the S3 server of this test")
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        credentials = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "hush-hush",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        secret = {**credentials, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "object-storage"}, "stringData": secret}
        )
        bucket = s3fs.S3FileSystem(
            key="testing", secret="hush-hush", endpoint_url=f"http://127.0.0.1:{port}", skip_instance_cache=True
        )
        bucket.makedirs("lake", exist_ok=True)  # what moto holds is this process's, whatever the server
        for number in range(5):
            bucket.pipe(f"lake/in/{number:03}.csv", b"x\n")
        name = f"cloud-of-{whose}"
        airflow.compute(
            name, **({"env_from": [{"secretRef": {"name": "object-storage"}}]} if whose == "compute" else {})
        )
        documents = airflow.script_endpoint(name, SLOW, compute=name, mini_batch_size=2)
        lake = "s3://lake"
        if whose == "datastore":
            store = {"name": "lake", "type": "uri", "uri": lake, "secret_name": "object-storage"}
            (documents / "store.yml").write_text(json.dumps(store))
            airflow.cli("apply", "-f", str(documents / "store.yml"))
            lake = "azureml://datastores/lake/paths"
        conf: dict[str, Any] = {"input": f"{lake}/in", "output": f"{lake}/out/{whose}"}
        airflow.trigger(f"batch_endpoint.{name}", "one", conf)
        job = airflow.end_of(name, "one")
        assert (job["input"], job["output"]) == ("s3://lake/in", f"s3://lake/out/{whose}")
        assert job["counts"]["succeeded"] == 5
        assert bucket.cat(f"lake/out/{whose}/predictions.csv").count(b"\n") == 6
        assert "hush-hush" not in airflow.logs(f"batch_endpoint.{name}", "one")
    finally:
        server.stop()
        cluster.kubectl("delete", "secret", "object-storage", "--ignore-not-found")


def test_a_dry_run_shows_the_pods_and_starts_nothing(airflow: ClusterAirflow, cluster: Cluster, tmp_path: Path) -> None:
    airflow.compute("pool")
    airflow.script_endpoint("dry", SLOW, compute="pool")
    shown = airflow.cli(
        "invoke", "dry", "--input", str(airflow.data / "many"), "--dry-run", "--job-name", "never"
    ).stdout
    assert shown.count("kind: Pod") == 3
    assert airflow.runs("batch_endpoint.dry") == set()
    # The API server takes them as they are.
    pods = shown.split("---\n")[1:]
    for number, text in enumerate(pods):
        path = tmp_path / f"{number}.yml"
        path.write_text(text)
        cluster.kubectl("create", "--dry-run=server", "-f", str(path))
