"""Storage over HTTP that fails: server errors, throttling, answers cut short, connections reset.

moto's server stands behind a proxy of ours. moto does not check conditions atomically, so one instance works at a time.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.storage import open_store, retries
from tests.worker.conftest import ECHO, Job

SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
)
FAULTS = ("500", "503", "cut", "reset", "unanswered")


class Handler(BaseHTTPRequestHandler):
    """One connection of a client to the proxy."""

    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.draw()
        if fault in ("500", "503"):
            self._answer(int(fault), {}, SLOW_DOWN)
        elif fault == "reset":
            self._reset()
        else:
            status, headers, content = self.proxy.pass_on(self.command, self.path, dict(self.headers), body)
            if fault == "unanswered":
                self._reset()
            else:
                self._answer(status, headers, content, cut=fault == "cut" and len(content) > 1)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._reset()

    def _reset(self) -> None:
        # Closing without lingering sends a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is none of our business."""


class Proxy:
    """Hands requests on to a server, or spoils them.

    :param upstream: host and port of the server.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.rate = 0.0
        """Share of the requests that are spoiled."""
        self.kinds: tuple[str, ...] = FAULTS
        self.spoiled: Counter[str] = Counter()
        self._dice = random.Random(5)
        self._upstream = upstream
        self._server = Server(("127.0.0.1", 0), type("Handler", (Handler,), {"proxy": self}))
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def draw(self) -> str | None:
        """Return what becomes of the next request; ``None`` when it is handed on."""
        if self._dice.random() >= self.rate:
            return None
        kind = self._dice.choice(self.kinds)
        self.spoiled[kind] += 1
        return kind

    def pass_on(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask the server."""
        connection = http.client.HTTPConnection(*self._upstream)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    proxy = Proxy(server.get_host_and_port())
    proxy.pass_on("POST", "/moto-api/reset", {}, b"")  # what moto holds belongs to this whole process
    for name, value in {
        "AWS_ENDPOINT_URL": proxy.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",  # the layers above try again, too: all three together take minutes to give up
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield proxy
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.pass_on("POST", "/moto-api/reset", {}, b"")
    proxy.close()
    server.stop()


@pytest.fixture
def remote(make_job: Callable[..., Job], s3: Proxy) -> Job:
    import s3fs

    job = make_job("remote", input_uri="s3://bucket/in", output_uri="s3://bucket/out").script(ECHO)
    fs = s3fs.S3FileSystem()
    for number in range(8):
        fs.pipe_file(f"bucket/in/{number}.csv", b"%d\n" % number)
    return job


def start(job: Job, command: str, *arguments: str, code: int = 0, **settings: Any) -> dict[str, Any]:
    """Like ``Job.do``, with the output in the bucket."""
    if command != "plan":
        arguments = ("--output-uri", "s3://bucket/out", *arguments)
    return job.do(command, *arguments, code=code, **settings)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_job_over_a_store_that_fails_now_and_then_gives_what_it_always_gives(remote: Job, s3: Proxy) -> None:
    import s3fs

    s3.rate = 0.12
    start(remote, "plan", mini_batch_size=2)
    start(remote, "score", "--instance", "0")
    result = start(remote, "publish")
    s3.rate = 0.0
    assert sum(s3.spoiled.values()) > 5
    assert (result["listed"], result["succeeded"], result["failed"]) == (8, 8, 0)
    lines = s3fs.S3FileSystem().cat_file("bucket/out/predictions.csv").decode().splitlines()
    assert lines == ["prediction", *(f'"{number}.csv:{number}"' for number in range(8))]


@pytest.mark.parametrize("kind", ["500", pytest.param("503", marks=pytest.mark.extended), "reset"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_store_that_stays_away_is_infrastructure_in_one_sentence(remote: Job, s3: Proxy, kind: str) -> None:
    start(remote, "plan", mini_batch_size=2)
    s3.rate, s3.kinds = 1.0, (kind,)
    error = start(remote, "score", "--instance", "0", code=1)["error"]
    assert error["type"] == "InfrastructureError"
    assert "Traceback" not in remote.log
    s3.rate = 0.0
    start(remote, "score", "--instance", "0")
    assert start(remote, "publish")["succeeded"] == 8


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_every_operation_is_tried_again(s3: Proxy, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("s3://bucket/job")
    s3.kinds, s3.rate = (kind,), 0.3
    for number in range(6):
        assert store.create(f"a/{number}", b"mine-%d" % number)
        store.write("b", b"x" * 1000)
        assert store.read("b") == b"x" * 1000
        with store.writer("c") as file:
            file.write(b"y" * 1000)
        with store.reader("c") as file:
            assert file.read() == b"y" * 1000
    assert store.list("a") == [f"a/{number}" for number in range(6)]
    assert s3.spoiled[kind]
    s3.rate = 1.0
    monkeypatch.setattr(retries, "TRIES", 2)
    with pytest.raises(InfrastructureError):
        store.read("b")
