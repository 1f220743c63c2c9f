"""Whether a contestant has predicted what the bare loop has; what has not does not count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.workloads import ROW_NUMBER

if TYPE_CHECKING:
    import numpy as np


class UnequalError(Exception):
    """Predictions differ."""


def predictions(output: Path) -> np.ndarray[Any, Any]:
    """Read the predictions of a run in the order of its input.

    Files are in natural order of their names, as every contestant writes them; where the order is lost there is a column
    with the row number.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = [
        path
        for path in output.rglob("*.parquet")
        if not any(p.startswith(("_", ".")) for p in path.relative_to(output).parts)
    ]
    tables = []
    for path in sorted(paths, key=lambda path: [int(number) for number in re.findall(r"\d+", path.stem)]):
        with pq.ParquetFile(path) as file:
            tables.append(
                file.read(columns=[name for name in (ROW_NUMBER, "prediction") if name in file.schema_arrow.names])
            )
    table = pa.concat_tables(tables)
    found = table["prediction"].to_numpy()
    if ROW_NUMBER in table.column_names:
        ordered = np.empty_like(found)
        ordered[table[ROW_NUMBER].to_numpy()] = found
        return ordered
    return found


def check(output: Path, reference: Path) -> None:
    """Compare with the reference's predictions; keep them as such when there are none yet.

    :raises UnequalError: with how many rows differ.
    """
    import numpy as np

    found = predictions(output)
    if not reference.exists():
        reference.parent.mkdir(parents=True, exist_ok=True)
        np.save(reference, found)
        return
    expected = np.load(reference)
    if found.shape != expected.shape:
        raise UnequalError(f"{len(found):,} predictions where the bare loop has {len(expected):,}")
    if not np.array_equal(found, expected):
        raise UnequalError(
            f"{np.count_nonzero(found != expected):,} of {len(found):,} predictions differ from the bare loop's"
        )
