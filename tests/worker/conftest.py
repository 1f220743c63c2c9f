"""Jobs run by the real worker processes, without Airflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ECHO = """
import os
def init():
    pass
def run(mini_batch):
    return [os.path.basename(path) + ":" + open(path).read().strip() for path in mini_batch]
"""


@dataclass
class Job:
    """One job in a folder of its own."""

    folder: Path
    name: str = "job-1"
    spec: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def files(self, contents: dict[str, str]) -> Job:
        for name, content in contents.items():
            path = self.folder / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return self

    def script(self, source: str) -> Job:
        (self.folder / "code").mkdir(parents=True, exist_ok=True)
        (self.folder / "code" / "score.py").write_text(source)
        self.spec |= {"code_uri": (self.folder / "code").as_uri(), "scoring_script": "score.py"}
        (self.folder / "model").mkdir(exist_ok=True)
        self.spec.setdefault("model_uri", (self.folder / "model").as_uri())
        return self

    def specification(self, settings: dict[str, Any]) -> str:
        defaults = {
            "endpoint": "e", "deployment": "d", "deployment_revision": "r", "job": self.name,
            "input_uri": (self.folder / "in").as_uri(), "output_uri": self.output.as_uri(),
        }  # fmt: skip
        return json.dumps({**defaults, **self.spec, "settings": settings})

    def start(
        self, command: str, *arguments: str, wrapper: Sequence[str] = (), **settings: Any
    ) -> subprocess.Popen[str]:
        options = ["--submission", "0"]
        if command != "plan":
            options += ["--output-uri", self.output.as_uri(), "--job", self.name]
        process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "airflow_batch_endpoints.worker", command, *options, *arguments],
            env={
                **os.environ,
                "BATCH_ENDPOINTS_JOB_SPEC": self.specification(settings),
                "BATCH_ENDPOINTS_RESULT": str(self.folder / f"{command}.json"),
                "BATCH_ENDPOINTS_LEASE_SECONDS": "3",
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def do(self, command: str, *arguments: str, code: int = 0, **settings: Any) -> dict[str, Any]:
        process = self.start(command, *arguments, **settings)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        self.log = output
        return dict(json.loads((self.folder / f"{command}.json").read_text()))

    def run(self, **settings: Any) -> dict[str, Any]:
        """Plan, score on one instance, publish."""
        self.do("plan", **settings)
        self.do("score", "--instance", "0")
        return self.do("publish")

    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.output / "manifest.json").read_text()))

    def predictions(self, name: str = "predictions.csv") -> bytes:
        return (self.output / name).read_bytes()

    def dead_letters(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "dead_letters.jsonl").read_text().splitlines()]

    def slots(self, coordinator: int) -> list[int]:
        """The processes that score for a coordinator: they are forked from its child."""
        return [slot for nursery in children(coordinator) for slot in children(nursery)]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Return a process with all that it has started, itself first."""
    return [pid, *(each for child in children(pid) for each in descendants(child))]


def eventually(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def save(model: Any, folder: Path, **options: Any) -> Path:
    """Save a Python model as MLflow does."""
    import mlflow

    mlflow.pyfunc.save_model(folder, python_model=model, pip_requirements=["mlflow"], **options)
    return folder


@pytest.fixture(scope="session")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that doubles ``x`` and adds the length of ``name``; it refuses negative numbers."""
    import pandas as pd
    from mlflow.models import infer_signature
    from mlflow.pyfunc import PythonModel

    class Model(PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            if (model_input["x"] < 0).any():
                raise ValueError("negative")
            return model_input["x"] * 2 + model_input["name"].str.len()

    example = pd.DataFrame({"x": [1.5], "name": ["a"]})
    return save(
        Model(), tmp_path_factory.mktemp("doubling") / "model", signature=infer_signature(example, pd.Series([4.0]))
    )


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def make(name: str = "job", **spec: Any) -> Job:
        job = Job(tmp_path / name, spec=spec)
        job.folder.mkdir()
        jobs.append(job)
        return job

    yield make
    for job in jobs:
        for process in job.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout:
                process.stdout.close()


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """Six small files and a script that says what is in them."""
    return make_job().files({f"{number}.csv": f"{number}\n" for number in range(6)}).script(ECHO)
