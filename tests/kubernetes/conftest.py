"""A real Airflow beside a real cluster: the one KUBECONFIG points to, with a folder that its nodes share with this machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import DAGS, RealAirflow

IMAGE = "BATCH_ENDPOINTS_TEST_IMAGE"
"""An image of the worker that the cluster's nodes have, with scikit-learn, mlflow-skinny and s3fs in it."""
ADMIN = "BATCH_ENDPOINTS_TEST_ADMIN_KUBECONFIG"
"""Who makes the volume, and the trouble; KUBECONFIG's user by default."""
TOOL = "BATCH_ENDPOINTS_TEST_CLUSTER_TOOL"
"""A command with ``kubelet stop|start``, ``kill POD``, ``evict POD`` and ``preempt POD``, for what an API alone cannot do."""
REQUIRED = "BATCH_ENDPOINTS_TEST_CLUSTER_REQUIRED"
"""Not empty: a missing cluster is a failure, not a reason to skip."""
CLAIM = "batch-endpoints-test"


@dataclass
class Cluster:
    """The cluster, looked at and disturbed behind Airflow's back."""

    namespace: str = "default"

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        environment = {**os.environ, "KUBECONFIG": os.environ.get(ADMIN) or os.environ["KUBECONFIG"]}
        done = subprocess.run(
            ["kubectl", "-n", self.namespace, *arguments],
            env=environment, input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        arguments = ["get", "pods", "-o", "json", *(["-l", selector] if selector else [])]
        return list(json.loads(self.kubectl(*arguments))["items"])

    def pods_of(self, job: str, **labels: str) -> list[dict[str, Any]]:
        """Return the pods of a job, by the labels this package gives them."""
        ours = {f"airflow-batch-endpoints/{name}": value for name, value in labels.items()}
        return self.pods(**{"airflow-batch-endpoints/job": job, **ours})

    def running(self, job: str, instance: int | None = None) -> list[str]:
        labels = {} if instance is None else {"instance": str(instance)}
        return [
            pod["metadata"]["name"]
            for pod in self.pods_of(job, **labels)
            if pod["status"]["phase"] == "Running" and "instance" in str(pod["metadata"]["labels"])
            and "deletionTimestamp" not in pod["metadata"]
        ]  # fmt: skip

    def tool(self, *arguments: str) -> None:
        tool = os.environ.get(TOOL)
        if not tool:
            pytest.skip(f"{TOOL} names no tool that can do {arguments[0]} to the cluster's node")
        subprocess.run([tool, *arguments], check=True, capture_output=True)

    def clear(self) -> None:
        """Remove our pods, and then the volume that they keep from going."""
        self.kubectl(
            "delete", "pods", "-l", "app.kubernetes.io/name=airflow-batch-endpoints", "--force", "--grace-period=0"
        )
        for kind in ("pvc", "pv"):
            self.kubectl("delete", kind, CLAIM, "--ignore-not-found")

    def is_empty(self) -> bool:
        return not self.left()

    def left(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods(**{"app.kubernetes.io/name": "airflow-batch-endpoints"})]


@dataclass
class ClusterAirflow(RealAirflow):
    """An Airflow whose jobs run in pods."""

    cluster: Cluster = field(default_factory=Cluster)

    def environment(self) -> dict[str, str]:
        options = {
            "KUBECONFIG": os.environ["KUBECONFIG"],
            "AIRFLOW__BATCH_ENDPOINTS__POD_WATCH_SECONDS": "2",
            "AIRFLOW__BATCH_ENDPOINTS__LEASE_SECONDS": "8",
            "AIRFLOW_CONN_DEAD": _connection("https://127.0.0.1:9"),
            "AIRFLOW_CONN_NONSENSE": json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": "{}"}}),
            "AIRFLOW__BATCH_ENDPOINTS__ALLOWED_INPUT_URIS": f"{self.data.as_uri()}, s3://lake/in",
            "AIRFLOW__BATCH_ENDPOINTS__ALLOWED_OUTPUT_URIS": "s3://lake/out",
            "AIRFLOW__BATCH_ENDPOINTS__ARTIFACT_URI": (self.data / "artifacts").as_uri(),
            "AIRFLOW__BATCH_ENDPOINTS__DEFAULT_OUTPUT_URI": (self.data / "outputs").as_uri(),
        }
        return super().environment() | options

    @property
    def outputs(self) -> Path:
        return self.data / "outputs"

    def compute(self, name: str = "pool", **fields: Any) -> str:
        """Apply a compute whose pods see the shared folder."""
        document = {
            "name": name,
            "type": "kubernetes",
            "image": os.environ[IMAGE],
            "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}, "limits": {"memory": "1Gi"}},
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}],
            "volume_mounts": [{"name": "data", "mountPath": str(self.data)}],
            **fields,
        }
        path = self.home / f"compute-{name}.yml"
        path.write_text(json.dumps(document))
        self.client("apply", "-f", str(path))
        return name

    def start_job(self, endpoint: str, job: str, folder: str, **conf: Any) -> None:
        self.trigger(f"batch_endpoint.{endpoint}", job, {"input": f"{self.data}/{folder}", **conf})

    def end_of(self, endpoint: str, job: str, *states: str, seconds: float = 300) -> dict[str, Any]:
        self.wait(f"batch_endpoint.{endpoint}", job, *(states or ("success",)), seconds=seconds)
        return self.job(endpoint, job)


def _connection(server: str) -> str:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(config)}})


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster, or a reason why there is none."""
    missing = [name for name in ("KUBECONFIG", IMAGE) if not os.environ.get(name)]
    if missing:
        reason = f"no cluster to test on: {' and '.join(missing)} not set"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    if os.environ.get(TOOL):
        # A run that was interrupted may have left the node without its kubelet.
        subprocess.run([os.environ[TOOL], "kubelet", "start"], check=True, capture_output=True)
    return Cluster()


@pytest.fixture(scope="session")
def airflow(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterAirflow]:
    """One Airflow for all tests on the cluster."""
    root = tmp_path_factory.mktemp("cluster")
    data = root / "data"
    for folder in (data, data / "outputs", data / "artifacts"):
        folder.mkdir()
        folder.chmod(0o777)
    for folder in root.parents:
        if folder.owner() == root.owner() and folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    _volume(cluster, data)
    instance = ClusterAirflow(
        home=root / "home",
        allowed_input_uris=data.as_uri(),
        mlflow_tracking_uri=f"sqlite:///{root}/mlflow.db",
        data=data,
        cluster=cluster,
    )
    instance.add_dags(DAGS)
    try:
        instance.start()
        yield instance
        assert not cluster.left(), "no pod is left when no job runs"
    finally:
        instance.stop()
        cluster.clear()


def _volume(cluster: Cluster, folder: Path) -> None:
    """Offer a folder of the node to pods, in the way that restricted pods may use."""
    cluster.clear()  # of what a run has left that was killed
    size = {"storage": "10Gi"}
    cluster.apply(
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": CLAIM},
            "spec": {
                "capacity": size, "accessModes": ["ReadWriteMany"], "storageClassName": "", "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": cluster.namespace, "name": CLAIM},
            },
        },
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM},
            "spec": {
                "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": CLAIM, "resources": {"requests": size},
            },
        },
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while cluster.kubectl("get", "pvc", CLAIM, "-o", "jsonpath={.status.phase}") != "Bound":
        assert time.monotonic() < deadline, "the test volume is not bound"
        time.sleep(0.5)
