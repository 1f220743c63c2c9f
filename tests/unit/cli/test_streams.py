"""What arrives in pieces: whole, or a sentence that it broke off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from airflow_batch_endpoints.cli.main import main

JOB = "/batch-endpoints/v1/endpoints/heart/jobs/one"
ANSWERS = {
    f"{JOB}/outputs": json.dumps({"files": [{"name": "a.csv"}, {"name": "b/b.csv"}], "dead_letters": None}).encode(),
    f"{JOB}/outputs/a.csv": b"a\n1\n",
    f"{JOB}/outputs/b/b.csv": b"b\n2\n",
    f"{JOB}/outputs/manifest.json": b"{}",
    f"{JOB}/logs": b"first line\nsecond line\n",
}


@pytest.fixture
def cut() -> set[str]:
    """Paths whose answers end before they are whole."""
    return set()


@pytest.fixture(autouse=True)
def server(cut: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = ANSWERS[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + (self.path in cut)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("BATCH_ENDPOINTS_SERVER", address)
    monkeypatch.setenv("BATCH_ENDPOINTS_TOKEN", "token")
    yield address
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_download(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("older, and longer than what replaces it")
    main(["jobs", "download", "heart", "one", str(tmp_path)])
    assert files(tmp_path) == ["a.csv", "b/b.csv", "manifest.json"]
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"


def test_a_download_that_breaks_off(tmp_path: Path, cut: set[str], capfd: pytest.CaptureFixture[str]) -> None:
    cut.add(f"{JOB}/outputs/b/b.csv")
    with pytest.raises(SystemExit) as ended:
        main(["jobs", "download", "heart", "one", str(tmp_path)])
    assert ended.value.code == 1
    assert "/outputs/b/b.csv broke off: " in capfd.readouterr().err
    assert files(tmp_path) == ["a.csv"], "nothing that is cut lies there, under whatever name"


def test_a_log_that_breaks_off(cut: set[str], capfd: pytest.CaptureFixture[str]) -> None:
    cut.add(f"{JOB}/logs")
    with pytest.raises(SystemExit) as ended:
        main(["jobs", "logs", "heart", "one"])
    assert ended.value.code == 1
    told = capfd.readouterr()
    assert told.out == "first line\nsecond line\n"
    assert "/logs broke off: " in told.err


@pytest.mark.parametrize("name", ["a.csv", "b"])
def test_what_is_in_the_way(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder where a file is to be, and a file where a folder is to be: whatever the operating system does not do."""
    if name == "b":
        (tmp_path / "b").write_text("mine")
    else:
        (tmp_path / "a.csv").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["jobs", "download", "heart", "one", str(tmp_path)])
    assert ended.value.code == 2
    assert f"error: {tmp_path / name}" in capfd.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]
