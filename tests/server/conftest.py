"""An Airflow API server alone, with endpoints whose DAGs are there: jobs can be started, and stay queued."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_instance import DAG_FILE
from tests.clients import WithUsers, upload
from tests.server import postgres

ECHO = "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) for p in b]\n"
SERIALIZE = """
import json, sys
from airflow.models import Variable
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow_batch_endpoints.dags.endpoint_dag import endpoint_dag
with create_session() as session:
    session.merge(DagBundleModel(name="dags-folder"))
    session.flush()
    for name in sys.argv[2:]:
        index = json.loads(Variable.get("batch_endpoints.index"))
        dag = endpoint_dag(name, index.get(name, {}))
        dag.fileloc, dag.relative_fileloc = sys.argv[1], "batch_endpoints.py"
        dag = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("dags-folder", None, [dag], session=session)
        SerializedDagModel.write_dag(dag, "dags-folder", session=session)
"""


@dataclass
class ApiServer(WithUsers):
    """The API server of an Airflow that has no other component."""

    database: str | None = None
    address: str | None = None
    """Where users find it, if that is not where it listens."""
    options: dict[str, str] = field(default_factory=dict)
    """More of its environment."""
    proxy: Any = None
    """What stands before it, and is told where it listens."""

    @property
    def url(self) -> str:
        return self.address or super().url

    def environment(self) -> dict[str, str]:
        database = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self.database,
        }
        azure = {
            "AIRFLOW__BATCH_ENDPOINTS__AZURE_COMPAT": "True",
            "AIRFLOW__BATCH_ENDPOINTS__AZURE_DATASTORES": f"data={self.data.as_uri()}",
        }
        set_up = {name: value for name, value in database.items() if value}
        return super().environment() | azure | set_up | self.options

    def start(self) -> None:
        self.write_passwords()
        if self.proxy is not None:
            self.proxy.backend = f"http://127.0.0.1:{self.port}"
        self.run("db", "migrate")
        self.start_component("api-server")
        deadline = time.monotonic() + 300
        while not self.is_healthy():
            assert time.monotonic() < deadline, (self.home / "api-server.log").read_text()[-3000:]
            time.sleep(0.3)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/version", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``airflow``."""
        return self.completed(self.command(*arguments), code)

    def python(self, source: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run Python as one of this Airflow's processes."""
        return self.completed([sys.executable, "-c", source, *arguments], code)

    def endpoint(self, name: str) -> str:
        """Apply an endpoint, and have its DAG."""
        answer = self.rest("POST", "/v1/apply", files=upload(name, ECHO), data={"set_default": "true"})
        assert answer.status_code == 200, answer.text
        self.serialize(name)
        return name

    def serialize(self, *names: str) -> None:
        """Have the DAGs of endpoints, as the DAG processor would make them."""
        file = self.home / "batch_endpoints.py"
        file.write_text(DAG_FILE)
        self.python(SERIALIZE, str(file), *names)

    @property
    def inputs(self) -> str:
        return (self.data / "in").as_uri()


@contextmanager
def running(root: Path, database: str | None = None, **facts: Any) -> Iterator[ApiServer]:
    """Run an API server whose state is below a folder."""
    (root / "data" / "in").mkdir(parents=True)
    (root / "data" / "in" / "0.csv").write_text("0\n")
    server = ApiServer(
        home=root / "home",
        allowed_input_uris=(root / "data").as_uri(),
        mlflow_tracking_uri="",
        database=database,
        data=root / "data",
        **facts,
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One on SQLite, for all tests of the session."""
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One on Postgres."""
    with postgres.run() as database, running(tmp_path_factory.mktemp("postgres"), database) as server:
        yield server
