"""Pipelines over REST: what a form is made of, what a job would be, and how its steps are told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines import TWO_STEPS
from tests.server.conftest import ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SAY = """
import json, sys
from datetime import UTC, datetime, timedelta
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
run_id, told = sys.argv[1], json.loads(sys.argv[2])
begun = datetime.now(UTC) - timedelta(seconds=90)
with create_session() as session:
    run = session.query(DagRun).filter(DagRun.run_id == run_id).one()
    run.state, run.start_date = told.get("state", "running"), begun
    for task, state in told["tasks"].items():
        ti = session.query(TaskInstance).filter(TaskInstance.run_id == run_id, TaskInstance.task_id == task).one()
        ti.state = state
        if state in ("success", "failed", "running"):
            ti.try_number, ti.start_date = 1, begun
            ti.end_date = None if state == "running" else begun + timedelta(seconds=60)
    for task, key, value in told["said"]:
        XComModel.set(key=key, value=value, dag_id=run.dag_id, task_id=task, run_id=run_id, session=session)
"""


@pytest.fixture(scope="module")
def piped(server: ApiServer) -> str:
    component = json.loads(json.dumps(TWO_STEPS))
    component["inputs"]["times"] |= {"description": "how often", "enum": [1, 2]}
    documents = [
        {"name": "piped"},
        {"name": "steps", "endpoint_name": "piped", "type": "pipeline", "component": component},
    ]
    parts = [("document", (f"{n}.yml", json.dumps(document).encode())) for n, document in enumerate(documents)]
    answer = server.rest("POST", "/v1/apply", files=parts, data={"set_default": "true"})
    assert answer.status_code == 200, answer.text
    server.serialize("piped")
    return "piped"


def properties(server: ApiServer, **more: Any) -> dict[str, Any]:
    data = {"data": {"JobInputType": "UriFolder", "Uri": server.inputs}}
    return {"properties": {"InputData": data, **more}}


def test_what_a_form_is_made_of(server: ApiServer, piped: str) -> None:
    deployment, *_ = server.rest("GET", f"/v1/endpoints/{piped}").json()["deployments"][::-1]
    assert (deployment["type"], deployment["inputs"]["data"]["required"]) == ("pipeline", True)
    assert deployment["inputs"]["times"] == {
        "type": "integer", "required": False, "default": 2, "description": "how often", "enum": [1, 2],
    }  # fmt: skip
    assert list(deployment["outputs"]) == ["result"]


def test_a_job_as_it_would_be(server: ApiServer, piped: str) -> None:
    found = server.rest("POST", f"/v1/endpoints/{piped}/dry-run", json=properties(server)).json()
    assert [step["name"] for step in found["job"]["graph"]] == ["count", "repeat"]
    assert found["job"]["inputs"] == {"data": server.inputs, "times": 2}
    assert found["pods"] == []


def test_the_pods_of_a_job(server: ApiServer, piped: str) -> None:
    folder = str(server.data.parent)
    compute = {
        "name": "pool", "type": "kubernetes", "image": "worker:1",
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "volume_mounts": [{"name": "data", "mountPath": folder}],
    }  # fmt: skip
    deployment = {
        "name": "in-pods", "endpoint_name": piped, "type": "pipeline", "component": TWO_STEPS,
        "settings": {"default_compute": "pool"},
    }  # fmt: skip
    parts = [("document", (f"{n}.yml", json.dumps(one).encode())) for n, one in enumerate((compute, deployment))]
    assert server.rest("POST", "/v1/apply", files=parts).status_code == 200
    headers = {"azureml-model-deployment": "in-pods"}
    path = f"/v1/endpoints/{piped}/dry-run"
    pods = server.rest("POST", path, json=properties(server), headers=headers).json()["pods"]
    labels = [pod["metadata"]["labels"] for pod in pods]
    assert [(found["app.kubernetes.io/component"], found.get("airflow-batch-endpoints/step")) for found in labels] == [
        ("plan", None), ("step", "count"), ("step", "repeat"), ("publish", None),
    ]  # fmt: skip


def test_the_steps_of_a_job(server: ApiServer, piped: str) -> None:
    path = f"/v1/endpoints/{piped}/jobs"
    assert server.rest("POST", path, json=properties(server, name="told")).status_code == 201
    assert server.rest("GET", f"{path}/told").json()["steps"] == []
    group, launch = "deployment-steps", {"compute": {"name": "pool", "type": "kubernetes"}}
    reused = {"job": "earlier", "step": "count"}
    job = {
        "type": "pipeline", "deployment": "steps", "output_uri": "file:///out", "launch": launch,
        "steps": {"count": launch, "repeat": launch},
    }  # fmt: skip
    steps = [
        {"name": "count", "after": [], "parallel": False},
        {"name": "repeat", "after": ["count"], "parallel": False},
    ]
    outputs = {"result": {"type": "uri_folder", "uri": "file:///out/result"}, "odd": 1}
    said = [
        ["plan", "job", job],
        ["plan", "details", {"steps": steps, "inputs": {"times": 2}, "outputs": outputs}],
        [
            f"{group}.count",
            "summary",
            {"state": "Completed", "reused_from": reused, "outputs": {"counted": "file:///c"}},
        ],
        [f"{group}.repeat", "compute", "spare"],
    ]
    tasks = {"plan": "success", "score": "skipped", f"{group}.count": "success", f"{group}.repeat": "running"}
    server.python(SAY, "told", json.dumps({"tasks": tasks, "said": said}))
    found = server.rest("GET", f"{path}/told").json()
    assert (found["state"], found["deployment_type"], found["inputs"]) == ("Running", "pipeline", {"times": 2})
    assert found["outputs"] == {"result": {"type": "uri_folder", "uri": "file:///out/result"}}
    count, repeat = found["steps"]
    assert (count["state"], count["reused_from"], count["seconds"]) == ("Completed", reused, 60)
    assert (count["outputs"], count["compute"], count["task"]) == ({"counted": "file:///c"}, "pool", f"{group}.count")
    assert (repeat["state"], repeat["after"], repeat["compute"]) == ("Running", ["count"], "spare")
    assert repeat["seconds"] >= 90

    # A step that fails, and whatever somebody may have written where steps speak.
    said = [
        [f"{group}.repeat", "error", "no memory"],
        [f"{group}.count", "summary", {"reused_from": [], "outputs": "x"}],
    ]
    said += [["publish", "error", "step repeat failed: no memory"]]
    tasks = {f"{group}.repeat": "failed", "publish": "failed"}
    server.python(SAY, "told", json.dumps({"state": "failed", "tasks": tasks, "said": said}))
    found = server.rest("GET", f"{path}/told").json()
    assert (found["state"], found["error"]) == ("Failed", "step repeat failed: no memory")
    assert [step["state"] for step in found["steps"]] == ["Completed", "Failed"]
    assert found["steps"][1]["error"] == "no memory"
    assert found["steps"][0]["reused_from"] is None
    table = server.client("jobs", "show", piped, "told").stdout
    assert "no memory" in table
    assert "count" in table


def test_outputs_that_lie_elsewhere(server: ApiServer, piped: str, tmp_path: Path) -> None:
    """They are offered where plan says they are: not where a manifest alone does, nor where jobs may not write."""
    path, outputs = f"/v1/endpoints/{piped}/jobs/scattered", server.home / "batch_endpoints" / "outputs"
    folder, elsewhere = outputs / "piped" / "scattered", outputs / "elsewhere"
    assert server.rest("POST", path.rpartition("/")[0], json=properties(server, name="scattered")).status_code == 201
    contents = {
        folder / "here" / "a.txt": "a", elsewhere / "made" / "b.csv": "x\nb\n", elsewhere / "file.bin": "c",
        elsewhere / "others" / "d.txt": "d", tmp_path / "outside" / "e.txt": "e",
    }  # fmt: skip
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    places = {
        "here": (folder / "here", False, "a.txt"),
        "made": (elsewhere / "made", False, "b.csv"),
        "file": (elsewhere / "file.bin", True, "file.bin"),
        "outside": (tmp_path / "outside", False, "e.txt"),
    }
    planned = {name: {"type": "uri_folder", "uri": uri.as_uri()} for name, (uri, _, _) in places.items()}
    forged = {"forged": (elsewhere / "others", False, "d.txt")}
    manifest = {
        "job": "scattered",
        "files": [{"name": "here/a.txt"}],
        "outputs": {
            name: {"type": "uri_folder", "uri": uri.as_uri(), "is_file": is_file, "files": [{"name": file, "bytes": 1}]}
            for name, (uri, is_file, file) in {**places, **forged}.items()
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    job = {"type": "pipeline", "deployment": "steps", "output_uri": folder.as_uri(), "launch": {}, "steps": {}}
    said = [["plan", "job", job], ["plan", "details", {"steps": [], "inputs": {}, "outputs": planned}]]
    server.python(SAY, "scattered", json.dumps({"state": "success", "tasks": {"plan": "success"}, "said": said}))

    listed = [file["name"] for file in server.rest("GET", f"{path}/outputs").json()["files"]]
    assert listed == ["here/a.txt", "made/b.csv", "file/file.bin", "outside/e.txt"]
    for name, content in {"here/a.txt": "a", "made/b.csv": "x\nb\n", "file/file.bin": "c"}.items():
        assert server.rest("GET", f"{path}/outputs/{name}").text == content
    assert server.rest("GET", f"{path}/preview").json()["rows"] == [["b"]]
    assert server.rest("GET", f"{path}/outputs/forged/d.txt").status_code == 404
    refused = server.rest("GET", f"{path}/outputs/outside/e.txt")
    assert refused.status_code in (400, 403)
    assert "allowed_output_uris" in refused.json()["detail"]
