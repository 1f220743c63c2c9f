"""Steps over S3. moto does not check conditions atomically, so one process works at a time."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import eventually
from tests.worker.pipelines import Pipeline, by_hand, two_steps

pytestmark = [pytest.mark.extended, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]

DATA = {f"{number:02}.csv": f"{number}\n{number * 3}\n" for number in range(12)}


@pytest.fixture
def bucket(s3: str) -> Iterator[Any]:
    import s3fs

    fs = s3fs.S3FileSystem()
    for name, content in DATA.items():
        fs.pipe_file(f"bucket/data/{name}", content.encode())
    yield fs
    s3fs.S3FileSystem.clear_instance_cache()


def job(folder: Path, name: str) -> Pipeline:
    pipeline = Pipeline(
        folder / name, name=name, output_uri=f"s3://bucket/{name}", spec={"reuse_uri": "s3://bucket/reuse"}
    )
    return two_steps(pipeline, "s3://bucket/data")


def published(fs: Any, pipeline: Pipeline) -> dict[str, bytes]:
    root = pipeline.output_uri.removeprefix("s3://")
    manifest = json.loads(fs.cat_file(f"{root}/manifest.json"))
    return {file["name"]: fs.cat_file(f"{root}/{file['name']}") for file in manifest["files"]}


def test_steps_over_s3_killed_resumed_and_used_again(bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, content in DATA.items():
        (tmp_path / "data" / name).write_text(content)
    expected = by_hand(tmp_path / "hand", tmp_path / "data")
    first = job(tmp_path, "first")
    first.do("plan")
    worker = first.start("step", "--step", "prepare")
    eventually(lambda: bucket.find("bucket/first/_batch/steps/prepare") or bucket.invalidate_cache())
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=30)
    for step in ("prepare", "score"):
        first.do_step(step)
    first.do("publish")
    assert published(bucket, first) == expected
    bucket.invalidate_cache()
    assert len(bucket.ls("bucket/first/_batch/steps/prepare")) == 2, "done.json and what it names"

    second = job(tmp_path, "second")
    second.run()
    assert second.do("publish")["reused"] == ["prepare", "score"]
    assert published(bucket, second) == expected

    # Content decides: the same bytes written again are the same, others are not.
    bucket.pipe_file("bucket/data/00.csv", DATA["00.csv"].encode())
    for name, content, is_reused in (("third", DATA["00.csv"], True), ("fourth", "7\n", False)):
        bucket.pipe_file("bucket/data/00.csv", content.encode())
        again = job(tmp_path, name)
        again.do("plan")
        assert (again.do_step("prepare")["reused_from"] is not None) == is_reused


def test_an_object_whose_name_leads_elsewhere_is_refused(bucket: Any, tmp_path: Path) -> None:
    import boto3

    boto3.client("s3").put_object(Bucket="bucket", Key="evil/a/../../../../x", Body=b"x")
    pipeline = Pipeline(tmp_path / "job", output_uri="s3://bucket/evil-job")
    given = {"x": {"type": "uri_folder", "value": "s3://bucket/evil"}}
    pipeline.step("one", f"{sys.executable} -V", inputs=given)
    assert "whose name is no path below it" in pipeline.failing("one")
