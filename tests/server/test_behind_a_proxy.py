"""Behind a reverse proxy, below a path, with several processes, and with outputs that only a connection can read."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.clients import body
from tests.server import jobs
from tests.server.conftest import ApiServer, running

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(900)]
PREFIX = "/team/airflow"
HOP = ("connection", "transfer-encoding", "content-encoding", "content-length", "keep-alive")


class Proxy:
    """A reverse proxy, as Airflow asks for: one that passes on the path as it is."""

    def __init__(self) -> None:
        self.backend = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def forward(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                headers |= {"X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1"}
                try:
                    answer = httpx.request(
                        self.command, outer.backend + self.path, content=content, headers=headers, timeout=120
                    )
                except httpx.HTTPError:
                    self.send_error(502)
                    return
                self.send_response(answer.status_code)
                for name, value in answer.headers.multi_items():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = forward

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.server_address[1]}{PREFIX}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[ApiServer]:
    """An API server of two processes, below a path. Its environment has no access to storage."""
    options = {
        "AIRFLOW__API__WORKERS": "2",
        "AIRFLOW__BATCH_ENDPOINTS__STORAGE_CONN_ID": "outputs",
        "AIRFLOW__BATCH_ENDPOINTS__STORAGE_TIMEOUT_SECONDS": "10",
        "AIRFLOW__BATCH_ENDPOINTS__ALLOWED_OUTPUT_URIS": "s3://bucket",
    }
    options |= dict.fromkeys(
        ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"), ""
    )
    with Proxy() as proxy:
        root = tmp_path_factory.mktemp("behind")
        with running(root, address=proxy.url, options=options, proxy=proxy) as server:
            yield server


def test_rest_below_a_path(behind: ApiServer) -> None:
    server = behind
    endpoint = server.endpoint("proxied")
    found = server.rest("GET", f"/v1/endpoints/{endpoint}").json()
    assert found["scoring_uri"] == f"{server.url}/batch-endpoints/v1/endpoints/{endpoint}/jobs"
    headers = {"Authorization": f"Bearer {server.token('user')}"}
    started = httpx.post(found["scoring_uri"], json=body(server.inputs, name="one"), headers=headers, timeout=60)
    assert (started.status_code, started.headers["location"]) == (201, f"{found['scoring_uri']}/one")
    assert httpx.get(started.headers["location"], headers=headers, timeout=60).json()["invoker"] == "user"
    document = server.rest("GET", "/openapi.json").json()
    assert [entry["url"] for entry in document["servers"]] == [f"{PREFIX}/batch-endpoints"]
    # The command line takes the address with its path.
    assert json.loads(server.client("jobs", "list", endpoint, "-o", "json").stdout)[0]["name"] == "one"


def test_pages_below_a_path(behind: ApiServer) -> None:
    server = behind
    shell = httpx.get(f"{server.url}/batch-endpoints/ui/", timeout=60).text
    assert f'data-root="{PREFIX}/batch-endpoints"' in shell
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        context = started.new_context()
        context.set_default_timeout(90_000)
        context.add_cookies([{"name": "_token", "value": server.token("admin"), "url": f"{server.url}/"}])
        page = context.new_page()
        page.on(
            "response",
            lambda answer: complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )
        page.goto(f"{server.url}/")
        page.get_by_role("link", name="Batch endpoints").click()
        frame = page.frame_locator("iframe")
        frame.get_by_role("link", name="proxied", exact=True).click()
        expect(frame.get_by_role("heading", name="proxied")).to_be_visible()
        frame.get_by_role("link", name="one", exact=True).click()
        expect(frame.get_by_role("heading", name="one")).to_be_visible()
        frame.get_by_role("link", name="DAG run").click()
        page.wait_for_url(f"{server.url}/dags/batch_endpoint.proxied/runs/one**")
        started.close()
    assert [complaint for complaint in complaints if "batch-endpoints" in complaint] == []


def test_several_processes_start_a_job_once(behind: ApiServer) -> None:
    server = behind
    server.token("user")

    def invoke(number: int) -> tuple[int, str]:
        answer = server.rest(
            "POST", "/v1/endpoints/proxied/jobs", json=body(server.inputs), role="user",
            headers={"repeatability_request-id": f"key-{number % 4}"},
        )  # fmt: skip
        return answer.status_code, answer.json().get("name", answer.text)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(invoke, range(24)))
    statuses = [status for status, _ in found]
    assert (statuses.count(201), statuses.count(200)) == (4, 20), found
    assert len({name for _, name in found}) == 4


# -- outputs that only a connection can read -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(behind: ApiServer, s3: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job whose directory is on S3, not published yet."""
    output = "s3://bucket/out/stored"
    jobs.start(behind, "proxied", "stored", output)
    jobs.work(behind, "proxied", "stored", output, tmp_path_factory.mktemp("stored"), publishes=False)
    return "/v1/endpoints/proxied/jobs/stored"


def _connect(server: ApiServer, kind: str, extra: dict[str, Any], **facts: str) -> None:
    found = {entry["connection_id"] for entry in server.api("GET", "connections")["connections"]}
    if "outputs" in found:
        server.api("DELETE", "connections/outputs")
    server.api(
        "POST", "connections", {"connection_id": "outputs", "conn_type": kind, "extra": json.dumps(extra), **facts}
    )


def test_without_access_progress_comes_from_the_run(behind: ApiServer, stored: str) -> None:
    found = behind.rest("GET", f"{stored}/progress").json()
    assert (found["source"], found["spans"]) == ("run", [])
    assert "there is no connection 'outputs'" in found["note"]
    answer = behind.rest("GET", f"{stored}/dead-letters")
    assert (answer.status_code, "storage_conn_id" in answer.json()["detail"]) == (503, True)


@pytest.mark.parametrize("kind", ["aws", "generic"])
def test_progress_through_a_connection(behind: ApiServer, stored: str, kind: str) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    if kind == "aws":
        _connect(behind, kind, {"endpoint_url": endpoint, "region_name": "us-east-1"}, login="x", password="x")
    else:
        _connect(behind, kind, {"key": "x", "secret": "x", "endpoint_url": endpoint})
    for _ in range(9):
        found = behind.rest("GET", f"{stored}/progress", role="viewer").json()
        # On a busy machine each of the two processes may take longer to import what opens the storage.
        if found["source"] == "storage":
            break
    assert found["source"] == "storage", found["note"]
    assert (found["items"], found["items_done"], found["items_failed"], found["mini_batches_done"]) == (4, 4, 1, 4)
    assert {span["state"] for span in found["spans"]} == {"committed"}
    assert all(span["started"] <= span["ended"] and span["instance"] == 0 for span in found["spans"])
    letters = behind.rest("GET", f"{stored}/dead-letters").json()
    assert [group["message"] for group in letters["groups"]] == ["no twos"]
    assert behind.rest("GET", f"{stored}/progress", role=None).status_code == 401


def test_a_storage_that_does_not_answer_holds_nobody_up(behind: ApiServer, stored: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        _connect(
            behind,
            "generic",
            {"key": "x", "secret": "x", "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"},
        )
        found = behind.rest("GET", f"{stored}/progress").json()
        assert (found["source"], found["shards_done"]) == ("run", 0)
        assert "did not answer the API server in 10 s" in found["note"]
        # What needs no storage answers meanwhile.
        assert behind.rest("GET", stored).json()["state"] == "Preparing"


def test_what_a_connection_reads_is_only_what_jobs_may_write(behind: ApiServer, stored: str) -> None:
    jobs.start(behind, "proxied", "elsewhere", "s3://other/stored")
    found = behind.rest("GET", "/v1/endpoints/proxied/jobs/elsewhere/progress").json()
    assert (found["source"], "allowed_output_uris" in found["note"]) == ("run", True)
