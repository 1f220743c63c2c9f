"""The pipelines of ``example_dags/churn``: done by hand, and behind endpoints where no step is used again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.conftest import EXAMPLES, RealAirflow
from tests.pipelines import finish, invoke

CHURN = EXAMPLES / "churn"
STEPS = {"training": ("prepare", "train"), "scoring": ("prepare", "score")}
"""The steps of both pipelines, in their order."""
STRENGTH = 2.0
LINGER = 4
"""Seconds in which a step that has written its outputs can still be killed."""
_NOTES = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt")
"""What MLflow notes of when and where a model was saved."""


@dataclass
class ByHand:
    """The customers, and what the same steps make of them without us."""

    folder: Path

    def __post_init__(self) -> None:
        self.customers.mkdir(parents=True)
        rows = [f"{months},{calls},{int(calls > months)}" for months in range(1, 9) for calls in (0, 4, 9)]
        for number, part in enumerate((rows[:12], rows[12:])):
            (self.customers / f"{number}.csv").write_text("\n".join(["months,calls,left", *part, ""]))
        made = {name: self.folder / name for name in ("prepared", "transformations", "model", "trained", "scores")}
        self._run("prepare", data=self.customers, prepared=made["prepared"], fitted=made["transformations"])
        self._run(
            "train", prepared=made["prepared"], strength=STRENGTH, model=made["model"], scores=made["trained"]
        )  # fmt: skip
        self._run("score", prepared=made["prepared"], model=made["model"], score_mode="append", scores=made["scores"])
        self.made: dict[str, dict[str, Path]] = {
            "training": {"transformations": made["transformations"], "model": made["model"], "scores": made["trained"]},
            "scoring": {"scores": made["scores"]},
        }
        """The outputs of both pipelines, by their names."""

    @property
    def customers(self) -> Path:
        return self.folder / "customers"

    def _run(self, component: str, **arguments: object) -> None:
        told = [part for name, value in arguments.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        script = CHURN / "components" / component / "code" / f"{component}.py"
        subprocess.run([sys.executable, str(script), *told], check=True, cwd=self.folder, capture_output=True)

    def inputs(self, pipeline: str) -> dict[str, Any]:
        """Return what a job of a pipeline is given: of the scoring one, the model that was trained by hand."""
        if pipeline == "training":
            return {"customers": self.customers, "strength": STRENGTH}
        models = self.made["training"]
        return {
            "customers": self.customers,
            "transformations": {"JobInputType": "CustomModel", "Uri": models["transformations"].as_uri()},
            "model": {"JobInputType": "MLFlowModel", "Uri": models["model"].as_uri()},
        }


def deploy(airflow: RealAirflow, **settings: Any) -> None:
    """Deploy both pipelines, each behind an endpoint of its name. Their steps do not end at once when they have done their work."""
    folder = airflow.data / "documents" / "churn"
    shutil.copytree(CHURN, folder, dirs_exist_ok=True)
    for path in folder.glob("components/*/*.yml"):
        path.write_text(f"{path.read_text().rstrip()} && sleep {LINGER}\n")
    for name in STEPS:
        documents = {
            "endpoint": {"name": name},
            "deployment": {
                "name": "steps", "endpoint_name": name, "type": "pipeline", "component": f"./{name}-pipeline.yml",
                "settings": {"force_rerun": True, **settings},
            },
        }  # fmt: skip
        for kind, document in documents.items():
            (folder / f"{name}-{kind}.json").write_text(json.dumps(document))
        files = [part for kind in documents for part in ("-f", str(folder / f"{name}-{kind}.json"))]
        airflow.client("apply", *files, "--set-default")


def start(airflow: RealAirflow, hand: ByHand, pipeline: str, job: str) -> None:
    invoke(airflow, pipeline, job, **hand.inputs(pipeline))


def await_work(airflow: RealAirflow, pipeline: str, job: str, step: str) -> None:
    """Wait until the command of a step has written something that is not published yet."""
    folder = airflow.outputs / pipeline / job / "_batch" / "steps" / step
    airflow.eventually(lambda: any(path.is_file() for path in folder.glob("*/*/**/*")))
    assert not (folder / "done.json").exists(), f"step {step} was faster than the test"


def assert_as_by_hand(
    airflow: RealAirflow, hand: ByHand, endpoint: str, job: str, pipeline: str = ""
) -> dict[str, Any]:
    """Wait for the end of a job, and compare all it published with what was made by hand.

    :param pipeline: which one it ran, if the endpoint is not called like it.
    """
    done = finish(airflow, endpoint, job)
    pipeline = pipeline or endpoint
    for name, made in hand.made[pipeline].items():
        published = Path(done["outputs"][name]["uri"].removeprefix("file://"))
        assert contents(published) == contents(made), f"output {name} of {job}"
    assert [step["reused_from"] for step in done["steps"]] == [None, None]
    return done


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in _NOTES]
    assert files, f"nothing in {folder}"
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
