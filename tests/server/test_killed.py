"""An API server that is killed while it starts a job: what was promised holds, whatever the client heard."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.clients import body
from tests.server import postgres
from tests.server.conftest import ApiServer, running

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(900)]
# A plugin of this test's Airflow: the process kills itself at a point that a file names, once.
FAULT = """
import os, signal
from pathlib import Path
from airflow.plugins_manager import AirflowPlugin

def deadly(function, point):
    def called(*arguments, **named):
        result = function(*arguments, **named)
        file = Path({folder!r}) / point
        if file.exists():
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called

class Fault(AirflowPlugin):
    name = "fault"

    @classmethod
    def on_load(cls, *arguments, **named):
        from airflow_batch_endpoints.runs import control
        from airflow_batch_endpoints.services.jobs import Jobs
        Jobs.invoke = deadly(Jobs.invoke, "committed")
        control._create_run = deadly(control._create_run, "created")
"""
RUNS = """
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select
with create_session() as session:
    print(*session.scalars(select(DagRun.run_id)), sep="\\n")
"""


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    root = tmp_path_factory.mktemp("mortal")
    plugins = root / "home" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "fault.py").write_text(FAULT.replace("{folder!r}", repr(str(root))))
    with postgres.run() as database, running(root, database) as server:
        server.endpoint("mortal")
        yield server


@pytest.mark.parametrize(
    ("point", "by"), [("committed", "name"), ("committed", "request-id"), ("created", "request-id")]
)
def test_a_retry_gets_the_same_job(mortal: ApiServer, point: str, by: str) -> None:
    server, path = mortal, "/v1/endpoints/mortal/jobs"
    name = f"{by}-{point}"
    request = {
        "json": body(server.inputs, **({"name": name} if by == "name" else {})),
        "headers": {"repeatability_request-id": name} if by == "request-id" else {},
        "role": "user",
    }
    server.token("user")
    before = server.python(RUNS).stdout.split()
    fault = server.data.parent / point
    fault.touch()
    with pytest.raises(httpx.RemoteProtocolError):
        server.rest("POST", path, **request)
    assert not fault.exists()
    started = set(server.python(RUNS).stdout.split()) - set(before)
    # Killed before the commit there is nothing, killed after it there is the job.
    assert len(started) == (point == "committed")
    server.start()
    again = server.rest("POST", path, **request)
    assert again.status_code == (200 if point == "committed" else 201), again.text
    runs = set(server.python(RUNS).stdout.split()) - set(before)
    assert runs == {again.json()["name"]}
    assert server.rest("POST", path, **request).json()["name"] == again.json()["name"]
    told = server.api("GET", f"eventLogs?limit=50&event=batch_endpoints.job.invoke&run_id={again.json()['name']}")
    assert [json.loads(entry["extra"])["channel"] for entry in told["event_logs"]] == ["rest"]
