"""CPU seconds before anything is scored: of the coordinator until its first claim, of an instance until its first prediction."""

from __future__ import annotations

import statistics

from benchmarks.campaign import Campaign, scratch
from benchmarks.contestants import ours
from benchmarks.micro import python, worker
from benchmarks.workloads import Workload

STARTS = 5
_IMPORT = "import airflow_batch_endpoints.worker.__main__, airflow_batch_endpoints.worker.commands.score"
_LOAD = "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])"
_UNTIL_CLAIM = """
import os, runpy
from airflow_batch_endpoints.worker import ledger
ledger.Ledger.claim = lambda *_: os._exit(0)
runpy.run_module("airflow_batch_endpoints.worker", run_name="__main__", alter_sys=True)
"""
"""Ends at the first claim, before there is a slot."""


def measure(campaign: Campaign) -> dict[str, float]:
    """Return the medians of five starts."""
    workload = Workload("starting", "", 4, 4, "logistic")
    workload.prepare()
    imports, claims, loads, beyond = [], [], [], []
    for _ in range(STARTS):
        with scratch("starting") as output:
            specification = ours.job_spec(workload, output, 1)
            worker(campaign, "plan", specification)
            imports.append(python(campaign, "-c", _IMPORT).cpu)
            claims.append(python(campaign, "-c", _UNTIL_CLAIM, *ours.arguments("score", specification)).cpu)
            loads.append(python(campaign, "-c", _LOAD, str(workload.model_path)).cpu)
            beyond.append(worker(campaign, "score", specification).cpu - loads[-1])
    return {
        "coordinator, imports, CPU-s": statistics.median(imports),
        "coordinator, until its first claim, CPU-s": statistics.median(claims),
        "importing MLflow and loading the model, CPU-s": statistics.median(loads),
        "an instance that scores 4 rows, beyond importing and loading, CPU-s": statistics.median(beyond),
    }
