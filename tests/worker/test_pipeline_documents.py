"""From Azure ML's documents to published outputs: applied, resolved, and run by the real worker, without Airflow."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.loading import load, loads
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.registry.staging import stage
from airflow_batch_endpoints.registry.store import MemoryStore
from tests.worker.pipelines import Pipeline

HOSTILE = """it's "so" $(touch PWNED) `touch PWNED`; touch PWNED # ${{inputs.data}} $HOME \\n"""
PREPARE = """
import pathlib, sys
data, prepared, note = sys.argv[1:4]
for path in pathlib.Path(data).glob("*.csv"):
    (pathlib.Path(prepared) / path.name).write_text(str(2 * int(path.read_text())))
pathlib.Path(prepared, "note.txt").write_text(" ".join([note, *sys.argv[4:]]))
"""
SCORE = """
def init():
    pass


def run(mini_batch):
    return [int(open(path).read()) + ADDED for path in mini_batch if path.endswith(".csv")] + [
        open(path).read() for path in mini_batch if path.endswith(".txt")
    ]
"""
PIPELINE = {
    "type": "pipeline",
    "inputs": {
        "data": {"type": "uri_folder"},
        "note": {"type": "string", "default": "nothing"},
        "more": {"type": "integer", "optional": True},
    },
    "outputs": {"report": {"type": "uri_folder"}, "scores": {"type": "uri_folder"}},
    "jobs": {
        "prepare": {
            "type": "command",
            "component": "components/prepare.yml",
            "inputs": {
                "data": "${{parent.inputs.data}}",
                "note": "${{parent.inputs.note}}",
                "more": "${{parent.inputs.more}}",
            },
        },
        "inner": {
            "type": "pipeline",
            "component": "components/inner.yml",
            "inputs": {"data": "${{parent.jobs.prepare.outputs.prepared}}"},
            "outputs": {"scores": "${{parent.outputs.scores}}"},
        },
        "report": {
            "type": "command",
            "command": "cat ${{inputs.scores}}/*.csv | sort > ${{outputs.report}}/sorted.txt",
            "inputs": {"scores": "${{parent.jobs.inner.outputs.scores}}"},
            "outputs": {"report": "${{parent.outputs.report}}"},
        },
    },
}
COMPONENTS = {
    "prepare": {
        "type": "command",
        "code": "../code",
        "command": "python prepare.py ${{inputs.data}} ${{outputs.prepared}} ${{inputs.note}} $[[--more ${{inputs.more}}]]",
        "inputs": {
            "data": {"type": "uri_folder"},
            "note": {"type": "string"},
            "more": {"type": "integer", "optional": True},
        },
        "outputs": {"prepared": {"type": "uri_folder"}},
    },
    "inner": {
        "type": "pipeline",
        "inputs": {"data": {"type": "uri_folder"}},
        "outputs": {"scores": {"type": "uri_folder"}},
        "jobs": {
            "score": {
                "type": "parallel",
                "inputs": {"data": "${{parent.inputs.data}}"},
                "outputs": {"scores": "${{parent.outputs.scores}}"},
                "input_data": "${{inputs.data}}",
                "mini_batch_size": "1",
                "task": {
                    "type": "run_function",
                    "code": "../code",
                    "entry_script": "score.py",
                    "append_row_to": "${{outputs.scores}}",
                },
            }
        },
    },
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    for name, value in {
        "ARTIFACT_URI": f"{tmp_path}/artifacts",
        "DEFAULT_OUTPUT_URI": f"{tmp_path}/jobs",
        "ALLOWED_INPUT_URIS": f"{tmp_path}/data",
    }.items():
        monkeypatch.setenv(f"AIRFLOW__BATCH_ENDPOINTS__{name}", value)
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"{number}.csv").write_text(str(number))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "prepare.py").write_text(PREPARE)
    (tmp_path / "code" / "score.py").write_text(SCORE.replace("ADDED", "100"))
    (tmp_path / "components").mkdir()
    for name, component in COMPONENTS.items():
        (tmp_path / "components" / f"{name}.yml").write_text(yaml.safe_dump(component))
    (tmp_path / "pipeline.yml").write_text(yaml.safe_dump(PIPELINE))
    (tmp_path / "deployment.yml").write_text("name: d\nendpoint_name: e\ntype: pipeline\ncomponent: pipeline.yml\n")
    found = Pipeline(tmp_path / "job")
    yield found
    found.end()


def test_documents_become_published_outputs(pipeline: Pipeline, tmp_path: Path) -> None:
    registry = Registry(MemoryStore())
    document = stage(load(tmp_path / "deployment.yml"), tmp_path, Settings().artifact_uri)
    registry.apply([loads("name: e", source="e"), document], set_default=True)
    request = request_from_conf("e", {"input": str(tmp_path / "data"), "inputs": {"note": HOSTILE, "more": "7"}})
    spec = resolve(registry, request, job=pipeline.name, invoker="ann", settings=Settings())
    assert isinstance(spec, PipelineSpec)
    pipeline.output_uri, pipeline.spec = spec.output_uri, spec.model_dump(mode="json")
    pipeline.do("plan")
    for step in spec.graph:
        if step.mini_batches is None:
            pipeline.do_step(step.name)
        else:
            arguments = ("--step", step.name)
            pipeline.do("plan", *arguments)
            pipeline.do("score", *arguments, "--instance", "0")
            pipeline.do("publish", *arguments)
    pipeline.do("publish")
    folder = tmp_path / "jobs" / "e" / pipeline.name
    (scores,) = (folder / "scores").glob("*.csv")
    with scores.open(newline="") as file:
        values = {row[-1] for row in csv.reader(file)}
    # Values go through the shell, files and mini-batches unchanged, and none is read as a command.
    assert {"100", "102", "104", f"{HOSTILE} --more 7"} <= values
    assert "104" in (folder / "report" / "sorted.txt").read_text()
    assert not list(tmp_path.rglob("PWNED"))
