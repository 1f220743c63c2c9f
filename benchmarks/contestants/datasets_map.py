"""Hugging Face ``datasets``: ``load_dataset``, then ``map`` in processes. Its Arrow cache is part of how it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.contestants.bare_loop import matrix_of
from benchmarks.workloads import Workload

FORMATS = {"parquet", "csv"}
BATCH_ROWS = 100_000


def score(workload: Workload, output: Path, processes: int) -> None:
    """Score with a pool of processes that get the loaded model by fork."""
    import datasets
    import pyarrow as pa

    datasets.disable_progress_bars()
    model = models.load(workload.model)

    def predict(batch: Any) -> pa.Table:
        return pa.table({"prediction": model.predict(matrix_of(batch))})

    rows = datasets.load_dataset(
        workload.format,
        data_files=[str(path) for path in workload.paths],
        split="train",
        cache_dir=str(output / "_cache"),
        **({"columns": models.FEATURES} if workload.format == "parquet" else {"usecols": models.FEATURES}),
    )
    predictions = rows.with_format("arrow").map(
        predict, batched=True, batch_size=BATCH_ROWS, num_proc=processes, remove_columns=rows.column_names
    )
    predictions.to_parquet(str(output / "predictions.parquet"))
