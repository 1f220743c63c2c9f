from __future__ import annotations

import errno
import glob
import itertools
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.sizes import Size
from airflow_batch_endpoints.exceptions import InputError, ReachError
from airflow_batch_endpoints.planning import packing
from airflow_batch_endpoints.planning import plan as plans
from airflow_batch_endpoints.planning.listing import Listing, list_input
from airflow_batch_endpoints.storage.local import LocalStore
from airflow_batch_endpoints.storage.uris import normalise


def listing_of(files: dict[str, int]) -> Listing:
    listing = Listing("file:///in")
    for path, size in files.items():
        listing.add(os.fsencode(path), size)
    return listing


@given(
    sizes=st.lists(st.integers(0, 10**9), min_size=1, max_size=400),
    mini_batch_size=st.integers(1, 50),
    slots=st.integers(1, 64),
)
def test_packing_loses_nothing_and_keeps_the_order(sizes: list[int], mini_batch_size: int, slots: int) -> None:
    listing = listing_of({f"{number:04}": size for number, size in enumerate(sizes)})
    plan = plans.make(listing, size=Size(mini_batch_size, "files"), slots=slots)
    shards = [plan.shard(number) for number in range(plan.shard_count)]
    mini_batches = [mini_batch for shard in shards for mini_batch in shard.mini_batches]
    items = [item for mini_batch in mini_batches for item in mini_batch.items]
    assert [(item.number, item.path, item.size) for item in items] == [
        (number, f"{number:04}", size) for number, size in enumerate(sizes)
    ]
    assert [mini_batch.number for mini_batch in mini_batches] == list(range(plan.mini_batch_count))
    assert all(len(mini_batch.items) == mini_batch_size for mini_batch in mini_batches[:-1])
    assert [shard.bytes for shard in shards] == plan.shard_bytes
    assert plan.total_bytes == sum(sizes)


def test_a_job_has_at_most_so_many_shards() -> None:
    shards = packing.shard(np.full(25_000, 100 * 2**20), slots=1000)
    assert len(shards) <= packing.MAX_SHARDS
    assert len(packing.shard(np.full(1000, 10), slots=2)) <= 70


@given(
    paths=st.lists(
        st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b and b"/" not in b), unique=True, min_size=1
    )
)
def test_a_plan_survives_its_file_whatever_the_names(
    paths: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    listing = listing_of({os.fsdecode(path): 1 for path in paths})
    plan = plans.make(listing, size=Size(3, "files"), slots=1)
    content, digest = plans.encode(plan)
    assert plans.encode(plan) == (content, digest)
    store = LocalStore(str(tmp_path_factory.mktemp("plan")))
    store.write("plan", content)
    again = plans.read(store, "plan")
    assert [again.shard(n) for n in range(again.shard_count)] == [plan.shard(n) for n in range(plan.shard_count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "a.csv",
        "deep/er/c.csv",
        ".hidden.csv",
        "_SUCCESS",
        ".ipynb_checkpoints/x.csv",
        "_delta_log/0.json",
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "in"


def names(uri: object, *allowed: object) -> list[str]:
    paths, _ = list_input(normalise(str(uri)), [normalise(str(prefix)) for prefix in allowed]).sorted()
    return [os.fsdecode(path) for path in paths.to_pylist()]


def test_folders_files_and_patterns(folder: Path) -> None:
    assert names(folder) == ["a.csv", "b.csv", "deep/er/c.csv"]
    assert names(folder / "b.csv") == ["b.csv"]
    assert names(folder / "*.csv") == ["a.csv", "b.csv"]
    assert names(folder / "**" / "*.csv") == ["a.csv", "b.csv", "deep/er/c.csv"]
    assert names(folder / "d*") == ["deep/er/c.csv"]
    for nothing in (folder / "missing", folder / "*.parquet", folder / "_delta_log"):
        if nothing.name != "_delta_log":
            with pytest.raises(InputError):
                names(nothing)


def test_links_lead_only_where_one_may_go(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.csv").write_text("x")
    (folder / "passwd.csv").symlink_to("/etc/passwd")
    (folder / "out").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken.csv").symlink_to(folder / "nowhere")
    assert names(folder) == ["a.csv", "b.csv", "deep/er/c.csv"]
    assert names(folder, outside, folder) == ["a.csv", "b.csv", "deep/er/c.csv", "out/o.csv"]


@pytest.mark.parametrize("pattern", ["*/airflow.cfg", "l*/*", "l*", "*.cfg", "**/*.cfg", "**"])
def test_patterns_lead_no_further_than_folders(folder: Path, tmp_path: Path, pattern: str) -> None:
    home = tmp_path / "airflow"
    home.mkdir()
    (home / "airflow.cfg").write_text("secret")
    (folder / "l").symlink_to(home)
    (folder / "k.cfg").symlink_to(home / "airflow.cfg")
    (folder / "own.cfg").write_text("x")
    found = names(folder / "*.cfg", folder)
    assert found == ["own.cfg"]
    try:
        assert not [name for name in names(folder / pattern, folder) if name.startswith(("l", "k"))]
    except InputError as error:
        assert "links that lead outside the input" in str(error)
    assert "l/airflow.cfg" in names(folder / "l*", folder, home), "where one may go, links are followed"


def test_patterns_find_a_file_once(folder: Path) -> None:
    for name in ("loop", "again", "deep/loop", "deep/er/up"):
        (folder / name).symlink_to(folder)
    (folder / "latest").symlink_to(folder / "deep")
    (folder / "self.csv").symlink_to(folder / "self.csv")
    every = ["a.csv", "b.csv", "deep/er/c.csv"]
    for pattern in ("", "**/*.csv", "**", "*", "**/*", "**/**", "*/../**/[a-c].?sv"):
        assert names(folder / pattern) == every, pattern
    assert names(folder / "l*/*/*.csv") == ["latest/er/c.csv", "latest/loop/a.csv", "latest/loop/b.csv"]
    assert names(folder / "**" / "latest" / "er" / "*.csv") == ["latest/er/c.csv"], "by the one name that matches"


@given(
    parts=st.lists(st.sampled_from(["**", "*", "a", "?", "[ab]", "b*"]), min_size=1, max_size=4).filter(
        lambda parts: {*parts} - {"a"}
    )
)
@example(parts=["**", "?", "**"])
@example(parts=["*", "**"])
def test_patterns_match_what_pythons_do(parts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tmp_path_factory.getbasetemp() / "pattern"
    if not top.exists():
        for name in itertools.chain.from_iterable(itertools.product(["a", "b", "bb"], repeat=n) for n in (1, 2, 3)):
            (top / "/".join(name)).mkdir(parents=True, exist_ok=True)
            (top / "/".join(name) / "ab").touch()
            (top / "/".join(name) / "f").touch()
    found = [Path(name) for name in glob.glob(str(top / "/".join(parts)), recursive=True)]
    files = {file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    fixed = top / "/".join(itertools.takewhile(lambda part: part == "a", parts))
    try:
        assert {fixed / name for name in names(top / "/".join(parts))} == files
    except InputError:
        assert not files


def test_what_is_there_by_the_very_name_of_a_pattern_is_checked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "o.csv").write_text("x")
    (folder / "a[1]").mkdir()
    (folder / "a[1]" / "x.csv").write_text("x")
    (folder / "a[1]" / "y.csv").symlink_to(folder / "a[1]" / "x.csv")
    (folder / "a[1]" / "l").symlink_to(tmp_path / "outside")
    assert names(folder / "a[1]", folder) == ["x.csv", "y.csv"]
    with pytest.raises(ReachError):
        names(folder / "a[1]" / "l", folder)


def test_what_cannot_be_read_is_told_where_it_was_meant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: bytes) -> object:
        if path.endswith(b"/lost"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    (folder / "lost").mkdir()
    (folder / "deep" / "x.csv").write_text("x")
    monkeypatch.setattr(os, "scandir", refuse)
    assert names(folder / "*" / "*.csv") == ["deep/x.csv"]
    for meant in ("", "l*"):
        with pytest.raises(InputError, match="lost.*cannot be read"):
            names(folder / meant)


def test_what_is_listed_is_within_reach(folder: Path, tmp_path: Path) -> None:
    (folder / "out").symlink_to(tmp_path)
    for uri in (tmp_path, tmp_path / "*" / "a.csv", folder / "out", folder / "out" / "*"):
        with pytest.raises(ReachError, match="allowed_input_uris"):
            names(uri, folder)
    with pytest.raises(ReachError, match="allowed_input_uris"):
        names("s3://other/in", "s3://lake/in")


def test_what_is_no_file_is_skipped(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    assert "pipe.csv" not in names(folder)
    (folder.parent / "only").mkdir()
    os.mkfifo(folder.parent / "only" / "pipe.csv")
    with pytest.raises(InputError, match="skipped"):
        names(folder.parent / "only")


def test_the_cases(cases: Path, tmp_path: Path) -> None:
    expected = {
        "05-nonutf8-filename": [os.fsdecode(b"caf\xe9.csv"), "ok.csv"],
        "07-duplicate-basenames": ["a/same.csv", "b/same.csv", "c/same.csv"],
        "09-symlink-outside": ["ok.csv"],
        "11-grows-after-planning": ["1.csv", "2.csv"],
        "13-hidden-and-system": ["ok.csv"],
        "15-fifo": ["ok.csv"],
    }
    for name, files in expected.items():
        subprocess.run(
            ["sh", str(cases / "bad" / "actions" / f"{name}.sh"), str(tmp_path / name)], check=True, capture_output=True
        )
        assert names(tmp_path / name) == files
