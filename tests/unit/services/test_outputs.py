"""What the API server makes of what lies in an output, whatever that is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.exceptions import ConflictError, InfrastructureError, NotFoundError, UserError
from airflow_batch_endpoints.services import outputs
from airflow_batch_endpoints.services.outputs import JobOutputs
from airflow_batch_endpoints.services.resources import JobDetails


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ALLOWED_OUTPUT_URIS", tmp_path.as_uri())
    (tmp_path / "one").mkdir()
    return tmp_path / "one"


def published(output: Path) -> JobOutputs:
    """The output of job ``one``, which lies there."""

    class OneJob:
        def find(self, endpoint: str, name: str) -> JobDetails:
            return JobDetails(
                name=name,
                endpoint=endpoint,
                state="Completed",
                created=datetime.now(UTC),
                output=output.as_uri(),
                dag_id="-",
                run_id=name,
            )

    jobs: Any = OneJob()
    return JobOutputs(jobs, "heart", "one")


def manifest(output: Path, files: int = 2, **fields: Any) -> None:
    entries = [
        {"name": f"images/{number:012}.png", "rows": None, "bytes": 48_213, "sha256": f"{number:064x}"}
        for number in range(files)
    ]
    content = {"job": "one", "files": entries, "dead_letters": None, **fields}
    (output / "manifest.json").write_text(json.dumps(content, indent=2))


def test_what_was_published(output: Path) -> None:
    letters = {"name": "dead_letters.jsonl", "rows": 1, "bytes": 2, "sha256": "0"}
    manifest(output, dead_letters=letters, outputs={"forged": {"uri": "file:///etc", "files": [{"name": "passwd"}]}})
    names = [f"images/{number:012}.png" for number in range(2)]
    assert published(output).names() == [*names, "dead_letters.jsonl", "manifest.json"]
    described = published(output).describe()
    assert [file.name for file in described.files] == names
    assert described.dead_letters is not None
    assert described.dead_letters.rows == 1
    (output / "images").mkdir()
    (output / names[1]).write_bytes(b"image")
    assert b"".join(published(output).open(names[1])) == b"image"
    assert json.loads(b"".join(published(output).open("manifest.json"))) == described.manifest
    (output / "secret").write_bytes(b"secret")
    for name in ("secret", "forged/passwd"):
        with pytest.raises(NotFoundError, match="has published no file"):
            published(output).open(name)


def test_a_job_with_very_many_files(output: Path) -> None:
    manifest(output, 60_000)
    assert (output / "manifest.json").stat().st_size > 10_000_000
    assert len(published(output).names()) == 60_001
    assert len(published(output).describe().files) == 60_000


def test_a_manifest_that_is_too_large(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest(output)
    size = (output / "manifest.json").stat().st_size
    monkeypatch.setattr(outputs, "MAX_MANIFEST", size)
    assert len(published(output).names()) == 3
    monkeypatch.setattr(outputs, "MAX_MANIFEST", size - 1)
    for read in (JobOutputs.describe, JobOutputs.names, lambda job: job.open("manifest.json")):
        with pytest.raises(UserError, match=rf"more than {size - 1} bytes.*{output.as_uri()}/manifest.json"):
            read(published(output))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"job": "one", "files": [',
        b'{"job": "one"}',
        b'{"job": "one", "files": null}',
        b'{"job": "one", "files": [{"rows": 1}]}',
        b'{"job": "one", "files": [], "outputs": {"x": {"uri": "file:///x"}}}',
        b'{"job": "one", "files": [], "dead_letters": 1}',
        b"\xff\xfe\xfd",
        b"[" * 100_000,
    ],
)
def test_a_damaged_manifest(output: Path, content: bytes) -> None:
    (output / "manifest.json").write_bytes(content)
    for read in (JobOutputs.describe, JobOutputs.names, lambda job: job.open("a"), lambda job: job.preview(rows=1)):
        with pytest.raises(InfrastructureError, match=rf"{output.as_uri()}/manifest.json.*run the job again"):
            read(published(output))


def test_a_manifest_of_another_job(output: Path) -> None:
    (output / "manifest.json").write_text('{"job": "two"}')
    with pytest.raises(ConflictError, match="has published nothing"):
        published(output).describe()


@pytest.mark.parametrize("line", ["{", "[1]", "\x00"])
def test_damaged_dead_letters(output: Path, line: str) -> None:
    (output / "dead_letters.jsonl").write_text('{"item": "a", "error_type": "E", "message": "m"}\n')
    assert published(output).dead_letters(limit=10, offset=0).total == 1
    with (output / "dead_letters.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(InfrastructureError, match="a dead letter in .*/one.*run the job again"):
        published(output).dead_letters(limit=10, offset=0)


def test_damaged_commits(output: Path) -> None:
    """Of a job under way: its dead letters are found by its commits."""
    (output / "_batch" / "commits").mkdir(parents=True)
    (output / "_batch" / "commits" / "00000.json").write_text("[]")
    with pytest.raises(InfrastructureError, match="_batch/commits/00000.json.*run the job again"):
        published(output).dead_letters(limit=10, offset=0)
