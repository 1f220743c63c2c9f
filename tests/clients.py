"""Users of a test Airflow, and requests to its REST interface."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.airflow_instance import AirflowInstance, free_port

ROLES = ("viewer", "user", "op", "admin")
"""Users of the same names; their passwords are their names."""


@dataclass
class WithUsers(AirflowInstance):
    """An Airflow with one user of each role of the simple auth manager."""

    wanted_port: int = field(default=0, kw_only=True)
    """Any: other tests may run at the same time."""
    data: Path = field(default_factory=Path, kw_only=True)
    """Where tests have their files, and commands run."""
    _tokens: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @property
    def port(self) -> int:
        """A port that nobody else has: other tests may run beside these."""
        file = self.home / "port"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            file.write_text(str(free_port(0)))
        return int(file.read_text())

    def environment(self) -> dict[str, str]:
        options = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        return super().environment() | options

    def start(self) -> None:
        self.write_passwords()
        super().start()

    def write_passwords(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({role: role for role in ROLES}))

    def token(self, role: str) -> str:
        if role not in self._tokens:
            answer = httpx.post(f"{self.url}/auth/token", json={"username": role, "password": role}, timeout=60)
            assert answer.status_code == 201, answer.text
            self._tokens[role] = answer.json()["access_token"]
        return self._tokens[role]

    def client(self, *arguments: str, role: str = "admin", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``batch-endpoints`` as a machine that knows nothing but the server's address and a token.

        It starts in a tenth of the time that ``airflow batch-endpoints`` needs.
        """
        environment = {
            "PATH": str(Path(sys.executable).parent),
            "BATCH_ENDPOINTS_SERVER": self.url,
            "BATCH_ENDPOINTS_TOKEN": self.token(role),
        }
        return self.completed(["batch-endpoints", *arguments], code, environment)

    def completed(
        self, command: list[str], code: int, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, which ends with a code; without an environment, with this Airflow's."""
        done = subprocess.run(
            command, env=environment or self.environment(), capture_output=True, text=True, check=False, cwd=self.data
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def rest(self, method: str, path: str, *, role: str | None = "admin", **options: Any) -> httpx.Response:
        """Send a request to the REST interface of batch endpoints."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}
        headers |= options.pop("headers", {})
        url = f"{self.url}/batch-endpoints{path}"
        for _ in range(5):
            answer = httpx.request(method, url, headers=headers, timeout=120, **options)
            # On SQLite the database may be locked by another process for longer than one waits for it.
            if answer.status_code != 503 or "locked" not in answer.text:
                break
        return answer

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to Airflow's own API."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token('admin')}"},
        )
        for _ in range(5):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    content = answer.read()
                    return json.loads(content) if content else None
            except urllib.error.HTTPError as error:
                # On SQLite the API server answers 500 while another process holds the lock.
                if error.code != 500:
                    raise AssertionError(f"{error.code} {error.read().decode()}") from error
            time.sleep(1)
        raise AssertionError(f"{method} {path} answered 500 again and again")


def body(uri: str, **more: Any) -> dict[str, Any]:
    """Return the body of an invocation."""
    return {"properties": {"InputData": {"data": {"JobInputType": "UriFolder", "Uri": uri}}, **more}}


def upload(name: str, source: str, **settings: Any) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the parts of an upload: an endpoint, and a deployment that runs a script."""
    endpoint = {"name": name, "description": f"the endpoint {name}"}
    deployment = {
        "name": "main", "endpoint_name": name, "type": "model", "model": {"path": "model"},
        "code_configuration": {"code": "code", "scoring_script": "score.py"}, "settings": settings,
    }  # fmt: skip
    return [
        ("document", ("endpoint.yml", json.dumps(endpoint).encode())),
        ("document", ("deployment.yml", json.dumps(deployment).encode())),
        ("file", ("code/score.py", source.encode())),
        ("file", ("model/weights.txt", b"1\n")),
    ]
