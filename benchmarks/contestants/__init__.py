"""Those who score: one module each, all with one interface.

A contestant's module has

- ``score(workload, output, processes)``: score a workload's files into the folder ``output``;
- ``FORMATS``: the input formats it takes.

It runs in a process of its own (``python -m benchmarks.contestants NAME ...``), imports what it needs there, and leaves
Parquet files whose column ``prediction`` is read back by :mod:`benchmarks.checking`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.environments import PEERS, WORKER
from benchmarks.workloads import Workload


@dataclass(frozen=True)
class Contestant:
    """A way to score, with a number of processes.

    :param options: what else its ``score`` is told.
    :param package: whose version the report names.
    :param python: interpreter of the environment it runs in.
    """

    name: str
    title: str
    module: str
    processes: int
    package: str
    python: str = PEERS
    options: tuple[tuple[str, Any], ...] = ()

    def _module(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.module}")

    def takes(self, workload: Workload) -> bool:
        """Whether it can read the workload's files."""
        return workload.format in self._module().FORMATS

    def score(self, workload: Workload, output: Path) -> None:
        """Score the workload in this process and those it starts."""
        self._module().score(workload, output, self.processes, **dict(self.options))


_CONTESTANTS = (
    Contestant("bare-2", "bare loop, 2 processes", "bare_loop", 2, "pyarrow", WORKER),
    Contestant("ours-2", "ours, 2 slots", "ours", 2, "airflow-batch-endpoints", WORKER),
    Contestant(
        "ours-2-parts",
        "ours, 2 slots, a file per shard",
        "ours",
        2,
        "airflow-batch-endpoints",
        WORKER,
        options=(("output_file_name", "predictions/"),),
    ),
    Contestant(
        "bare-2-forked",
        "bare loop, loaded once and forked",
        "bare_loop",
        2,
        "pyarrow",
        WORKER,
        options=(("load_first", True),),
    ),
    Contestant("bare-1", "bare loop, 1 process", "bare_loop", 1, "pyarrow", WORKER),
    Contestant("ours-1", "ours, 1 slot", "ours", 1, "airflow-batch-endpoints", WORKER),
    Contestant("polars", "polars map_batches + sink", "polars_lazy", 1, "polars"),
    Contestant("datasets", "datasets.map, 2 processes", "datasets_map", 2, "datasets"),
    Contestant("dask", "Dask, 2 workers", "dask_dataframe", 2, "dask"),
    Contestant("ray", "Ray Data, 2 actors", "ray_data", 2, "ray"),
    Contestant("spark", "mlflow spark_udf, local[2]", "spark_udf", 2, "pyspark"),
)
CONTESTANTS = {contestant.name: contestant for contestant in _CONTESTANTS}
REFERENCE = "bare-2"
"""What the others' predictions must equal, and their costs are divided by."""
