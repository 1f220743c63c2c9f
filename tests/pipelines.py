"""Pipelines of shell commands, and what is done with them in a real Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.conftest import RealAirflow

DATA: dict[str, Any] = {"data": {"type": "uri_folder"}}
BEFORE: dict[str, Any] = {"before": {"type": "uri_folder"}}
COUNT = "cat ${{inputs.data}}/*.csv | wc -l > ${{outputs.counted}}/lines.txt"
"""Counts the lines of a folder."""
REPEAT = "for i in $(seq ${{inputs.times}}); do cat ${{inputs.counted}}/lines.txt; done > ${{outputs.repeated}}/predictions.csv"

PICKY = """
import os, pathlib, sys
tried = pathlib.Path(sys.argv[sys.argv.index("--marks") + 1], "tried")
def init(): pass
def run(batch):
    if any(path.endswith("003.csv") for path in batch): raise ValueError("no threes")
    if any(path.endswith("001.csv") for path in batch) and not tried.exists():
        tried.touch()
        raise OSError("not yet")
    return [os.path.basename(path) for path in batch]
"""
"""A script that fails with the file 003.csv, and once with 001.csv."""


def step(command: str, inputs: dict[str, Any], outputs: dict[str, str], given: dict[str, Any], **more: Any) -> Any:
    """Return a step, written out."""
    folders = " ".join("${{outputs." + name + "}}" for name in outputs)
    component = {
        "type": "command",
        "command": f"mkdir -p {folders} && {command}",
        "inputs": inputs,
        "outputs": {name: {"type": "uri_folder"} for name in outputs},
    }
    return {
        "type": "command",
        "component": component,
        "inputs": given,
        "outputs": {name: target for name, target in outputs.items() if target},
        **more,
    }


def pipeline(jobs: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "pipeline",
        "inputs": inputs,
        "outputs": {name: {"type": "uri_folder"} for name in outputs},
        "jobs": jobs,
    }


def deploy(
    airflow: RealAirflow, endpoint: str, component: dict[str, Any], name: str = "steps", **settings: Any
) -> None:
    """Apply an endpoint with a pipeline deployment as its default."""
    apply(
        airflow,
        {"name": endpoint},
        {"name": name, "endpoint_name": endpoint, "type": "pipeline", "component": component, "settings": settings},
    )


def deploy_mini_batches(airflow: RealAirflow, endpoint: str, deployment: str, **settings: Any) -> None:
    """Deploy a pipeline that copies files, scores the copies in mini-batches, and counts the rows."""
    folder = airflow.data / "documents" / endpoint
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "picky.py").write_text(PICKY)
    scoring = {
        "type": "parallel",
        "inputs": {"files": {"type": "uri_folder"}, "marks": {"type": "string"}},
        "outputs": {"rows": {"type": "uri_folder"}},
        "input_data": "${{inputs.files}}",
        "mini_batch_size": "2",
        "resources": {"instance_count": 2},
        "task": {
            "type": "run_function", "code": "./code", "entry_script": "picky.py",
            "program_arguments": "--marks ${{inputs.marks}}", "append_row_to": "${{outputs.rows}}",
        },
        **settings,
    }  # fmt: skip
    jobs = {
        "copy": step("cp ${{inputs.data}}/* ${{outputs.files}}", DATA, {"files": ""}, {"data": "${{parent.inputs.data}}"}),
        "score": {
            "type": "parallel",
            "component": scoring,
            "inputs": {"files": "${{parent.jobs.copy.outputs.files}}", "marks": "${{parent.inputs.marks}}"},
            "outputs": {"rows": "${{parent.outputs.rows}}"},
        },
        "count": step(
            "cat ${{inputs.before}}/predictions.csv | wc -l > ${{outputs.lines}}/lines", BEFORE,
            {"lines": "${{parent.outputs.lines}}"}, {"before": "${{parent.jobs.score.outputs.rows}}"},
        ),
    }  # fmt: skip
    inputs = {**DATA, "marks": {"type": "string"}}
    documents = {
        "endpoint": {"name": endpoint},
        deployment: {
            "name": deployment, "endpoint_name": endpoint, "type": "pipeline",
            "component": pipeline(jobs, inputs, {"rows": "", "lines": ""}),
        },
    }  # fmt: skip
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    files = [part for name in documents for part in ("-f", str(folder / f"{name}.json"))]
    airflow.client("apply", *files, "--set-default")


def apply(airflow: RealAirflow, *documents: dict[str, Any]) -> None:
    """Apply documents, the deployment among them as default. A request costs less than a process of the command line."""
    parts = [("document", (f"{n}.yml", json.dumps(document).encode())) for n, document in enumerate(documents)]
    answer = airflow.rest("POST", "/v1/apply", files=parts, data={"set_default": "true"})
    assert answer.status_code == 200, answer.text


def invoke(airflow: RealAirflow, endpoint: str, job: str, **inputs: Any) -> None:
    """Start a job over REST; data are paths below the data folder, or as REST has them."""
    given = {name: value if isinstance(value, dict) else _input(value) for name, value in inputs.items()}
    airflow.eventually(lambda: airflow.has_dag(f"batch_endpoint.{endpoint}"))
    answer = airflow.rest(
        "POST", f"/v1/endpoints/{endpoint}/jobs", json={"properties": {"InputData": given, "name": job}}
    )
    assert answer.status_code == 201, answer.text


def _input(value: Any) -> dict[str, Any]:
    if isinstance(value, Path):
        return {"JobInputType": "UriFolder", "Uri": value.as_uri()}
    return {"JobInputType": "Literal", "Value": value}


def look(airflow: RealAirflow, endpoint: str, job: str) -> dict[str, Any]:
    """Return a job as it is now."""
    return dict(airflow.rest("GET", f"/v1/endpoints/{endpoint}/jobs/{job}").json())


def finish(airflow: RealAirflow, endpoint: str, job: str, *states: str) -> dict[str, Any]:
    """Wait for the end of a job, and return it."""
    airflow.wait(f"batch_endpoint.{endpoint}", job, *states or ("success",))
    return look(airflow, endpoint, job)


def states(job: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in job["steps"]}


def text(job: dict[str, Any], output: str, file: str) -> str:
    return Path(job["outputs"][output]["uri"].removeprefix("file://"), file).read_text()


TWO_STEPS = pipeline(
    {
        "count": step(
            COUNT, {"data": {"type": "uri_folder"}}, {"counted": ""}, {"data": "${{parent.inputs.data}}"}
        ),
        "repeat": step(
            REPEAT,
            {"counted": {"type": "uri_folder"}, "times": {"type": "integer"}},
            {"repeated": "${{parent.outputs.result}}"},
            {"counted": "${{parent.jobs.count.outputs.counted}}", "times": "${{parent.inputs.times}}"},
        ),
    },
    {"data": {"type": "uri_folder"}, "times": {"type": "integer", "default": 2}},
    {"result": ""},
)  # fmt: skip
