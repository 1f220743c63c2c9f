from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import airflow_batch_endpoints
from airflow_batch_endpoints.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]


def test_provider_info_fits_airflows_schema() -> None:
    import airflow
    import jsonschema

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_everything_that_is_announced_can_be_imported() -> None:
    info = get_provider_info()
    modules = [
        name
        for kind in ("operators", "sensors", "hooks", "triggers")
        for entry in info[kind]
        for name in entry["python-modules"]
    ]
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_task_imports_little() -> None:
    code = (
        "import sys, airflow.sdk\nfrom airflow.sdk import DAG, BaseOperator, Variable, AssetAlias, Param\n"
        "import airflow.sdk.execution_time.task_runner\nbefore = set(sys.modules)\n"
        "import airflow_batch_endpoints.dags, airflow_batch_endpoints.operators.worker\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pandas", "pyarrow", "mlflow", "sklearn", "fsspec", "kubernetes", "sqlalchemy", "yaml", "rich", "numpy"}
    assert not heavy & set(done.stdout.split())


def test_the_plain_distribution_scores_without_airflow(tmp_path: Path) -> None:
    """Built, installed into an empty environment, and used there for a whole job."""
    uv = ROOT / ".uv" / "bin" / "uv"
    if not uv.exists():
        pytest.skip("make setup installs uv, which this test builds with")
    subprocess.run([uv, "build", "--wheel", "--out-dir", tmp_path / "dist", ROOT], check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--python", python, wheel], check=True, capture_output=True)
    for name in ("airflow", "sqlalchemy", "fastapi", "kubernetes", "mlflow"):
        assert subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode != 0, name

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("1\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("def init(): pass\ndef run(b): return ['scored' for _ in b]\n")
    output = (tmp_path / "out").as_uri()
    spec = {
        "endpoint": "e", "deployment": "d", "deployment_revision": "r", "job": "j", "input_uri": (tmp_path / "in").as_uri(),
        "output_uri": output, "model_uri": (tmp_path / "code").as_uri(), "code_uri": (tmp_path / "code").as_uri(),
        "scoring_script": "score.py", "settings": {},
    }  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "BATCH_ENDPOINTS_JOB_SPEC": json.dumps(spec)}
    place = ["--output-uri", output, "--job", "j"]
    for command in (["plan"], ["score", "--instance", "0", *place], ["publish", *place]):
        done = subprocess.run(
            [python, "-m", "airflow_batch_endpoints.worker", *command, "--submission", "0"],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "predictions.csv").read_text().splitlines() == ["prediction", '"scored"']

    # The command line needs its extra, and then a server.
    def client(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tmp_path / "venv" / "bin" / "batch-endpoints", *arguments],
            env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert "pip install 'airflow-batch-endpoints[client]'" in client("list").stderr
    subprocess.run([uv, "pip", "install", "--python", python, f"{wheel}[client]"], check=True, capture_output=True)
    assert "restore" in client("--help").stdout
    assert "Airflow is not installed here; name a server" in client("list").stderr
    assert "needs a token" in client("list", "--server", "http://127.0.0.1:9").stderr


def test_airflows_processes_import_little_of_the_plugin() -> None:
    code = (
        "import sys, airflow.plugins_manager\nbefore = set(sys.modules)\nimport airflow_batch_endpoints.plugin\n"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"airflow_batch_endpoints", "airflow_batch_endpoints.plugin"}


def test_the_version_is_the_distributions() -> None:
    assert importlib.metadata.version("airflow-batch-endpoints") == airflow_batch_endpoints.__version__


def test_documented_names_have_docstrings() -> None:
    import inspect

    for module, name in {
        "dags": "build", "operators.invoke": "BatchInvokeOperator", "operators.deployment": "BatchDeploymentOperator",
        "operators.task_group": "BatchScoringTaskGroup", "sensors.job": "BatchJobSensor",
        "hooks.batch_endpoint": "BatchEndpointHook",
    }.items():  # fmt: skip
        documented = getattr(importlib.import_module(f"airflow_batch_endpoints.{module}"), name)
        assert inspect.getdoc(documented)
