"""The bare loop: read the columns the model needs, predict, write. Nothing is planned, retried, counted or published."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import models
from benchmarks.workloads import Workload

if TYPE_CHECKING:
    import numpy as np

FORMATS = {"parquet", "csv", "png"}
LEAST_ROWS = 10_000
"""Small files are predicted together until there are so many rows: a ``predict`` has a price of its own."""


def score(workload: Workload, output: Path, processes: int, *, load_first: bool = False) -> None:
    """Score in processes that share nothing, each with every n-th file.

    :param load_first: load the model once, then fork; otherwise each process is on its own, like a script started twice.
    """
    model = models.load(workload.model) if load_first else None
    children = []
    for number in range(1, processes):
        child = os.fork()
        if child == 0:
            _loop(workload, output, number, processes, model)
            os._exit(0)
        children.append(child)
    _loop(workload, output, 0, processes, model)
    for child in children:
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise SystemExit(f"a process of the bare loop ended with status {status}")


def _loop(workload: Workload, output: Path, number: int, processes: int, model: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if model is None:
        model = models.load(workload.model)
    # Contiguous files for each process, so that names sort as the rows do.
    paths = workload.paths
    own = paths[len(paths) * number // processes : len(paths) * (number + 1) // processes]
    for first, matrix in _READERS[workload.format](own):
        pq.write_table(pa.table({"prediction": model.predict(matrix)}), output / f"{first.stem}.parquet")


def matrix_of(table: Any) -> np.ndarray[Any, Any]:
    """Return an Arrow table's features as the model's own input, which is what ``predict`` is fastest with."""
    import numpy as np

    # Column by column, as Arrow has it and as scikit-learn works: half the time of rows.
    matrix = np.empty((table.num_rows, len(models.FEATURES)), order="F")
    for position, name in enumerate(models.FEATURES):
        matrix[:, position] = table[name].to_numpy()
    return matrix


def _parquet(paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path) as file:
            yield path, matrix_of(file.read(columns=models.FEATURES))


def _csv(paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(
        include_columns=models.FEATURES, column_types=dict.fromkeys(models.FEATURES, pa.float64())
    )
    group, rows = [], 0
    for path in paths:
        group.append((path, csv.read_csv(path, convert_options=options)))
        rows += group[-1][1].num_rows
        if rows >= LEAST_ROWS:
            yield group[0][0], matrix_of(pa.concat_tables(table for _, table in group))
            group, rows = [], 0
    if group:
        yield group[0][0], matrix_of(pa.concat_tables(table for _, table in group))


def _png(paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    from benchmarks.contestants.digits import score as digits

    for first in range(0, len(paths), 50):
        group = paths[first : first + 50]
        yield group[0], digits.pixels(group)


_READERS = {"parquet": _parquet, "csv": _csv, "png": _png}
