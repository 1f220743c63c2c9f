"""What each role may do: the same with every auth manager."""

from __future__ import annotations

from tests.clients import ROLES, body
from tests.server.conftest import ApiServer


def check_rights(server: ApiServer, name: str) -> None:
    """Try everything as everybody.

    :param name: of an endpoint that is there, with a deployment ``main``.
    """
    endpoint, uri = f"/v1/endpoints/{name}", server.inputs
    # What each role gets: (viewer, user, op, admin); nobody gets anything without a login.
    expected = {
        ("GET", "/v1/endpoints"): (200, 200, 200, 200),
        ("GET", endpoint): (200, 200, 200, 200),
        ("GET", f"{endpoint}/jobs"): (200, 200, 200, 200),
        ("GET", f"{endpoint}/jobs/ghost/progress"): (404, 404, 404, 404),
        ("GET", f"{endpoint}/jobs/ghost/logs"): (404, 404, 404, 404),
        ("POST", f"{endpoint}/jobs/ghost/cancel"): (403, 404, 404, 404),
        ("GET", f"{endpoint}/deployments/main"): (403, 403, 200, 200),
        ("GET", f"{endpoint}/revisions"): (403, 403, 200, 200),
        ("PUT", endpoint): (403, 403, 200, 200),
        ("DELETE", f"{endpoint}/deployments/ghost"): (403, 403, 404, 404),
        ("GET", "/v1/computes"): (403, 403, 200, 200),
        ("PUT", f"/v1/computes/small-{name}"): (403, 403, 201, 200),
        ("DELETE", "/v1/computes/ghost"): (403, 403, 404, 404),
        ("POST", f"{endpoint}/dry-run"): (403, 200, 200, 200),
        ("GET", "/openapi.json"): (200, 200, 200, 200),
    }
    documents = {
        endpoint: {"description": "x"},
        f"/v1/computes/small-{name}": {"type": "local"},
        f"{endpoint}/dry-run": body(uri),
    }
    for (method, path), statuses in expected.items():
        options = {"json": documents[path]} if path in documents and method in ("PUT", "POST") else {}
        found = [server.rest(method, path, role=role, **options).status_code for role in ROLES]
        assert tuple(found) == statuses, (method, path)
        anonymous = server.rest(method, path, role=None, **options)
        assert (anonymous.status_code, anonymous.json()["status"]) == (401, 401)
    assert server.rest("POST", f"{endpoint}/jobs", json=body(uri), role="viewer").status_code == 403
    started = server.rest("POST", f"{endpoint}/jobs", json=body(uri, name="rightful"), role="user")
    assert (started.status_code, started.json()["invoker"]) == (201, "user"), started.text
