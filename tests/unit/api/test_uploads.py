from __future__ import annotations

import contextlib
import errno
import io
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import UploadFile

from airflow_batch_endpoints.api.uploads import save
from airflow_batch_endpoints.exceptions import DocumentError, InfrastructureError


def part(name: str) -> UploadFile:
    return UploadFile(io.BytesIO(b"content"), filename=name)


def test_parts_keep_their_paths(tmp_path: Path) -> None:
    assert save([part("code/score.py"), part("a b.yml")], tmp_path, "file") == [
        tmp_path / "code/score.py",
        tmp_path / "a b.yml",
    ]
    assert (tmp_path / "code" / "score.py").read_bytes() == b"content"


@pytest.mark.parametrize(
    "name", ["", "/etc/x", "../x", "a/../../x", "a\\x", "a//x", "a/", ".", "a\0b", "x" * 201, "/".join("a" * 33)]
)
def test_hostile_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(DocumentError, match="no relative path"):
        save([part(name)], tmp_path / "in", "file")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_names_that_meet(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(DocumentError, match="twice"):
        save([part(name) for name in names], tmp_path, "file")


@pytest.mark.parametrize("name", ["\u540d" * 100, "/".join(["\u540d" * 70] * 30)])
def test_names_that_no_disk_takes(tmp_path: Path, name: str) -> None:
    """Few characters, and many bytes: 255 of a name and 4096 of a path are the limits of Linux."""
    with pytest.raises(DocumentError, match=rf"has {len(name.encode())} bytes, .*shorten it"):
        save([part(name)], tmp_path, "file")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(InfrastructureError, match="cannot write what was uploaded: No space left on device"):
        save([part("a")], tmp_path, "file")


@given(st.lists(st.text(st.sampled_from("ab./\\\0~é ")), max_size=4))
def test_nothing_leaves_the_folder(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("root")
    with contextlib.suppress(DocumentError):
        save([part(name) for name in names], root / "in", "file")
    assert [path.name for path in root.iterdir()] in ([], ["in"])
