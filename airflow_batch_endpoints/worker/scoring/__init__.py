"""Scorers: what happens to a mini-batch. Only slot processes import what is in here."""

from __future__ import annotations

from pathlib import Path

from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.worker.scoring.base import Scorer, ScriptCall


def create(spec: JobSpec, *, model_path: str | None, code_path: str | None, scratch: str, script: ScriptCall) -> Scorer:
    """Return the scorer of a job.

    :param model_path: local path of the model's files, if there is a model.
    :param code_path: local folder of the scoring script.
    :param scratch: local folder for what comes and goes.
    :param script: how the scoring script is called.
    """
    if spec.scoring_script is not None:
        from airflow_batch_endpoints.worker.scoring.script import ScriptScorer

        return ScriptScorer(spec, Path(code_path or "."), Path(scratch), script)
    from airflow_batch_endpoints.worker.scoring.mlflow import MlflowScorer

    return MlflowScorer(spec, Path(model_path or "."), Path(scratch))
