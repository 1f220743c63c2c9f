"""Spark: MLflow's own ``spark_udf`` in local mode."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks import models
from benchmarks.workloads import ROW_NUMBER, Workload

FORMATS = {"parquet", "csv"}
BATCH_ROWS = 100_000


def score(workload: Workload, output: Path, processes: int) -> None:
    """Score on ``local[n]``; rows come in any order, so the row number goes along."""
    # Otherwise Spark's Python workers are whatever `python3` is first on the path.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    import mlflow
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import struct

    spark = (
        SparkSession.builder.master(f"local[{processes}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(output / "_spark"))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
        .config("spark.sql.warehouse.dir", str(output / "_warehouse"))
        .getOrCreate()
    )
    kind = "boolean" if workload.model == "logistic" else "double"
    predict = mlflow.pyfunc.spark_udf(spark, str(workload.model_path), result_type=kind, env_manager="local")
    pattern = str(workload.folder / f"*.{workload.format}")
    rows = (
        spark.read.csv(pattern, header=True, schema=_schema(spark, workload))
        if workload.format == "csv"
        else spark.read.parquet(pattern)
    )
    rows.select(ROW_NUMBER, predict(struct(*models.FEATURES)).alias("prediction")).write.parquet(
        str(output / "predictions")
    )
    spark.stop()


def _schema(spark: object, workload: Workload) -> str:
    """Return the columns of the CSV files, which have them in this order."""
    import pyarrow.csv

    kinds = {"double": "double", "int64": "bigint", "string": "string"}
    found = pyarrow.csv.read_csv(workload.paths[0]).schema
    return ", ".join(
        f"{name} {'double' if name in models.FEATURES else kinds[str(found.field(name).type)]}" for name in found.names
    )
