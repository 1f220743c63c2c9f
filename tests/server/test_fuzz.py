"""Requests made up from the OpenAPI document: what it says is what the server does, on Postgres."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import body
from tests.server import jobs, postgres
from tests.server.conftest import ApiServer, running

SECONDS = int(os.environ.get("BATCH_ENDPOINTS_FUZZ_SECONDS", "150"))
"""How long, in all."""
pytestmark = [pytest.mark.integration, pytest.mark.fuzz, pytest.mark.timeout(SECONDS + 600)]
# What a request refers to is no matter of a schema: an endpoint that is not there, a folder that jobs may not read, a
# revision that has passed; and an If-Match loses its quotes on the way, being sent as if it were JSON. A request that is
# refused for that is no error; everything else that fits the schema is taken.
CONFIGURATION = """
hooks = "hooks.py"

[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412"]

[[operations]]
include-name-regex = "^(DELETE|PUT) .*|POST .*/(jobs|dry-run|apply|restore|versions)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412"]

[[operations]]
include-name-regex = "^GET .*/(preview|outputs/.*)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409"]
"""
# A path with a line break does not reach the application: what it is mounted in answers that there is nothing.
HOOKS = """
import schemathesis

@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    text = "".join(map(str, (path_parameters or {}).values()))
    return chr(10) not in text and "%0A" not in text
"""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with an endpoint, a compute, revisions, and jobs that are queued, running and done."""
    root = tmp_path_factory.mktemp("fuzzed")
    with postgres.run() as database, running(root, database) as server:
        server.endpoint("fuzzed")
        server.rest("PUT", "/v1/endpoints/fuzzed", json={"description": "changed"})
        server.rest("PUT", "/v1/computes/small", json={"type": "local"})
        server.rest("POST", "/v1/endpoints/fuzzed/jobs", json=body(server.inputs, name="queued"))
        for name in ("scored", "done"):
            folder = server.home / "batch_endpoints" / "outputs" / "fuzzed" / name
            jobs.start(server, "fuzzed", name, folder.as_uri())
            work = root / name
            work.mkdir()
            jobs.work(server, "fuzzed", name, folder.as_uri(), work, publishes=name == "done")
        assert server.rest("GET", "/v1/endpoints/fuzzed/jobs/done").json()["state"] == "Completed"
        yield server


def known_names(server: ApiServer) -> dict[str, list[str]]:
    revisions = server.rest("GET", "/v1/endpoints/fuzzed/revisions").json()["items"]
    return {
        "endpoint": ["fuzzed", "ghost"],
        "deployment": ["main", "other"],
        "compute": ["small", "local"],
        "job": ["queued", "scored", "done", "ghost"],
        "revision": [revision["revision"] for revision in revisions],
        "name": ["predictions.csv", "dead_letters.jsonl", "manifest.json", "../manifest.json"],
    }


def narrowed(document: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    """Return the document with names that are there, so that requests get further than to what is not. They are not deleted."""
    for operations in document["paths"].values():
        for operation in (operation for method, operation in operations.items() if method != "delete"):
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in names:
                    parameter["schema"] = {"type": "string", "enum": names[parameter["name"]]}
    return document


@pytest.mark.parametrize("names", ["known", "any"])
def test_the_document_is_kept(fuzzed: ApiServer, tmp_path: Path, names: str) -> None:
    server = fuzzed
    document = server.rest("GET", "/openapi.json").json()
    unchecked = []
    if names == "known":
        document = narrowed(document, known_names(server))
        # There may be others than those that are known.
        unchecked = ["--exclude-checks", "negative_data_rejection"]
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    (tmp_path / "hooks.py").write_text(HOOKS)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--no-color", "--config-file", "schemathesis.toml", "run",
        "openapi.json", "--url", f"{server.url}/batch-endpoints", "--header", f"Authorization: Bearer {server.token('admin')}",
        "--checks", "all", "--max-time", str(SECONDS // 2), "--continue-on-failure", "--generation-database", "none",
        "--request-timeout", "60", "--warnings", "off", *unchecked,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr
