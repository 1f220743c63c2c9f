"""The workloads: what is scored, with which model, cut how. Their data is made once and kept."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks import models
from benchmarks.places import DATA

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "csv", "png"]
ROW_NUMBER = "row_number"
"""Column with the position of each row; what loses the order carries it along."""
LEAST_FILES = 4


@dataclass(frozen=True)
class Workload:
    """Rows in files, and the model that scores them.

    :param files_per_batch: of our mini-batches.
    """

    name: str
    title: str
    rows: int
    files: int
    model: str
    format: Format = "parquet"
    files_per_batch: int = 1

    def scaled(self, factor: float) -> Workload:
        """Return the same with fewer rows; files go along, but not below a few."""
        files = self.files if factor >= 1 else max(LEAST_FILES, round(self.files * factor))
        return replace(self, rows=max(files, round(self.rows * factor)), files=files)

    @property
    def folder(self) -> Path:
        """Where its input files are."""
        return DATA / f"{self.format}-{self.rows}-rows-{self.files}-files"

    @property
    def paths(self) -> list[Path]:
        """The input files, in order."""
        return sorted(self.folder.glob(f"*.{self.format}"))

    @property
    def model_path(self) -> Path:
        """Folder of the model."""
        return models.path(self.model)

    def prepare(self) -> None:
        """Make the data and the model, unless they are there."""
        models.prepare(self.model)
        if (self.folder / "_complete").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        _MAKERS[self.format](self)
        (self.folder / "_complete").touch()


_WORKLOADS = (
    Workload("start-up", "10 k rows in 4 Parquet files, logistic regression", 10_000, 4, "logistic"),
    Workload("logistic-1m", "1 M rows in 16 Parquet files, logistic regression", 1_000_000, 16, "logistic"),
    Workload("logistic", "10 M rows in 64 Parquet files, logistic regression", 10_000_000, 64, "logistic"),
    Workload("logistic-1000", "10 M rows in 1,000 Parquet files, logistic regression", 10_000_000, 1_000, "logistic",
             files_per_batch=10),
    Workload("boosting-1m", "1 M rows in 16 Parquet files, gradient boosting", 1_000_000, 16, "boosting"),
    Workload("boosting", "10 M rows in 64 Parquet files, gradient boosting", 10_000_000, 64, "boosting"),
    Workload("boosting-1000", "10 M rows in 1,000 Parquet files, gradient boosting", 10_000_000, 1_000, "boosting",
             files_per_batch=10),
    Workload("small-files", "10,000 CSV files of 100 rows, logistic regression", 1_000_000, 10_000, "logistic", "csv",
             files_per_batch=100),
    Workload("images", "5,000 PNG images by a scoring script", 5_000, 5_000, "digits", "png", files_per_batch=50),
)  # fmt: skip
WORKLOADS = {workload.name: workload for workload in _WORKLOADS}


def tiled(rows: int) -> pa.Table:
    """Return so many flights, one after the other and over again, each with its row number."""
    import numpy as np
    import pyarrow as pa

    flights = models.flights()
    numbers = np.arange(rows, dtype=np.int64)
    return flights.take(pa.array(numbers % flights.num_rows)).append_column(ROW_NUMBER, pa.array(numbers))


def _slices(workload: Workload) -> list[tuple[int, int, Path]]:
    """Return first row, rows and path of each file: rows are spread evenly."""
    bounds = [round(workload.rows * number / workload.files) for number in range(workload.files + 1)]
    return [
        (first, end - first, workload.folder / f"{number:06}.{workload.format}")
        for number, (first, end) in enumerate(itertools.pairwise(bounds))
    ]


def _parquet(workload: Workload) -> None:
    import pyarrow.parquet as pq

    table = tiled(workload.rows)
    for first, count, path in _slices(workload):
        pq.write_table(table.slice(first, count), path)


def _csv(workload: Workload) -> None:
    import pyarrow.csv

    table = tiled(workload.rows)
    for first, count, path in _slices(workload):
        pyarrow.csv.write_csv(table.slice(first, count), path)


def _png(workload: Workload) -> None:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits().images
    random = np.random.default_rng(0)
    for first, _, path in _slices(workload):
        pixels = digits[first % len(digits)] * 15 + random.integers(0, 15, (8, 8))
        Image.fromarray(pixels.astype(np.uint8)).resize((128, 128)).save(path)


_MAKERS: dict[str, Callable[[Workload], None]] = {"parquet": _parquet, "csv": _csv, "png": _png}
