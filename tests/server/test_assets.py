from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients import body
from tests.server.conftest import ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

LAKE = {"type": "uri", "uri": "file:///data/lake", "conn_id": "lake"}


def told(server: ApiServer, name: str) -> list[dict[str, Any]]:
    """Return what the events of a data asset say, oldest first."""
    found = server.api("GET", f"assets?name_pattern=batch_endpoints.data.{name}")["assets"]
    if not found:
        return []
    events = server.api("GET", f"assets/events?asset_id={found[0]['id']}&order_by=timestamp")["asset_events"]
    return [event["extra"] for event in events]


def test_data_assets_have_versions_and_events(server: ApiServer) -> None:
    path, lake = "/v1/assets/data/heart", "/v1/datastores/lake"
    first, second = ({"type": "uri_folder", "path": f"azureml://datastores/lake/paths/{day}"} for day in ("1", "2"))
    refused = server.rest("POST", f"{path}/versions", json=first)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "path")
    assert "there is no data store 'lake'" in refused.json()["detail"]
    assert server.rest("PUT", lake, json=LAKE).status_code == 201
    answers = [server.rest("POST", f"{path}/versions", json=each) for each in (first, first, second)]
    assert [(answer.status_code, answer.json()["version"]) for answer in answers] == [
        (201, "1"),
        (200, "1"),
        (201, "2"),
    ]
    taken = server.rest("PUT", f"{path}/versions/1", json=second)
    assert (taken.status_code, "versions do not change" in taken.json()["detail"]) == (409, True)
    noted = server.rest("PUT", f"{path}/versions/1", json={**first, "description": "of January"})
    assert (noted.status_code, noted.json()["document"]["description"]) == (200, "of January")
    server.rest("PUT", lake, json={**LAKE, "conn_id": "other"})
    kept = json.loads(server.client("revisions", "lake", "--datastore", "-o", "json").stdout)
    assert [revision["change"] for revision in kept] == ["updated", "created"]
    server.client("restore", "lake", "--datastore", "--revision", kept[1]["revision"])
    assert server.rest("GET", lake).json()["document"]["conn_id"] == "lake"
    # A new version is an event, a note or a repetition is none.
    assert [event["reference"] for event in told(server, "heart")] == ["azureml:heart:1", "azureml:heart:2"]

    assert server.rest("POST", f"{path}/versions/2/archive").status_code == 204
    newest = server.rest("GET", path).json()
    assert (newest["version"], newest["is_latest"], newest["is_archived"]) == ("1", True, False)
    (listed,) = [asset for asset in server.rest("GET", "/v1/assets/data").json() if asset["name"] == "heart"]
    assert (listed["versions"], listed["archived"], listed["latest"]) == (["1", "2"], ["2"], "1")
    assert server.rest("POST", f"{path}/versions/2/restore").status_code == 204
    assert [row["version"] for row in server.rest("GET", f"{path}/versions").json()] == ["2", "1"]
    assert server.rest("GET", f"{path}/versions/9").status_code == 404

    used = server.rest("DELETE", lake)
    assert (used.status_code, "data heart:1, data heart:2" in used.json()["detail"]) == (409, True)
    for version in ("1", "2"):
        assert server.rest("DELETE", f"{path}/versions/{version}").status_code == 204
    assert server.rest("DELETE", lake).status_code == 204
    assert server.rest("GET", path).status_code == 404
    entries = server.api("GET", "eventLogs?limit=200&order_by=-id")["event_logs"]
    kept = [
        json.loads(entry["extra"])["document"] for entry in entries if entry["event"] == "batch_endpoints.document.put"
    ]
    assert {"batch_endpoints.datastore.lake", "batch_endpoints.data.heart:2"} <= set(kept)
    assert "batch_endpoints.data.heart" not in kept


def test_rights(server: ApiServer) -> None:
    data, environment = {"type": "uri_file", "path": "s3://lake/x"}, {"image": "python:3.12"}
    requests: list[tuple[str, str, Any, tuple[int, ...]]] = [
        ("PUT", "/v1/datastores/mine", LAKE, (403, 403, 201, 200)),
        ("GET", "/v1/datastores", None, (403, 403, 200, 200)),
        ("PUT", "/v1/assets/data/rights/versions/1", data, (403, 403, 201, 200)),
        ("GET", "/v1/assets/data/rights", None, (403, 403, 200, 200)),
        ("POST", "/v1/assets/environment/rights/versions", environment, (403, 403, 201, 200)),
        ("POST", "/v1/assets/data/rights/versions/1/archive", None, (403, 403, 204, 204)),
        ("DELETE", "/v1/assets/data/rights/versions/1", None, (403, 403, 204, 404)),
        ("DELETE", "/v1/datastores/mine", None, (403, 403, 204, 404)),
    ]
    for method, path, document, expected in requests:
        options = {} if document is None else {"json": document}
        found = [
            server.rest(method, path, role=role, **options).status_code for role in ("viewer", "user", "op", "admin")
        ]
        assert tuple(found) == expected, (method, path)
        assert server.rest(method, path, role=None, **options).status_code == 401
    # A list has what the caller may read.
    assert server.rest("GET", "/v1/assets/environment", role="viewer").json() == []
    assert [asset["name"] for asset in server.rest("GET", "/v1/assets/environment").json()] == ["rights"]
    for file in ({"name": "sneaky", **LAKE}, {"name": "sneaky", **data}):
        part = ("document", ("d.yml", json.dumps(file).encode()))
        assert server.rest("POST", "/v1/apply", files=[part], role="user").status_code == 403


def test_what_is_wrong_is_told(server: ApiServer) -> None:
    for path, document, status, said in (
        ("/v1/datastores/x", {"type": "azure_blob", "account_name": "lake", "container_name": "raw",
                              "credentials": {"account_key": "c2VjcmV0"}}, 400, "Kubernetes secret"),
        ("/v1/datastores/x", {"type": "uri_folder", "path": "s3://x"}, 400, "type"),
        ("/v1/datastores/x", {"type": "hdfs"}, 400, "not supported"),
        ("/v1/assets/data/x/versions/1", {"image": "x"}, 400, "kind data"),
        ("/v1/assets/data/x/versions/1", {"type": "uri_file", "path": "beside.csv"}, 400, "upload them with apply"),
        ("/v1/assets/data/x/versions/1", {"type": "uri_file", "path": "s3://x", "version": "2"}, 400, "version"),
        ("/v1/assets/data/x/versions/latest", {"type": "uri_file", "path": "s3://x"}, 400, "newest"),
        ("/v1/assets/data/a:1/versions/1", {"type": "uri_file", "path": "s3://x"}, 404, "no name of one"),
        ("/v1/assets/secrets/x/versions/1", {"type": "uri_file", "path": "s3://x"}, 400, "kind"),
    ):  # fmt: skip
        answer = server.rest("PUT", path, json=document)
        assert (answer.status_code, said in answer.text) == (status, True), (path, answer.text)
        assert "c2VjcmV0" not in answer.text
    assert server.rest("GET", "/v1/datastores/x").status_code == 404
    assert server.rest("GET", "/v1/assets/data/x").status_code == 404


def test_an_invocation_by_reference(server: ApiServer) -> None:
    endpoint = server.endpoint("byname")
    document = {"type": "uri_folder", "path": server.inputs}
    assert server.rest("PUT", "/v1/assets/data/in/versions/1", json=document).status_code == 201
    dry = server.rest("POST", f"/v1/endpoints/{endpoint}/dry-run", json=body("azureml:in@latest"))
    assert dry.status_code == 200, dry.text
    assert (dry.json()["job"]["input_uri"], dry.json()["job"]["assets"]) == (server.inputs, ["azureml:in:1"])
    ghost = server.rest("POST", f"/v1/endpoints/{endpoint}/jobs", json=body("azureml:ghost@latest"))
    assert (ghost.status_code, "there is no data 'ghost'" in ghost.json()["detail"]) == (404, True)


def test_the_command_line_here_and_there(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("1\n")
    file = tmp_path / "d.yml"
    file.write_text("name: cli\ntype: uri_folder\npath: raw\n")
    here = json.loads(server.run("batch-endpoints", "apply", "-f", str(file), "-o", "json").stdout)
    there = json.loads(server.client("apply", "-f", str(file), "-o", "json").stdout)
    assert [(each["kind"], each["version"], each["result"]) for each in (*here, *there)] == [
        ("data", "1", "created"),
        ("data", "1", "unchanged"),
    ]
    assert [event["reference"] for event in told(server, "cli")] == ["azureml:cli:1"]
    shown = json.loads(server.client("assets", "show", "data", "cli", "-o", "json").stdout)
    assert Path(shown["path"].removeprefix("file://"), "a.csv").read_text() == "1\n"
    server.client("assets", "archive", "data", "cli:1")
    assert "that is not archived" in server.client("assets", "show", "data", "cli@latest", code=2).stderr
    listed = json.loads(server.client("assets", "list", "data", "-o", "json").stdout)
    assert [asset["archived"] for asset in listed if asset["name"] == "cli"] == [["1"]]
    assert "expected NAME:VERSION" in server.client("assets", "delete", "data", "cli", "-y", code=2).stderr
    server.client("assets", "delete", "data", "cli:1", "-y")
    assert "no data 'cli'" in server.client("assets", "show", "data", "cli", code=2).stderr
