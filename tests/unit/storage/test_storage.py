from __future__ import annotations

import gzip
import os
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.sizes import Size
from airflow_batch_endpoints.exceptions import InfrastructureError, InputError, ReachError, UserError
from airflow_batch_endpoints.planning import plan as plans
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.planning.listing import list_input
from airflow_batch_endpoints.planning.probe import creates_exclusively
from airflow_batch_endpoints.storage import open_store, retries
from airflow_batch_endpoints.storage.http import download, size_of
from airflow_batch_endpoints.storage.local import LocalStore
from airflow_batch_endpoints.storage.reach import check_reach, is_within
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import join, local_path, normalise
from airflow_batch_endpoints.worker.scoring.fetching import local_files


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("/a/b/../c/", "file:///a/c"),
        ("file:///a/./b/", "file:///a/b"),
        ("FILE:///a%20b", "file:///a b"),
        ("s3://bucket/a//b/../c/", "s3://bucket/a/c"),
        ("s3://bucket/../../etc", "s3://bucket/etc"),
        ("HTTP://Host.Example/x?sig=1", "http://host.example/x?sig=1"),
        ("http://host.example/a/?sig=/../#top", "http://host.example/a?sig=/../"),
        # Only HTTP has queries and fragments.
        ("/a/?.csv", "file:///a/?.csv"),
        ("file:///a/b?/#1/../c#2", "file:///a/b?/c%232"),
        ("file:///a/b%3Fc%231", "file:///a/b?c%231"),
        ("s3://bucket/a/?.csv", "s3://bucket/a/?.csv"),
        ("gs://bucket/a#1/./b?c#2/", "gs://bucket/a#1/b?c#2"),
        ("abfss://box@account.dfs.core.windows.net/a?/b", "abfss://box@account.dfs.core.windows.net/a?/b"),
        # Nothing leads elsewhere here: names of objects in interfaces over HTTP, a dot within a name, an object of that name.
        ("https://host.example/o/a%2Fb.csv?alt=media", "https://host.example/o/a%2Fb.csv?alt=media"),
        ("https://host.example/a%2ecsv?at=/%2e%2e/", "https://host.example/a%2ecsv?at=/%2e%2e/"),
        ("s3://bucket/a/%2e%2e/b", "s3://bucket/a/%2e%2e/b"),
    ],
)
def test_one_way_to_write_a_uri(uri: str, normal: str) -> None:
    assert normalise(uri) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "  ",
        "gopher://x/y",
        "s3://key:secret@bucket/x",
        "http://u:p@host/",
        "s3://a?key:secret@bucket/x",
        "s3:bucket/x",
        "file://host/x",
        "a\0b",
        "s3:///x",
        "x" * 5000,
        "file:///a%00b",
        "https://host.example/a/%2e%2e/b",
        "https://host.example/a/%2E./b",
        "https://host.example/a/%2e/b",
        "https://host.example/a/x%2f..%2f..%2fb",
        "https://host.example/a/..%5Cb",
        "https://host.example/a/..\\b",
    ],
)
def test_what_is_no_uri(uri: str) -> None:
    with pytest.raises(UserError):
        normalise(uri)


@given(st.binary(min_size=1, max_size=30).filter(lambda b: b"\0" not in b and b not in (b".", b"..") and b"/" not in b))
def test_local_names_survive(name: bytes) -> None:
    uri = join("file:///root-of-all", os.fsdecode(name))
    assert normalise(uri) == uri
    assert os.fsencode(local_path(uri)) == b"/root-of-all/" + name


def test_reach_follows_links(tmp_path: Path) -> None:
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    allowed.mkdir()
    secret.mkdir()
    (allowed / "link").symlink_to(secret)
    prefix = normalise(str(allowed))
    assert is_within(normalise(str(allowed / "x" / "*.csv")), prefix)
    assert not is_within(normalise(str(tmp_path / "allowed-not")), prefix)
    for outside in (allowed / "link" / "x", allowed / ".." / "secret", secret):
        with pytest.raises(ReachError, match="allowed_input_uris"):
            check_reach(normalise(str(outside)), [prefix], what="input", option="allowed_input_uris")
    assert is_within("s3://b/a/x", "s3://b/a")
    assert not is_within("s3://b/ab", "s3://b/a")
    assert not is_within("s3://b/a", "gs://b/a")


# -- stores -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store((tmp_path / "job").as_uri())
    return open_store(f"{request.getfixturevalue('s3')}-{tmp_path.name}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_store(store: Store) -> None:
    assert store.read("a/b") is None
    assert store.list("a") == []
    store.delete("a")
    assert store.create("a/b", b"mine")
    assert store.create("a/b", b"mine"), "creating again what is mine is a lost answer, not a conflict"
    assert not store.create("a/b", b"other")
    assert store.read("a/b") == b"mine"
    store.write("a/b", b"new")
    store.write("a/c/d", b"deep")
    assert store.read("a/b") == b"new"
    assert store.list("a") == ["a/b", "a/c"]
    assert sorted(store.walk("a")) == ["a/b", "a/c/d"]
    with store.writer("a/big") as file:
        file.write(b"x" * 100)
    with store.reader("a/big") as file:
        assert file.read(10) + file.read() == b"x" * 100
    with pytest.raises(RuntimeError, match="half"), store.writer("a/half") as file:
        file.write(b"half")
        raise RuntimeError("half")
    assert store.read("a/half") is None
    with pytest.raises(FileNotFoundError), store.reader("a/missing") as file:
        file.read()
    assert creates_exclusively(store)
    store.delete("a")
    assert store.list("a") == []


def test_only_one_of_many_creates(tmp_path: Path) -> None:
    wins: list[int] = []

    def race(number: int) -> None:
        store = LocalStore(str(tmp_path))
        wins.extend(key for key in range(50) if store.create(f"claims/{key}", f"nonce-{number}".encode()))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(50))
    assert not list((tmp_path / "claims").glob(".*"))


# -- HTTP -----------------------------------------------------------------------------------------------------------------


def answer_packed(handler: BaseHTTPRequestHandler) -> None:
    is_packed = handler.path == "/stored-packed.csv" or "gzip" in handler.headers.get("Accept-Encoding", "")
    content = gzip.compress(b"a\n" * 100) if is_packed else b"a\n" * 100
    handler.send_response(200)
    if is_packed:
        handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(content)


REDIRECTS = {
    "/away": "http://169.254.169.254/latest",
    "/inside": "/data/x.csv",
    "/data/out": "/data/%2e%2e/private/x.csv",
}


@pytest.fixture
def server() -> Iterator[str]:
    busy = iter((503, 429))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.path, _, query = self.path.partition("?")
            if self.path in REDIRECTS:
                self.send_response(302)
                self.send_header("Location", REDIRECTS[self.path])
            elif self.path == "/signed/x.csv" and query != "sig=secret":
                self.send_response(403)
            elif self.path == "/down":
                self.send_response(503)
            elif self.path == "/busy/x.csv":
                self.send_response(next(busy, 200))
            elif self.path == "/nonsense":
                self.wfile.write(b"What?\r\n\r\n")
                return
            elif self.path.endswith("packed.csv"):
                answer_packed(self)
                return
            elif self.path in ("/data/x.csv", "/private/x.csv", "/signed/x.csv"):
                self.send_response(200)
                self.send_header("Content-Length", "4")
            else:
                self.send_response(404)
            self.end_headers()
            if self.path.endswith("/x.csv") and self.command == "GET":
                self.wfile.write(b"a\n1\n")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_http_goes_no_further_than_allowed(server: str, tmp_path: Path) -> None:
    allowed = [server]
    assert size_of(f"{server}/data/x.csv", allowed) == 4
    download(f"{server}/inside", tmp_path / "x", allowed)
    assert (tmp_path / "x").read_text() == "a\n1\n"
    with pytest.raises(ReachError, match="redirects to"):
        download(f"{server}/away", tmp_path / "y", allowed)
    with pytest.raises(UserError, match=r"redirect: .* hides '\.' or '\.\.'"):
        download(f"{server}/data/out", tmp_path / "y", [f"{server}/data"])
    assert not (tmp_path / "y").exists()
    with pytest.raises(ReachError, match="private"):
        download(f"{server}/data/x.csv", tmp_path / "y", ["http://example.org"])
    with pytest.raises(ReachError, match="private"):
        download(f"{server.replace('127.0.0.1', 'localhost')}/data/x.csv", tmp_path / "y", ["http://example.org"])
    with pytest.raises(InputError, match="404"):
        download(f"{server}/missing", tmp_path / "y", allowed)


def test_a_server_that_is_busy_is_asked_again(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    download(f"{server}/busy/x.csv", tmp_path / "x", [server])
    assert (tmp_path / "x").read_text() == "a\n1\n"
    monkeypatch.setattr(retries, "TRIES", 2)
    with pytest.raises(InfrastructureError, match=r"downloading .*/down.: .* answers 503 Service Unavailable"):
        download(f"{server}/down", tmp_path / "y", [server])


def test_sizes_are_those_of_what_comes(server: str, tmp_path: Path) -> None:
    for name, size in (("packed", 200), ("stored-packed", 0)):
        assert size_of(f"{server}/{name}.csv", [server]) == size
        download(f"{server}/{name}.csv", tmp_path / name, [server])
        assert (tmp_path / name).read_bytes() == b"a\n" * 100


def test_failures_do_not_tell_what_lets_one_in(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "TRIES", 2)
    key = str(1 << 40)
    for uri, error in (
        (f"{server}/signed/x.csv", InputError),
        (f"{server}/nonsense", InfrastructureError),
        ("http://127.0.0.1:99999/x.csv", InputError),
    ):
        with pytest.raises(error) as told:
            size_of(normalise(f"{uri}?sig={key}"), [server])
        assert key not in "".join(traceback.format_exception(told.value))
    assert "trying again" in caplog.text
    assert key not in caplog.text


def test_the_query_that_lets_one_in_is_in_no_name(server: str, tmp_path: Path) -> None:
    uri = f"{server}/signed/x.csv?sig=secret"
    assert [(item.path, item.uri) for item in items_of(uri, [server])] == [("x.csv", uri)]
    with local_files(items_of(uri, [server]), [server], tmp_path) as (path,):
        assert (Path(path).name, Path(path).read_text()) == ("x.csv", "a\n1\n")
    assert join(f"{server}/signed?sig=secret", "a", "x.csv") == f"{server}/signed/a/x.csv?sig=secret"
    with pytest.raises(ReachError) as told:
        list_input(uri, ["s3://bucket"])
    assert "secret" not in str(told.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_that_hold_the_signs_of_queries(s3: str, tmp_path: Path) -> None:
    names = ["a?b.csv", "c#d.csv", "e?/f.csv"]
    for name in names:
        open_store(f"{s3}-{tmp_path.name}").write(name, name.encode())
    items = items_of(normalise(f"{s3}-{tmp_path.name}/"), [s3.rpartition("/")[0]])
    assert [item.path for item in items] == names
    assert [normalise(item.uri) for item in items] == [item.uri for item in items]
    with local_files(items, (), tmp_path) as paths:
        assert [Path(path).read_text() for path in paths] == names
        assert all(path.endswith(name) for path, name in zip(paths, names, strict=True))


def items_of(uri: str, allowed: list[str]) -> list[Item]:
    plan = plans.make(list_input(uri, allowed), size=Size(10, "files"), slots=1)
    return [item for mini_batch in plan.shard(0).mini_batches for item in mini_batch.items]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_copy(store: Store) -> None:
    store.write("a/x", b"one")
    store.copy("a/x", "b/y")
    store.copy("a/x", "b/y")
    assert store.read("b/y") == b"one"
    store.delete("a")
    assert store.read("b/y") == b"one"
    with pytest.raises(FileNotFoundError):
        store.copy("a/x", "b/z")
    assert store.list("b") == ["b/y"]
