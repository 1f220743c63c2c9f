"""Ray Data: ``map_batches`` over a pool of actors that hold the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.contestants.bare_loop import matrix_of
from benchmarks.workloads import ROW_NUMBER, Workload

FORMATS = {"parquet", "csv"}
BATCH_ROWS = 100_000


class Predictor:
    """An actor with the model."""

    def __init__(self, name: str) -> None:
        self._model = models.load(name)

    def __call__(self, batch: Any) -> Any:
        """Predict a batch; blocks come in any order, so the row number goes along."""
        import pyarrow as pa

        return pa.table({ROW_NUMBER: batch[ROW_NUMBER], "prediction": self._model.predict(matrix_of(batch))})


def score(workload: Workload, output: Path, processes: int) -> None:
    """Score on a local Ray with as many processors as there are actors."""
    import ray

    ray.init(num_cpus=processes, include_dashboard=False, logging_level="warning", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    columns = [*models.FEATURES, ROW_NUMBER]
    if workload.format == "csv":
        rows = ray.data.read_csv(str(workload.folder), file_extensions=["csv"]).select_columns(columns)
    else:
        rows = ray.data.read_parquet(str(workload.folder), columns=columns, file_extensions=["parquet"])
    rows.map_batches(
        Predictor,
        fn_constructor_args=[workload.model],
        batch_format="pyarrow",
        batch_size=BATCH_ROWS,
        compute=ray.data.ActorPoolStrategy(size=processes),
        # Reading and writing need room beside the actors on so few processors.
        num_cpus=0.5,
    ).write_parquet(str(output))
    ray.shutdown()
