"""Cutting files: whatever the cuts, the pieces read one after the other are the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.sizes import Size
from airflow_batch_endpoints.exceptions import InfrastructureError, InputError, StoppedError, UserError
from airflow_batch_endpoints.planning import plan as plans
from airflow_batch_endpoints.planning import ranges
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.planning.listing import list_input
from airflow_batch_endpoints.storage.local import LocalStore
from airflow_batch_endpoints.storage.uris import normalise
from airflow_batch_endpoints.worker.scoring import reading, spans

TEXT = st.text(alphabet='ab1",\n\r é', max_size=6)
ALL = reading.Columns(None)
SIZES = st.one_of(
    st.integers(1, 60).map(lambda amount: Size(amount, "bytes")),
    st.integers(1, 5).map(lambda amount: Size(amount, "rows")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges")


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """Chunks so small that everything happens at their borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "CHUNK", 7)
        yield


def pieces(path: Path, size: Size) -> list[tuple[Item, pa.Table]]:
    """Cut a file and read every range, with its columns as text."""
    found = ranges.cut(path.as_uri(), path.name, path.stat().st_size, size)
    items = [Item(n, path.name, path.as_uri(), 0, span) for n, span in enumerate(found.ranges)]
    return [(item, spans.read(item, item.range, ALL)) for item in items if item.range is not None]


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """What stands in a table, whatever types its columns were taken for."""
    return [tuple(str(value) for value in row.values()) for row in table.to_pylist()]


def assert_like_the_whole(path: Path, size: Size, *, cuts: bool = False) -> None:
    whole = reading.read_table(str(path), path.name, ALL)
    parts = pieces(path, size)
    assert parts or not cuts
    if parts:
        assert len(parts) > 1
        assert rows(pa.concat_tables([part.cast(whole.schema) for _, part in parts])) == rows(whole)
        first = 0
        for item, part in parts:
            assert item.first_row == first
            first += part.num_rows
        if size.unit == "rows" and not path.name.endswith(".parquet"):
            assert {part.num_rows for _, part in parts[:-1]} == {size.amount}


@pytest.fixture(autouse=True, scope="module")
def as_text() -> Iterator[None]:
    """Read every column as text, for what is compared is where records begin and end."""

    def read_csv(source: object, options: pa.csv.ConvertOptions) -> pa.Table:
        source = pa.py_buffer(Path(source).read_bytes()) if isinstance(source, str) else source.read_buffer()  # type: ignore[attr-defined]
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        names = pa.csv.read_csv(pa.BufferReader(source), parse_options=parse).column_names
        types = dict.fromkeys(names, pa.string())
        return pa.csv.read_csv(
            pa.BufferReader(source), parse_options=parse, convert_options=pa.csv.ConvertOptions(column_types=types)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_parse_csv", read_csv)
        yield


@given(
    fields=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=12),
    names=st.lists(TEXT, min_size=3, max_size=3, unique=True),
    terminator=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    ending=st.sampled_from(["", "\n", "\n\n"]),
    size=SIZES,
)
@example(
    fields=[("a", '"', "\n")] * 5,
    names=["a", "b\n", "c"],
    terminator="\r\n",
    mark="\ufeff",
    ending="",
    size=Size(1, "rows"),
)
def test_csv(
    fields: list[tuple[str, str, str]],
    names: list[str],
    terminator: str,
    mark: str,
    ending: str,
    size: Size,
    folder: Path,
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=terminator)
    writer.writerows([names, *fields])
    path = folder / "good.csv"
    path.write_bytes((mark + buffer.getvalue().rstrip("\r\n") + ending).encode())
    try:
        reading.read_table(str(path), path.name, ALL)
    except pa.ArrowInvalid:
        return
    assert_like_the_whole(path, size)


@given(text=st.text(alphabet='ab",\n\r', max_size=60), size=SIZES)
@example(text='5" x,1\n"q\nr",2\n"a"b"c,d\n""",\n""\n,"', size=Size(1, "rows"))
@example(text='x"",1\n""",\n""",2\n', size=Size(1, "bytes"))
def test_no_text_that_reads_as_a_whole_reads_otherwise_in_pieces(text: str, size: Size, folder: Path) -> None:
    path = folder / "any.csv"
    path.write_bytes(f"a,b\n{text}".encode())
    try:
        reading.read_table(str(path), path.name, ALL)
    except pa.ArrowInvalid:
        return
    assert_like_the_whole(path, size)


@given(values=st.lists(st.integers() | TEXT, max_size=12), blank=st.sampled_from(["\n", "\n\n", "\r\n"]), size=SIZES)
def test_json_lines(values: list[object], blank: str, size: Size, folder: Path) -> None:
    path = folder / "any.jsonl"
    path.write_text(blank.join(json.dumps({"a": str(value)}) for value in values), newline="")
    if values:
        assert_like_the_whole(path, size)


@given(groups=st.lists(st.integers(1, 5), max_size=8), size=SIZES)
def test_parquet(groups: list[int], size: Size, folder: Path) -> None:
    path = folder / "any.parquet"
    with pq.ParquetWriter(path, pa.schema([("a", pa.int64())])) as writer:
        for count in groups:
            writer.write_table(pa.table({"a": list(range(count))}))
    assert_like_the_whole(path, size, cuts=size.unit == "rows" and len(groups) > 1 and sum(groups) > size.amount)


def test_a_record_larger_than_a_range_is_a_range(folder: Path) -> None:
    path = folder / "long.csv"
    path.write_text("a,b\n1,x\n2," + "y" * 1000 + "\n3,z\n4,z\n")
    assert_like_the_whole(path, Size(10, "bytes"), cuts=True)


def test_what_cannot_be_cut_stays_whole(folder: Path) -> None:
    for name, content in {
        "empty.csv": b"",
        "names.csv": b"a,b\n",
        "packed.csv.gz": b"x" * 100,
        "picture.png": b"x" * 100,
        "broken.parquet": b"x" * 100,
        "quoted.csv": b'a\n"' + b"x\n" * 50,
    }.items():
        path = folder / name
        path.write_bytes(content)
        assert ranges.cut(path.as_uri(), name, len(content), Size(10, "bytes")).ranges == ()


def test_a_file_that_changed_after_planning_is_told(folder: Path) -> None:
    path = folder / "changing.csv"
    lines = [f"{number},x\n" for number in range(10, 30)]
    path.write_text("a,b\n" + "".join(lines))
    span = ranges.cut(path.as_uri(), path.name, path.stat().st_size, Size(5, "rows")).ranges[1]
    item = Item(0, path.name, path.as_uri(), 0, span)
    for changed, sentence in [
        ([*lines, "30,x\n"], "it had 104 bytes and has 109"),
        ([*lines[:5], "15,xxxxxx\n", *lines[7:]], "has 4 rows where planning counted 5"),
        ([*lines[:4], "14,xxx\n5,\n", *lines[6:]], "does not begin at the beginning of a line"),
    ]:
        path.write_text("a,b\n" + "".join(changed))
        with pytest.raises(ValueError, match=sentence):
            spans.read(item, span, ALL)


def test_items_of_bytes_and_rows_are_packed_in_order(tmp_path: Path) -> None:
    for name, count in {"a": 3, "b": 25, "c": 2, "d": 4, "e": 1}.items():
        (tmp_path / f"{name}.csv").write_text("x\n" + "".join(f"{number}\n" for number in range(count)))
    listing = list_input(normalise(str(tmp_path)))
    plan = plans.make(listing, size=Size(10, "rows"), slots=1)
    batches = [batch for number in range(plan.shard_count) for batch in plan.shard(number).mini_batches]
    assert [
        [(item.path[0], item.first_row, item.range.rows if item.range else None) for item in batch.items]
        for batch in batches
    ] == [
        [("a", 0, None)],
        [("b", 0, 10)],
        [("b", 10, 10)],
        [("b", 20, 5), ("c", 0, None)],
        [("d", 0, None), ("e", 0, None)],
    ]
    store = LocalStore(str(tmp_path / "out"))
    store.write("plan", plans.encode(plan)[0])
    again = plans.read(store, "plan")
    assert [again.shard(n) for n in range(again.shard_count)] == [plan.shard(n) for n in range(plan.shard_count)]

    whole = plans.make(listing, size=Size(40, "bytes"), slots=1, cut_files=False)
    assert whole.items == 5
    assert all(
        item.range is None for n in range(whole.shard_count) for b in whole.shard(n).mini_batches for item in b.items
    )


@pytest.mark.parametrize("error", [StoppedError("asked to stop"), InfrastructureError("the store does not answer")])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_is_not_about_a_file_ends_the_planning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("x\n" * 100)

    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr(ranges, "read_range", stop)
    monkeypatch.setattr(ranges, "open_input", stop)
    with pytest.raises(type(error)):
        ranges.cut(path.as_uri(), path.name, 200, Size(10, "bytes"))


@pytest.mark.parametrize("error", [UserError("no access"), OSError("damaged"), ValueError("no Parquet")])
def test_a_file_that_cannot_be_cut_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(ranges, "read_range", refuse)
    assert ranges.cut((tmp_path / "a.csv").as_uri(), "a.csv", 200, Size(10, "bytes")) == ranges.WHOLE


def test_too_many_ranges_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MAX_RANGES", 10)
    (tmp_path / "a.csv").write_text("x\n" * 100)
    with pytest.raises(InputError, match="larger settings.mini_batch_size"):
        plans.make(list_input(normalise(str(tmp_path))), size=Size(1, "rows"), slots=1)
