"""Jobs as the parts of Azure ML have them: the scoring service, the resource manager, and the history of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_batch_endpoints.azure.ids import PROVIDER, Workspace, job_id
from airflow_batch_endpoints.services.resources import Job


def batch_job(job: Job, workspace: Workspace) -> dict[str, Any]:
    """Return a job as invoking and listing the jobs of an endpoint answer it."""
    return {
        "id": workspace.job(job.endpoint, job.name),
        "name": job_id(job.endpoint, job.name),
        "type": "batchJob",
        "properties": {"status": job.state, "error": job.error, "deployment": job.deployment, "output": job.output},
    }


def job_resource(job: Job, workspace: Workspace, page: str) -> dict[str, Any]:
    """Return a job as the resource manager has it.

    :param page: address of the job's page.
    """
    facts = {"endpoint": job.endpoint, "deployment": job.deployment, "model": job.model, "error": job.error}
    return {
        "id": workspace.job(job.endpoint, job.name),
        "name": job_id(job.endpoint, job.name),
        "type": f"{PROVIDER}/workspaces/jobs",
        "properties": {
            # What Azure ML calls its batch jobs, too.
            "jobType": "Pipeline",
            "status": job.state,
            "displayName": job.name,
            "experimentName": job.endpoint,
            "isArchived": False,
            "tags": {},
            "properties": {name: value for name, value in facts.items() if value},
            "services": {"Studio": {"jobServiceType": "Studio", "endpoint": page}},
            "inputs": {},
            "outputs": {"score": {"jobOutputType": "uri_folder", "uri": job.output}} if job.output else {},
        },
        "systemData": {"createdAt": job.created.isoformat(), "createdBy": job.invoker},
    }


def run(job: Job) -> dict[str, Any]:
    """Return a job as the history of runs has it."""
    return {
        "runId": job_id(job.endpoint, job.name),
        "runType": "azureml.PipelineRun",
        "status": job.state,
        "startTimeUtc": job.started and job.started.isoformat(),
        "endTimeUtc": job.ended and job.ended.isoformat(),
    }


def run_details(job: Job, logs: Mapping[str, str]) -> dict[str, Any]:
    """Return a run with its logs.

    :param logs: addresses by name.
    """
    failed = job.counts.failed
    warning = f"{failed} of {job.counts.listed} items failed; dead_letters.jsonl beside the output says why"
    return {
        **run(job),
        "logFiles": dict(logs),
        "warnings": [{"source": "batch-endpoints", "message": warning}] if failed else [],
        "error": {"error": {"code": "JobFailed", "message": job.error}} if job.state == "Failed" else None,
    }
