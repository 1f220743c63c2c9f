"""A real Airflow for one machine: scheduler, API server, dag-processor and triggerer on SQLite, in one folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
READY_SECONDS = 300
STOP_SECONDS = 20

DAG_FILE = "from airflow_batch_endpoints.dags import build\n\nbuild(globals())  # every endpoint is a DAG\n"


@dataclass
class AirflowInstance:
    """An Airflow whose whole state is in one folder.

    :param home: the folder; made when missing.
    :param allowed_input_uris: what jobs may read, besides what they wrote.
    :param mlflow_tracking_uri: where models are registered.
    """

    home: Path
    allowed_input_uris: str
    mlflow_tracking_uri: str
    wanted_port: int = field(default=8080, kw_only=True)
    """The port that is taken if it is free; 0 for any."""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False, repr=False)

    @property
    def _pids(self) -> Path:
        return self.home / "components.json"

    def environment(self) -> dict[str, str]:
        """Return the environment in which every ``airflow`` command means this instance."""
        options = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": str(self.home / "dags"),
            "CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{self.port}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__WORKERS": "1",
            "API__BASE_URL": self.url,
            "API_AUTH__JWT_SECRET": self._secret("jwt"),
            "API__SECRET_KEY": self._secret("session"),
            "CORE__FERNET_KEY": "",
            "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "BATCH_ENDPOINTS__ALLOWED_INPUT_URIS": self.allowed_input_uris,
            "BATCH_ENDPOINTS__MLFLOW_TRACKING_URI": self.mlflow_tracking_uri,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        # Where this very interpreter lies comes first, so that Airflow's own children find the same one.
        inherited["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
        return (
            inherited
            | {"AIRFLOW_HOME": str(self.home)}
            | {f"AIRFLOW__{name}": value for name, value in options.items()}
        )

    @property
    def url(self) -> str:
        """Address of the user interface."""
        return f"http://localhost:{self.port}"

    @property
    def port(self) -> int:
        """The port, chosen once."""
        file = self.home / "port"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            file.write_text(str(free_port(self.wanted_port)))
        return int(file.read_text())

    def _secret(self, name: str) -> str:
        file = self.home / f"{name}.secret"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(os.urandom(32).hex())
        return file.read_text()

    def command(self, *arguments: str) -> list[str]:
        """Return an ``airflow`` command line."""
        return [str(Path(sys.executable).parent / "airflow"), *arguments]

    def start(self) -> None:
        """Start what is not running, and wait until all of it is healthy."""
        if self.is_healthy():
            return
        self.stop()
        (self.home / "dags").mkdir(parents=True, exist_ok=True)
        (self.home / "dags" / "batch_endpoints.py").write_text(DAG_FILE)
        self._log("db-migrate", self.command("db", "migrate")).wait()
        for component in COMPONENTS:
            self.start_component(component)
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_healthy():
            if time.monotonic() > deadline:
                raise SystemExit(f"Airflow did not become healthy in {READY_SECONDS} s; its logs are in {self.home}")
            time.sleep(0.5)

    def start_component(self, name: str) -> None:
        """Start one component and note who it is, for whoever stops it."""
        pid = self._log(name, self.command(name)).pid
        self._pids.write_text(json.dumps({**self._components(), name: [pid, _start_ticks(pid)]}))

    def _components(self) -> dict[str, list[int]]:
        """Return number and start time of every component's process."""
        return json.loads(self._pids.read_text()) if self._pids.exists() else {}

    def _log(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def is_healthy(self) -> bool:
        """Tell whether every component answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (OSError, urllib.error.URLError, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return self._pids.exists() and all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def stop(self) -> None:
        """Stop every component and whatever it started."""
        if not self._pids.exists():
            return
        # A number that somebody else got later has another start time.
        alive = {pid: ticks for pid, ticks in self._components().values() if _start_ticks(pid) == ticks}
        for pid in alive:
            _signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(_start_ticks(pid) == ticks for pid, ticks in alive.items()) and time.monotonic() < deadline:
            for process in self._processes:
                process.poll()
            time.sleep(0.1)
        for pid in alive:
            _signal_group(pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._pids.unlink()


def _start_ticks(pid: int) -> int:
    """When a process was started, in ticks since the machine was; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def free_port(wanted: int) -> int:
    """Return a port of this machine that nobody listens on: the one that is wanted, or any."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise SystemExit("no free port on 127.0.0.1")
