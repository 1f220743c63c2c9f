"""Dask: a data frame of partitions on a local cluster of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.workloads import Workload

FORMATS = {"parquet", "csv"}


def score(workload: Workload, output: Path, processes: int) -> None:
    """Score on workers with one thread each."""
    import dask
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.worker.memory.spill": False, "distributed.admin.event-loop-monitor-interval": "1h"})
    kind = "bool" if workload.model == "logistic" else "float64"
    with (
        LocalCluster(
            n_workers=processes, threads_per_worker=1, dashboard_address=None, local_directory=output / "_dask"
        ) as cluster,
        Client(cluster),
    ):
        if workload.format == "csv":
            frame = dd.read_csv(str(workload.folder / "*.csv"), usecols=models.FEATURES, dtype="float64")
        else:
            frame = dd.read_parquet(str(workload.folder), columns=models.FEATURES)
        meta = pd.DataFrame({"prediction": pd.Series([], dtype=kind)})
        frame.map_partitions(_predict, workload.model, meta=meta).to_parquet(str(output), write_index=False)


_loaded: dict[str, Any] = {}


def _predict(frame: Any, name: str) -> Any:
    """Predict one partition; each worker loads the model once."""
    import pandas as pd

    if name not in _loaded:
        _loaded[name] = models.load(name)
    return pd.DataFrame({"prediction": _loaded[name].predict(frame.to_numpy())})
