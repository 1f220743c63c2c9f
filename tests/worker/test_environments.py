"""Slots in environments that are built for them. Packages come from the index that ``make setup`` uses, mostly from uv's cache."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.worker.conftest import Job, eventually
from tests.worker.pipelines import Pipeline

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.timeout(1200),
    pytest.mark.extended,
]

PATIENCE = 600.0
"""Seconds for a build on a machine that has other things to do."""
UNCOMPILED = {"UV_COMPILE_BYTECODE": "0"}
"""Compiling is what takes longest, and nothing here is run twice."""
NOT_BUILT = {"compute": {"type": "local", "name": "local", "build_environments": False}}


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of a package that nobody else has."""
    folder = tmp_path_factory.mktemp("packages")
    for number in (1, 2):
        with zipfile.ZipFile(folder / f"pinned_by_us-{number}.0-py3-none-any.whl", "w") as wheel:
            info = f"pinned_by_us-{number}.0.dist-info"
            wheel.writestr("pinned.py", f"VALUE = {number}\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pinned-by-us\nVersion: {number}.0\n")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
    return folder


def conda(*pip: str, python: str = "python") -> dict[str, Any]:
    return {"name": "test", "dependencies": [python, "pip", {"pip": list(pip)}]}


@pytest.fixture
def asking(job: Job, packages: Path, tmp_path: Path) -> Job:
    """A job of a script whose deployment asks for an environment."""
    job.spec["conda_file"] = conda("pinned-by-us==1.0")
    job.environment |= {"UV_FIND_LINKS": str(packages), "BATCH_ENDPOINTS_ENVIRONMENTS": str(tmp_path / "environments")}
    return job


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow model that tells what it runs in."""
    import mlflow
    from mlflow.models import infer_signature
    from mlflow.pyfunc import PythonModel

    class Model(PythonModel):
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            import pinned

            told = [pinned.VALUE, sys.prefix, shutil.which("python")]
            return [" ".join(map(str, told)) for _ in range(len(model_input))]

    folder = tmp_path_factory.mktemp("asking") / "model"
    signature = infer_signature(pd.DataFrame({"x": [1.5]}), pd.Series(["told"]))
    mlflow.pyfunc.save_model(folder, python_model=Model(), pip_requirements=["mlflow"], signature=signature)
    return folder


def planned(job: Job) -> dict[str, Any] | None:
    """The environment that a job has pinned."""
    pinned = json.loads((job.output / "_batch/job.json").read_text())["spec"]["environment"]
    return None if pinned is None else dict(pinned)


def test_slots_run_in_what_was_asked_for_and_it_is_built_once(
    make_job: Callable[..., Job], model: Path, packages: Path, tmp_path: Path
) -> None:
    (model / "requirements.txt").write_text("mlflow-skinny\ncloudpickle\npinned-by-us>1\n")
    cache = tmp_path / "environments"
    job = make_job(model_uri=model.as_uri()).files({f"{number}.csv": "x\n1\n" for number in range(6)})
    job.environment |= {"UV_FIND_LINKS": str(packages), "BATCH_ENDPOINTS_ENVIRONMENTS": str(cache)}
    job.environment |= UNCOMPILED
    job.do("plan", mini_batch_size=1, max_concurrency_per_instance=2)
    assert not cache.exists(), "planning builds nothing"
    # Killed in the middle: the next ones build anew, one of them, while the other waits.
    first = job.start("score", "--instance", "0")
    eventually(lambda: list(cache.glob("*.building/bin/python")), PATIENCE)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not any(path.suffix == "" for path in cache.iterdir()), "half an environment has no name of its own"
    scores = [job.start("score", "--instance", str(number)) for number in range(2)]
    logs = [process.communicate(timeout=PATIENCE)[0] for process in scores]
    assert [process.returncode for process in scores] == [0, 0], logs
    assert sum("built environment" in log for log in logs) == 1
    job.do("publish")

    (built,) = (path for path in cache.iterdir() if path.suffix == "")
    assert pd.read_csv(job.output / "predictions.csv")["prediction"].tolist() == [f"2 {built} {built}/bin/python"] * 6
    assert "pinned-by-us==2.0" in job.manifest()["environment"]["packages"]


def test_what_is_met_here_or_not_to_be_built_runs_here(make_job: Callable[..., Job], model: Path) -> None:
    for name, text, launch in (
        ("met", "mlflow\ncloudpickle\n--extra-index-url https://example.invalid\n", {}),
        ("not-to-be-built", "mlflow\npinned-by-us>1\n", {"launch": NOT_BUILT}),
    ):
        (model / "requirements.txt").write_text(text)
        job = make_job(name, model_uri=model.as_uri(), **launch).files({"a.csv": "x\n1\n"})
        job.do("plan")
        assert planned(job) is None
        assert ("builds no environments" in job.log) == (name == "not-to-be-built")


def test_scripts_get_what_their_deployment_asks_for(asking: Job) -> None:
    asking.do("plan")
    environment = planned(asking)
    assert environment is not None
    assert "pinned-by-us==1.0" in environment["packages"]
    assert not any(package.startswith("mlflow") for package in environment["packages"])


@pytest.mark.parametrize(
    ("asked", "variables", "code", "sentence"),
    [
        (conda("pinned-by-us==9"), {}, 2, "pinned-by-us==9"),
        (conda("pinned-by-us==1.0", "pydantic<2"), {}, 2, "pydantic>=2.9"),
        (conda("pinned-by-us==1.0", "-r other.txt"), {}, 2, "options are not taken"),
        (conda("pinned-by-us==1.0", python="python=3.99"), {}, 2, "not installed on this machine"),
        (conda("pinned-by-us==1.0", python="python=3.7"), {}, 2, "asks for Python"),
        ("file:///does/not/exist.yml", {}, 2, "apply the deployment again"),
        (conda("no-such-package-of-ours"), {"UV_DEFAULT_INDEX": "http://u:secret@127.0.0.1:9/simple"}, 1, "error sending"),
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_ends_in_a_sentence_before_any_work(
    asking: Job, asked: Any, variables: dict[str, str], code: int, sentence: str
) -> None:
    asking.spec["conda_file"] = asked
    asking.environment |= {"UV_HTTP_RETRIES": "0", **variables}
    error = asking.do("plan", code=code)["error"]
    assert error["type"] == ("ModelError" if code == 2 else "InfrastructureError")
    assert sentence in error["message"]
    assert "secret" not in asking.log
    assert not (asking.output / "_batch/job.json").exists()


def test_a_command_of_a_pipeline_gets_what_its_step_asks_for(packages: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "pipeline", spec={"reuse_uri": (tmp_path / "reuse").as_uri()})
    cache = tmp_path / "environments"
    pipeline.environment |= {"UV_FIND_LINKS": str(packages), "BATCH_ENDPOINTS_ENVIRONMENTS": str(cache), **UNCOMPILED}
    pipeline.environment |= {"PYTHONPATH": "/nowhere"}
    command = "python -c 'import pinned, sys, os; print(pinned.VALUE, sys.prefix, os.environ.get(\"PYTHONPATH\"))'"
    made = {"made": {"type": "uri_file"}}
    pipeline.step("one", f"{command} > ${{{{outputs.made}}}}", conda_file=conda("pinned-by-us==1.0"), outputs=made)
    pipeline.do("plan")
    process = pipeline.start("step", "--step", "one")
    log, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    (built,) = (path for path in cache.iterdir() if path.suffix == "")
    assert (
        Path(pipeline.done("one")["outputs"]["made"]["uri"].removeprefix("file://")).read_text() == f"1 {built} None\n"
    )
    # Another environment is another step, and one that cannot be had is a sentence.
    other = Pipeline(tmp_path / "other", name="other", spec=pipeline.spec, environment=pipeline.environment)
    other.step("one", pipeline.graph[0]["command"], conda_file=conda("pinned-by-us==9"), outputs=made)
    assert "pinned-by-us==9" in other.failing("one")


# -- a case with known outcome --------------------------------------------------------------------------------------


def test_the_heart_case_with_pins_next_to_a_job_in_todays_environment(
    make_job: Callable[..., Job], cases: Path, job: Job, tmp_path: Path
) -> None:
    case = cases / "heart-mlflow-nocode-csv"
    pins = conda("scikit-learn==1.1.3", "xgboost==1.4.2", "pandas==1.5.3", "numpy<1.24", python="python=3.11")
    heart = make_job("heart", input_uri=(case / "data").as_uri(), model_uri=(case / "model").as_uri(), conda_file=pins)
    heart.environment |= {"BATCH_ENDPOINTS_ENVIRONMENTS": str(tmp_path / "environments"), **UNCOMPILED}
    heart.do("plan", mini_batch_size=2, max_concurrency_per_instance=2)
    today = job.run()
    score = heart.start("score", "--instance", "0")
    log, _ = score.communicate(timeout=PATIENCE)
    assert score.returncode == 0, log
    result = heart.do("publish")
    assert today["succeeded"] == 6
    assert job.manifest()["environment"] is None

    expected, oracle = json.loads((case / "expected.json").read_text()), pd.read_csv(case / "oracle.csv")
    assert (result["listed"], result["failed"], result["rows"]) == (expected["files"], 0, expected["rows"])
    published = pd.read_csv(heart.output / "predictions.csv")
    assert published["file_name"].tolist() == oracle["file"].tolist()
    np.testing.assert_array_equal(published[["row", "prediction"]], oracle[["row", "prediction"]])
    assert int(published["prediction"].sum()) == expected["ones"]


def test_the_heart_case_as_shipped_ends_with_the_resolvers_reason(make_job: Callable[..., Job], cases: Path) -> None:
    case = cases / "heart-mlflow-nocode-csv"
    job = make_job(input_uri=(case / "data").as_uri(), model_uri=(case / "model").as_uri())
    error = job.do("plan", code=2)["error"]
    assert error["type"] == "ModelError"
    assert "the model's requirements.txt" in error["message"]
    assert "no usable wheels" in error["message"]
