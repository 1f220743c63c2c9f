from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow.types import ColSpec, DataType, Schema

from airflow_batch_endpoints.worker.scoring import reading

ALL = reading.Columns(None)


def read(content: str, name: str, columns: reading.Columns = ALL) -> pa.Table:
    return reading.read_table(pa.BufferReader(content.encode()), name, columns)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01",
        "2026-01-01 10:00:00Z",
        ["2026-01-01", None],
        [["2026-01-01"], []],
        {"at": "2026-01-01", "n": 1, "none": None},
        [{"at": ["2026-01-01"]}],
    ],
)
def test_text_of_json_that_looks_like_a_date_is_text(value: Any) -> None:
    rows = [{"n": 1, "a": value, "z": 1.5}, {"n": 2, "a": None, "z": None}]
    table = read("".join(json.dumps(row) + "\n" for row in rows), "a.jsonl")
    assert table.to_pylist() == rows
    assert table.column_names == ["n", "a", "z"]


def test_a_signature_makes_dates_and_text_of_the_same_json() -> None:
    columns = reading.Columns(Schema([ColSpec(DataType.datetime, "at"), ColSpec(DataType.string, "day")]))
    table = read('{"at": "2026-01-01", "day": "2026-01-01", "more": "2026-01-01"}\n', "a.jsonl", columns)
    assert table.schema == pa.schema([("at", pa.timestamp("ns")), ("day", pa.string())])
    assert table["day"].to_pylist() == ["2026-01-01"]


@pytest.mark.parametrize("at", [0, 1])
def test_records_may_be_longer_than_a_block(tmp_path: Path, at: int) -> None:
    values = ["2026-01-01"] * 3
    values[at] = "x" * (3 * reading.BLOCKS[0])
    for name, content in (
        (
            "a.jsonl",
            "".join(json.dumps({"n": n, "a": value, "day": "2026-01-01"}) + "\n" for n, value in enumerate(values)),
        ),
        ("a.csv", "n,a,day\n" + "".join(f'{n},"{value}",2026-01-01\n' for n, value in enumerate(values))),
    ):
        (tmp_path / name).write_text(content)
        for table in (read(content, name), reading.read_table(str(tmp_path / name), name, ALL)):
            assert table["n"].to_pylist() == [0, 1, 2]
            assert table["a"].to_pylist() == values


def test_a_record_that_is_too_long_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCKS", (1 << 20, 1 << 21))
    content = json.dumps({"a": "x" * (5 << 20)})
    with pytest.raises(ValueError, match="longer than 2 MB"):
        read(content, "a.jsonl")
    with pytest.raises(ValueError, match="changed from number to string"):
        read('{"a": 1}\n{"a": "x"}\n', "a.jsonl")
