"""How far a job is: from its directory in storage where the server can read that, and else from its run."""

from __future__ import annotations

from airflow_batch_endpoints.exceptions import InfrastructureError, ReachError
from airflow_batch_endpoints.jobs.states import TERMINAL
from airflow_batch_endpoints.services.directory import look, recall
from airflow_batch_endpoints.services.jobs import Jobs
from airflow_batch_endpoints.services.resources import JobDetails, Progress
from airflow_batch_endpoints.services.storage import bounded, open_output


def read_progress(jobs: Jobs, endpoint: str, job: str) -> Progress:
    """Return how far a job is, with what its instances hold and when they worked on what, if the storage tells.

    :param jobs: the service that knows the job.
    :raises NotFoundError: there is no such job.
    """
    found = jobs.find(endpoint, job)
    if found.deployment_type != "model":
        return _of_run(found, "only the jobs of models work in one directory; see the steps")
    if found.output is None:
        return _of_run(found, "it has not been planned yet")
    output, is_over = found.output, found.state in TERMINAL
    try:
        if found.state == "Completed":
            kept = bounded(lambda: recall(open_output(output), endpoint, job))
            if kept is not None:
                work = {"instances": kept.instances, "spans": kept.spans, "is_cut": kept.is_cut}
                return _of_run(found, None).model_copy(update={"source": "storage", **work})
        progress = bounded(lambda: look(open_output(output), endpoint, job, is_over=is_over))
    except (InfrastructureError, ReachError) as error:
        return _of_run(found, str(error))
    if progress is None:
        is_published = found.state == "Completed"
        return _of_run(
            found, "it is published, and its working state is gone" if is_published else "it is not planned yet"
        )
    # Rows are in no name of an object. Heartbeats are seldom, what the watching tasks say is not.
    rows = max(progress.rows or 0, found.counts.rows or 0)
    return progress.model_copy(update={"rows": rows, "rows_per_second": _rate(rows, found.seconds)})


def _of_run(job: JobDetails, note: str | None) -> Progress:
    counts = job.counts
    return Progress(
        source="run",
        note=note,
        items=counts.listed,
        items_done=None if counts.succeeded is None else counts.succeeded + (counts.failed or 0),
        items_failed=counts.failed,
        shards=counts.shards,
        shards_done=counts.shards_done,
        rows=counts.rows,
        rows_per_second=job.rows_per_second,
        seconds_left=job.seconds_left,
    )


def _rate(rows: int, seconds: float | None) -> float | None:
    return round(rows / seconds, 1) if seconds else None
