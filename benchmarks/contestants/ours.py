"""Ours: the real worker commands, one after the other as Airflow's tasks run them; no Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.workloads import Workload

FORMATS = {"parquet", "csv", "png"}
JOB = "benchmark"


def score(workload: Workload, output: Path, processes: int, **settings: Any) -> None:
    """Plan, score on one instance with so many slots, publish."""
    specification = job_spec(workload, output, processes, **settings)
    for command in ("plan", "score", "publish"):
        run(command, specification)


def job_spec(workload: Workload, output: Path, slots: int, **settings: Any) -> dict[str, Any]:
    """Return the resolved job, as Airflow hands it to ``plan``."""
    script = {}
    if workload.format == "png":
        script = {"code_uri": (Path(__file__).parent / "digits").as_uri(), "scoring_script": "score.py"}
    return {
        "endpoint": "benchmark",
        "deployment": "benchmark",
        "deployment_revision": "1",
        "job": JOB,
        "input_uri": (workload.folder / f"*.{workload.format}").as_uri().replace("%2A", "*"),
        "output_uri": output.as_uri(),
        "model_uri": workload.model_path.as_uri(),
        **script,
        "settings": {
            "max_concurrency_per_instance": slots,
            "mini_batch_size": workload.files_per_batch,
            "error_threshold": 0,
            "output_file_name": "predictions.parquet",
            **settings,
        },
    }


def arguments(command: str, specification: dict[str, Any]) -> list[str]:
    """Return the command line of a worker."""
    from airflow_batch_endpoints.jobs.command_line import worker_arguments

    return worker_arguments(command, specification, submission="0", instance=0)  # type: ignore[arg-type]


def run(command: str, specification: dict[str, Any]) -> None:
    """Run one command of the worker."""
    subprocess.run(
        [sys.executable, "-m", "airflow_batch_endpoints.worker", *arguments(command, specification)],
        env=os.environ | environment(specification),
        check=True,
    )


def environment(specification: dict[str, Any]) -> dict[str, str]:
    """Return what a worker is told by its environment."""
    return {"BATCH_ENDPOINTS_JOB_SPEC": json.dumps(specification)}
