"""Where a row comes from, said in the row itself (``settings.provenance``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.worker.scoring.base import ScoringError

if TYPE_CHECKING:
    import pyarrow as pa


def add(table: pa.Table | None, spec: JobSpec, attempt: int) -> pa.Table | None:
    """Append the columns ``model_version``, ``deployment_revision`` and ``attempt``.

    :param attempt: how often the rows' items had been tried when they succeeded; 1 when nothing went wrong.
    :raises ScoringError: the rows have a column of such a name already.
    """
    if table is None:
        return None
    import pyarrow as pa

    values = {
        "model_version": pa.scalar(spec.model_uri),
        "deployment_revision": pa.scalar(spec.deployment_revision),
        "attempt": pa.scalar(attempt, pa.int32()),
    }
    taken = sorted(values.keys() & set(table.column_names))
    if taken:
        raise ScoringError(
            f"the results have the columns {taken}, which settings.provenance adds; rename them or leave it out"
        )
    for name, value in values.items():
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table
