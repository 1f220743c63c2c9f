"""Polars: a lazy scan, ``map_batches`` with the model, a streaming sink."""

from __future__ import annotations

from pathlib import Path

from benchmarks import models
from benchmarks.workloads import Workload

FORMATS = {"parquet", "csv"}


def score(workload: Workload, output: Path, processes: int) -> None:
    """Score in this process; polars reads and writes with threads of its own."""
    import polars as pl

    model = models.load(workload.model)
    kind = pl.Boolean if workload.model == "logistic" else pl.Float64

    def predict(batch: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame({"prediction": model.predict(batch.to_numpy())}, schema={"prediction": kind})

    pattern = workload.folder / f"*.{workload.format}"
    if workload.format == "csv":
        scan = pl.scan_csv(pattern, schema_overrides=dict.fromkeys(models.FEATURES, pl.Float64))
    else:
        scan = pl.scan_parquet(pattern)
    scan.select(models.FEATURES).map_batches(predict, schema={"prediction": kind}, streamable=True).sink_parquet(
        output / "predictions.parquet", compression="snappy"
    )
