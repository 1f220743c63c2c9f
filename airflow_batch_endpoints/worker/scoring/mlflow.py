"""MLflow models without code: files are read by the model's signature and predicted a mini-batch at a time."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_batch_endpoints.exceptions import InfrastructureError, ModelError
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.storage.uris import shown_path
from airflow_batch_endpoints.worker.publishing import schemas
from airflow_batch_endpoints.worker.scoring import reading, spans
from airflow_batch_endpoints.worker.scoring.base import ItemFailure, ScoredBatch, ScoringError
from airflow_batch_endpoints.worker.scoring.fetching import local_files
from airflow_batch_endpoints.worker.scoring.frames import PREDICTION

log = logging.getLogger(__name__)

FILE_NAME, ROW = "file_name", "row"
_OUTAGES = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH}
"""What a file system of the network says when it is the network that fails, not the file."""


class MlflowScorer:
    """Scores files with an MLflow model.

    :param model: local folder of the model.
    """

    def __init__(self, spec: JobSpec, model: Path, scratch: Path) -> None:
        self._spec = spec
        self._path = model
        self._scratch = scratch
        self._model: Any = None
        self._schema: Any = None
        self._columns = reading.Columns(None)

    def load(self) -> None:
        """Load the model, once for all forked slots.

        :raises ModelError: with the reason, and the packages the model asks for that are not as it asks.
        """
        try:
            import mlflow.pyfunc
        except ImportError:
            raise ModelError(
                "the deployment has no scoring script, so its model must be one of MLflow, which is not installed here; "
                "install it with: pip install 'airflow-batch-endpoints[mlflow]'"
            ) from None
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        try:
            self._model = mlflow.pyfunc.load_model(str(self._path), suppress_warnings=True)
        except Exception as error:
            # Unpickling runs anything, so anything may be raised; all of it means the same to the user.
            unmet = _unmet_requirements(self._path)
            raise ModelError(
                f"the MLflow model cannot be loaded here: {type(error).__name__}: {error}{unmet}"
            ) from error
        self._schema = self._model.metadata.get_input_schema()
        settings = self._spec.settings
        self._columns = reading.Columns(self._schema, settings.input_columns or () if settings.join_input else None)

    def init(self, slot: int) -> None:
        """Nothing: the model is there already."""

    def score(self, items: Sequence[Item]) -> ScoredBatch:
        """Read every file, predict them together, and say of each row which file it came from."""
        failures: list[ItemFailure] = []
        read: list[tuple[Item, pa.Table]] = []
        whole = [item for item in items if item.range is None]
        with local_files(whole, self._spec.allowed_input_uris, self._scratch) as paths:
            path_of = dict(zip((item.number for item in whole), paths, strict=True))
            if any(reading.is_image(item.path) for item in whole):
                return self._score_images(items, [path_of.get(item.number, "") for item in items])
            for item in items:
                try:
                    read.append((item, self._read(item, path_of.get(item.number))))
                except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
                    if getattr(error, "errno", None) in _OUTAGES:
                        raise InfrastructureError(f"{item.label} cannot be read: {error}") from error
                    failures.append(ItemFailure.of(item, error))
        if not sum(part.num_rows for _, part in read):
            return ScoredBatch(None, failures)
        origin = _origin([(item, part.num_rows) for item, part in read])
        joined = self._joined([part for _, part in read])
        table = _concatenate([self._columns.of_model(part) for _, part in read])
        del read
        predictions = self._predict(reading.to_pandas(table, self._schema), table.num_rows)
        _require_distinct(origin, joined, predictions)
        return ScoredBatch(pa.table({**origin, **joined, **predictions}), failures)

    def _read(self, item: Item, path: str | None) -> pa.Table:
        if item.range is not None:
            return spans.read(item, item.range, self._columns)
        return reading.read_table(path, item.path, self._columns)

    def _joined(self, tables: Sequence[pa.Table]) -> dict[str, pa.ChunkedArray]:
        """Return the columns of the input that go beside the predictions, by the rules that hold for the whole output."""
        parts = [part for table in tables if (part := self._columns.of_output(table)) is not None]
        if not parts:
            return {}
        schema = schemas.unify(part.schema for part in parts)
        joined = pa.concat_tables([schemas.conform(part, schema) for part in parts])
        return dict(zip(joined.column_names, joined.columns, strict=True))

    def _score_images(self, items: Sequence[Item], paths: Sequence[str]) -> ScoredBatch:
        """Predict image by image, as Azure ML does: a model's tensor need not have a dimension for many."""
        if self._columns.joined is not None:
            raise ScoringError(
                "join_input puts columns of tables beside the predictions, and images have none; leave it out"
            )
        failures: list[ItemFailure] = []
        tables = []
        for item, path in zip(items, paths, strict=True):
            try:
                predicted = self._model.predict(reading.read_image(path, item.path, self._schema))
                columns = _columns(predicted, None)
                count = len(next(iter(columns.values())))
                tables.append(pa.table({**_origin([(item, count)], with_rows=False), **columns}))
            except Exception as error:  # noqa: BLE001 - a model may raise anything; the other images go on
                failures.append(ItemFailure.of(item, error))
        return ScoredBatch(pa.concat_tables(tables, promote_options="permissive") if tables else None, failures)

    def _predict(self, frame: pd.DataFrame, rows: int) -> dict[str, pa.Array]:
        return _columns(self._model.predict(frame), rows)

    def close(self) -> None:
        """Nothing to clean up."""


def _concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    # Promoting costs much more than what it does for small files, which mostly have one schema.
    if all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables)
    return pa.concat_tables(tables, promote_options="permissive")


def _require_distinct(origin: Iterable[str], joined: Iterable[str], predictions: Iterable[str]) -> None:
    taken = sorted(set(joined) & {*origin, *predictions})
    if taken:
        raise ScoringError(
            f"the input's columns {taken} have names that the output uses itself; pick others with settings.input_columns"
        )


def _origin(counts: Sequence[tuple[Item, int]], *, with_rows: bool = True) -> dict[str, pa.Array]:
    """Return the columns that say where each row came from."""
    indices = np.repeat(np.arange(len(counts), dtype=np.int32), [count for _, count in counts])
    names = pa.array([shown_path(item.path) for item, _ in counts], pa.string())
    columns: dict[str, pa.Array] = {FILE_NAME: pa.DictionaryArray.from_arrays(pa.array(indices), names)}
    if with_rows:
        columns[ROW] = pa.array(
            np.concatenate(
                [np.arange(item.first_row, item.first_row + count, dtype=np.int64) for item, count in counts]
            )
        )
    return columns


def _columns(predicted: Any, rows: int | None) -> dict[str, pa.Array]:
    """Return the prediction columns of whatever ``predict`` returned."""
    columns: dict[str, Any]
    if isinstance(predicted, pd.DataFrame):
        columns = {str(name): predicted.iloc[:, position] for position, name in enumerate(predicted.columns)}
    elif isinstance(predicted, pd.Series):
        columns = {PREDICTION: predicted}
    elif isinstance(predicted, dict):
        columns = {str(name): np.asarray(values) for name, values in predicted.items()}
    else:
        values = np.asarray(predicted)
        if values.ndim == 0:
            values = values.reshape(1)
        if values.ndim == 1:
            columns = {PREDICTION: values}
        elif values.ndim == 2 and values.shape[1] == 1:
            columns = {PREDICTION: values[:, 0]}
        elif values.ndim == 2:
            columns = {f"{PREDICTION}_{column}": values[:, column] for column in range(values.shape[1])}
        else:
            columns = {PREDICTION: [str(value.tolist()) for value in values]}
    for name, column in columns.items():
        if rows is not None and len(column) != rows:
            raise ScoringError(f"predict returned {len(column)} values in {name!r} for {rows} rows")
    taken = {FILE_NAME, ROW} & columns.keys()
    if taken:
        raise ScoringError(
            f"the model's output has the columns {sorted(taken)}, which are ours; rename them in the model"
        )
    return {name: _arrow(column) for name, column in columns.items()}


def _arrow(column: Any) -> pa.Array:
    try:
        array = pa.array(column, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        array = pa.array([str(value) for value in column], pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _unmet_requirements(model: Path) -> str:
    """Name the packages that are not as the model's own requirements ask."""
    from airflow_batch_endpoints.worker.environments.wanted import from_requirements, unmet_requirements

    try:
        text = (model / "requirements.txt").read_text(encoding="utf-8")
        unmet = unmet_requirements(from_requirements(text, "requirements.txt").requirements)
    except OSError:
        return ""
    return f"\nIts requirements.txt asks for {', '.join(unmet)}." if unmet else ""
