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
    folder = airflow.data / "documents" / endpoint
    folder.mkdir(parents=True, exist_ok=True)
    documents = {
        "endpoint": {"name": endpoint},
        name: {
            "name": name, "endpoint_name": endpoint, "type": "pipeline", "component": component, "settings": settings,
        },
    }  # fmt: skip
    for file, document in documents.items():
        (folder / f"{file}.json").write_text(json.dumps(document))
    files = [argument for file in documents for argument in ("-f", str(folder / f"{file}.json"))]
    airflow.cli("apply", *files, "--set-default")


def invoke(airflow: RealAirflow, endpoint: str, job: str, **inputs: Any) -> None:
    """Start a job over REST; data are paths below the data folder."""
    given: dict[str, Any] = {
        name: {"JobInputType": "UriFolder", "Uri": value.as_uri()}
        if isinstance(value, Path)
        else {"JobInputType": "Literal", "Value": value}
        for name, value in inputs.items()
    }
    airflow.eventually(lambda: airflow.has_dag(f"batch_endpoint.{endpoint}"))
    answer = airflow.rest(
        "POST", f"/v1/endpoints/{endpoint}/jobs", json={"properties": {"InputData": given, "name": job}}
    )
    assert answer.status_code == 201, answer.text


def finish(airflow: RealAirflow, endpoint: str, job: str, *states: str) -> dict[str, Any]:
    airflow.wait(f"batch_endpoint.{endpoint}", job, *states or ("success",))
    return airflow.job(endpoint, job)


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
