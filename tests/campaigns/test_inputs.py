"""Inputs nobody would make on purpose, and some do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.conftest import Job

SIZES = """
import os
def init():
    pass
def run(mini_batch):
    return [os.path.relpath(path, {root!r}) + " " + str(len(open(path, "rb").read())) for path in mini_batch]
"""


@pytest.fixture
def sized(make_job: Callable[..., Job]) -> Job:
    job = make_job("sized")
    (job.folder / "in").mkdir()
    return job.script(SIZES.format(root=str(job.folder / "in")))


def rows(job: Job) -> list[str]:
    return [line.strip('"') for line in job.predictions().decode().splitlines()[1:]]


def test_a_line_that_does_not_fit_into_memory_is_one_dead_letter(sized: Job) -> None:
    with (sized.folder / "in" / "one_line.csv").open("wb") as file:
        file.truncate(900 * 2**20)
    sized.files({"ok.csv": "x\n1\n"})
    sized.spec["memory_bytes"] = 300 * 2**20
    result = sized.run(mini_batch_size=2, retry_settings={"max_retries": 0})
    assert (result["succeeded"], result["failed"]) == (1, 1)
    (letter,) = sized.dead_letters()
    assert letter["item"] == "one_line.csv"
    assert "OOMKilled" in letter["message"]


def test_very_many_tiny_files(sized: Job) -> None:
    count = 50_000
    for number in range(count):
        (sized.folder / "in" / f"{number:05}.csv").write_bytes(b"1")
    result = sized.run(mini_batch_size=100, max_concurrency_per_instance=2)
    assert (result["listed"], result["succeeded"]) == (count, count)
    assert rows(sized) == [f"{number:05}.csv 1" for number in range(count)]


def test_names_and_contents_that_are_no_text(sized: Job) -> None:
    folder = os.fsencode(sized.folder / "in")
    for name in (
        b"caf\xe9.csv",
        b"new\nline.csv",
        b'quote".csv',
        b"\xf0\x9f\x8d\x8b.csv",
        b" space .csv",
        b"100%25.csv",
        b"a#b?c.csv",
    ):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"\xff\xfe\x00" * 10)
    sized.script(
        "import os\ndef init(): pass\ndef run(b): return [ascii(os.path.basename(p)) for p in b if open(p, 'rb').read()]\n"
    )
    result = sized.run(mini_batch_size=3)
    assert (result["succeeded"], result["failed"]) == (7, 0)


def test_files_that_vanish_shrink_or_grow_after_planning(sized: Job) -> None:
    sized.files({f"{number}.csv": "12345" for number in range(6)})
    sized.do("plan", mini_batch_size=2, retry_settings={"max_retries": 0})
    (sized.folder / "in" / "1.csv").unlink()
    (sized.folder / "in" / "2.csv").write_text("1234567890")
    (sized.folder / "in" / "3.csv").write_text("")
    (sized.folder / "in" / "4.csv").unlink()
    (sized.folder / "in" / "4.csv").mkdir()
    sized.files({"6.csv": "late"})
    sized.do("score", "--instance", "0")
    result = sized.do("publish")
    assert (result["listed"], result["succeeded"], result["failed"]) == (6, 4, 2)
    assert rows(sized) == ["0.csv 5", "2.csv 10", "3.csv 0", "5.csv 5"]
    assert [(letter["item"], letter["error_type"]) for letter in sized.dead_letters()] == [
        ("1.csv", "FileNotFoundError"), ("4.csv", "IsADirectoryError"),
    ]  # fmt: skip


def test_files_that_cannot_be_read_are_dead_letters(sized: Job) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    sized.files({"0.csv": "1", "1.csv": "1"})
    (sized.folder / "in" / "1.csv").chmod(0)
    result = sized.run(retry_settings={"max_retries": 0})
    assert (result["succeeded"], result["failed"]) == (1, 1)
    assert sized.dead_letters()[0]["error_type"] == "PermissionError"


def test_pipes_links_and_hidden_files_are_left_out_and_names_may_repeat(sized: Job) -> None:
    folder = sized.folder / "in"
    os.mkfifo(folder / "pipe.csv")
    (folder / "passwd.csv").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.csv").symlink_to(folder / "nowhere")
    sized.files(
        {name: "1" for name in (".hidden.csv", "_SUCCESS", "_delta_log/0.json", "a/same.csv", "b/same.csv", "same.csv")}
    )
    result = sized.run(mini_batch_size=2)
    assert result["listed"] == 3
    assert rows(sized) == ["a/same.csv 1", "b/same.csv 1", "same.csv 1"]
    assert "SIGKILL" not in sized.log


@pytest.mark.parametrize(
    ("action", "succeeded"),
    [("05-nonutf8-filename", 2), ("07-duplicate-basenames", 3), ("09-symlink-outside", 1), ("11-grows-after-planning", 2),
     ("13-hidden-and-system", 1), ("15-fifo", 1), ("01-empty-folder", 0), ("03-single-line-1gb", 1)],
)  # fmt: skip
def test_inputs_of_the_cases(make_job: Callable[..., Job], cases: Path, action: str, succeeded: int) -> None:
    job = make_job(action).script("def init(): pass\ndef run(b):\n    return [len(open(p, 'rb').read()) for p in b]\n")
    subprocess.run(["sh", str(cases / "bad" / "actions" / f"{action}.sh"), str(job.folder / "in")], check=True)
    if succeeded == 0:
        assert "no input files found" in job.do("plan", code=2)["error"]["message"]
        return
    job.spec["memory_bytes"] = 512 * 2**20
    job.do("plan", mini_batch_size=2, retry_settings={"max_retries": 0})
    job.files({"3.csv": "late"})
    job.do("score", "--instance", "0")
    result = job.do("publish")
    assert result["succeeded"] == succeeded
    assert result["failed"] == (1 if action.startswith("03") else 0)
    if action.startswith("03"):
        assert "OOMKilled" in job.dead_letters()[0]["message"]
