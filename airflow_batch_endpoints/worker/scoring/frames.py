"""Whatever a scoring script returns, as an Arrow table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_batch_endpoints.worker.scoring.base import ScoringError

PREDICTION = "prediction"
"""Name of the column when the script names none."""


@dataclass(frozen=True)
class Returned:
    """What ``run()`` returned: how many results, and their rows."""

    count: int
    table: pa.Table

    def mentions(self, names: set[str]) -> set[str]:
        """Return which of these names stand in a text column of the results."""
        found: set[str] = set()
        for column in self.table.columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                found |= names & set(column.to_pylist())
        return found


def from_script(result: Any) -> Returned:
    """Return the rows of what ``run()`` returned.

    A data frame keeps its columns (its index is dropped). Everything else is a sequence with one element per result: a list,
    tuple, array, series or generator. Elements that are mappings, or tuples and lists of one length, become columns;
    other elements become the column ``prediction``. Mixed types become text.

    :raises ScoringError: for anything that is not a collection of results.
    """
    if isinstance(result, pd.DataFrame):
        return Returned(len(result), _from_frame(result))
    if isinstance(result, pd.Series):
        result = result.to_list()
    elif isinstance(result, np.ndarray):
        if result.ndim == 0:
            raise _not_results(result)
        result = result.tolist()
    elif result is None or isinstance(result, str | bytes | Mapping) or not isinstance(result, Iterable):
        raise _not_results(result)
    rows = list(result)
    return Returned(len(rows), _from_rows(rows))


def _not_results(result: Any) -> ScoringError:
    return ScoringError(
        f"run() returned {type(result).__name__}; expected a list, a tuple or a pandas data frame with one element per item"
    )


def _from_frame(frame: pd.DataFrame) -> pa.Table:
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        raise ScoringError(f"run() returned a data frame with two columns of one name: {names}")
    return pa.table({name: _column(frame.iloc[:, position]) for position, name in enumerate(names)})


def _from_rows(rows: list[Any]) -> pa.Table:
    rows = [_plain(row) for row in rows]
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(str(name) for row in rows for name in row))
        by_name = [{str(name): value for name, value in row.items()} for row in rows]
        return pa.table({name: _array([row.get(name) for row in by_name]) for name in names})
    if rows and all(isinstance(row, list | tuple) for row in rows) and len({len(row) for row in rows}) == 1 and rows[0]:
        return pa.table(
            {f"{PREDICTION}_{column}": _array(list(values)) for column, values in enumerate(zip(*rows, strict=True))}
        )
    return pa.table({PREDICTION: _array(rows)})


def _plain(value: Any) -> Any:
    """Unwrap NumPy's scalars and arrays, and one-row frames and series, into Python's own."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, pd.Series):
        return value.to_dict()
    return value


def _column(series: pd.Series[Any]) -> pa.Array:
    if series.dtype == object:
        return _array([_plain(value) for value in series])
    try:
        array = pa.array(series, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError):
        return _array([str(value) for value in series])
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _array(values: list[Any]) -> pa.Array:
    """Return a column; what has no common type, or no simple one, becomes text."""
    values = [str(value) if isinstance(value, list | tuple | dict | set) else value for value in values]
    try:
        array = pa.array(values, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())
    return array


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()
