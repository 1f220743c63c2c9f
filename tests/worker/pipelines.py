"""Pipeline jobs run by the real worker processes, without Airflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREPARE = """
import argparse, pathlib, statistics
parser = argparse.ArgumentParser()
parser.add_argument("--data"); parser.add_argument("--scale", type=float)
parser.add_argument("--prepared"); parser.add_argument("--center")
options = parser.parse_args()
rows = {path.name: [float(line) for line in path.read_text().split()] for path in sorted(pathlib.Path(options.data).glob("*.csv"))}
center = statistics.fmean(value for values in rows.values() for value in values)
pathlib.Path(options.center).write_text(repr(center))
for name, values in rows.items():
    pathlib.Path(options.prepared, name).write_text("".join(f"{(value - center) * options.scale!r}\\n" for value in values))
print("center is", center)
"""
SCORE = """
import pathlib, sys
prepared, center, scores = sys.argv[1:]
center = float(pathlib.Path(center).read_text())
lines = [f"{path.name},{float(line) + center!r}" for path in sorted(pathlib.Path(prepared).glob("*.csv")) for line in path.open()]
pathlib.Path(scores).write_text("\\n".join(lines))
"""
DATA = {"a.csv": "1\n2\n", "b.csv": "4\n", "_hidden.csv": "100\n"}


@dataclass
class Pipeline:
    """One pipeline job in a folder of its own."""

    folder: Path
    name: str = "job-1"
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    graph: list[dict[str, Any]] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    output_uri: str = ""
    log: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    """Of ``publish``."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output_uri = self.output_uri or self.output.as_uri()

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def code(self, **files: str) -> str:
        folder = self.folder / "code"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / f"{name}.py").write_text(content)
        return folder.as_uri()

    def step(self, step: str, command: str | None, **fields: Any) -> Pipeline:
        self.graph.append({"name": step, "command": command, **fields})
        return self

    def specification(self) -> dict[str, Any]:
        return {
            "type": "pipeline", "endpoint": "e", "deployment": "d", "job": self.name, "input_uri": "",
            "output_uri": self.output_uri, "inputs": self.inputs, "outputs": self.outputs, "graph": self.graph, **self.spec,
        }  # fmt: skip

    def start(self, command: str, *arguments: str, submission: str = "0") -> subprocess.Popen[str]:
        options = ["--submission", submission, *arguments]
        if command != "plan" or arguments:
            options += ["--output-uri", self.output_uri, "--job", self.name]
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_batch_endpoints.worker", command, *options],
            env={
                **os.environ,
                "BATCH_ENDPOINTS_JOB_SPEC": json.dumps(self.specification()),
                "BATCH_ENDPOINTS_RESULT": str(self.folder / "result.json"),
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def do(self, command: str, *arguments: str, code: int = 0, submission: str = "0") -> dict[str, Any]:
        process = self.start(command, *arguments, submission=submission)
        self.log, _ = process.communicate(timeout=120)
        assert process.returncode == code, self.log
        assert "Traceback (most recent call last)" not in self.log or code == 2, self.log
        return dict(json.loads((self.folder / "result.json").read_text()))

    def do_step(self, step: str, code: int = 0, submission: str = "0") -> dict[str, Any]:
        return self.do("step", "--step", step, code=code, submission=submission)

    def run(self) -> dict[str, Any]:
        self.do("plan")
        for step in self.graph:
            self.do_step(step["name"])
        self.result = self.do("publish")
        return self.result

    def done(self, step: str) -> dict[str, Any]:
        return dict(json.loads((self.output / "_batch/steps" / step / "done.json").read_text()))

    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.output / "manifest.json").read_text()))

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()

    def failing(self, step: str, code: int = 2) -> str:
        self.do("plan")
        error = self.do_step(step, code=code)["error"]
        return str(error["message"])


def two_steps(pipeline: Pipeline, data: str, scale: float = 2.0) -> Pipeline:
    """Center and scale numbers; then undo the one and keep the other."""
    code = pipeline.code(prepare=PREPARE, score=SCORE)
    pipeline.inputs = {"data": data, "scale": scale}
    pipeline.step(
        "prepare",
        "python prepare.py --data ${{inputs.data}} --scale ${{inputs.scale}} --prepared ${{outputs.prepared}} "
        "--center ${{outputs.center}}",
        code_uri=code,
        inputs={"data": {"type": "uri_folder", "value": data}, "scale": {"type": "number", "value": scale}},
        outputs={"prepared": {"type": "uri_folder"}, "center": {"type": "uri_file"}},
    )
    pipeline.step(
        "score",
        "python score.py ${{inputs.prepared}} ${{inputs.center}} ${{outputs.scores}}",
        code_uri=code,
        inputs={
            "prepared": {"type": "uri_folder", "source": {"step": "prepare", "output": "prepared"}},
            "center": {"type": "uri_file", "source": {"step": "prepare", "output": "center"}},
        },
        outputs={"scores": {"type": "uri_file"}},
    )
    pipeline.outputs = {
        "scores": {
            "made_by": {"step": "score", "output": "scores"},
            "type": "uri_file",
            "uri": f"{pipeline.output_uri}/scores.csv",
        },
        "prepared": {
            "made_by": {"step": "prepare", "output": "prepared"},
            "type": "uri_folder",
            "uri": f"{pipeline.output_uri}/prepared",
        },
    }
    return pipeline


def by_hand(folder: Path, data: Path, scale: float = 2.0) -> dict[str, bytes]:
    """The same two steps without us."""
    prepared, center, scores = folder / "prepared", folder / "center", folder / "scores"
    prepared.mkdir(parents=True)
    for source, *arguments in (
        (PREPARE, "--data", data, "--scale", scale, "--prepared", prepared, "--center", center),
        (SCORE, prepared, center, scores),
    ):
        subprocess.run([sys.executable, "-c", source, *map(str, arguments)], check=True, capture_output=True)
    return {
        "scores.csv": scores.read_bytes(),
        **{f"prepared/{path.name}": path.read_bytes() for path in prepared.iterdir()},
    }


def published(pipeline: Pipeline) -> dict[str, bytes]:
    return {file["name"]: (pipeline.output / file["name"]).read_bytes() for file in pipeline.manifest()["files"]}
