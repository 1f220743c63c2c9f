"""The arithmetic of the benchmarks: what they print is only as true as this."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.checking import UnequalError, check
from benchmarks.measuring import measure
from benchmarks.statistics import Median, paired
from benchmarks.workloads import ROW_NUMBER


def test_the_interval_of_ten_values_leaves_out_one_at_each_end() -> None:
    assert Median.of(range(10)) == Median(4.5, 1, 8, 10)


def test_too_few_values_give_their_range() -> None:
    assert Median.of([3, 1, 2]) == Median(2, 1, 3, 3)
    assert Median.of([7]) == Median(7, 7, 7, 1)


def test_ratios_are_taken_within_rounds() -> None:
    results = [
        {"round": number, "contestant": name, "at": "2026-01-01T10:00:00Z", "cpu": factor * speed}
        for number, speed in enumerate((1, 10, 100))
        for name, factor in (("a", 3), ("b", 2))
    ]
    assert paired(results, "a", "b", "cpu") == Median(1.5, 1.5, 1.5, 3)
    assert paired(results[:1], "a", "b", "cpu") is None


def test_what_ran_another_day_is_not_compared() -> None:
    monday, tuesday = "2026-01-05T10:00:00Z", "2026-01-06T10:00:00Z"
    results = [
        {"round": 1, "contestant": "a", "at": tuesday, "cpu": 3},
        {"round": 1, "contestant": "b", "at": monday, "cpu": 9},
        {"round": 2, "contestant": "a", "at": tuesday, "cpu": 3},
    ]
    assert paired(results, "a", "b", "cpu") is None
    results.append({"round": 2, "contestant": "b", "at": tuesday, "cpu": 2})
    assert paired(results, "a", "b", "cpu") == Median(1.5, 1.5, 1.5, 1)


def test_cpu_of_orphans_counts(tmp_path: Path) -> None:
    """A grandchild whose parent is killed without having reaped it is what slots are."""
    burn = "import time\nwhile time.process_time() < 0.6: pass"
    parent = f"import subprocess, sys, os\nsubprocess.Popen([sys.executable, '-c', {burn!r}])\nos._exit(0)"
    assert measure([sys.executable, "-c", parent], log=tmp_path / "log").cpu >= 0.6


def test_a_failing_command_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="broken on purpose"):
        measure([sys.executable, "-c", "raise SystemExit('broken on purpose')"], log=tmp_path / "log")


def write(folder: Path, name: str, **columns: object) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def test_predictions_are_compared_in_the_order_of_the_input(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "reference", f"part.{number}", prediction=[number])
    check(tmp_path / "reference", tmp_path / "reference.npy")
    assert np.load(tmp_path / "reference.npy").tolist() == list(range(12))
    write(tmp_path / "shuffled", "x", **{ROW_NUMBER: list(range(11, -1, -1)), "prediction": list(range(11, -1, -1))})
    check(tmp_path / "shuffled", tmp_path / "reference.npy")
    write(tmp_path / "wrong", "x", prediction=[*range(11), 0])
    with pytest.raises(UnequalError, match="1 of 12"):
        check(tmp_path / "wrong", tmp_path / "reference.npy")
    write(tmp_path / "short", "x", prediction=[0])
    with pytest.raises(UnequalError, match="1 predictions where"):
        check(tmp_path / "short", tmp_path / "reference.npy")


def test_the_command_line_needs_nothing_but_the_standard_library() -> None:
    code = "import sys, benchmarks.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pyarrow", "matplotlib", "airflow_batch_endpoints"} & set(done.stdout.split())
