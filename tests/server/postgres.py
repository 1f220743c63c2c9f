"""A Postgres of its own, in a temporary folder, for the tests that need a real one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def binaries() -> Path | None:
    """Return the folder of Postgres' programs, if it is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def run() -> Iterator[str]:
    """Run a Postgres and yield the URL of an empty database. Skips the test where it is not installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("Postgres is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="batch-endpoints-pg-"))
    # It refuses to run as root.
    user = _unprivileged() if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"user": user, "cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}}
    subprocess.run(
        [programs / "initdb", "-D", folder / "data", "-U", "tester", "--auth=trust", "--no-sync"],
        check=True, capture_output=True, **common,
    )  # fmt: skip
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=200"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *options.split()], stdout=log, stderr=log, **common
        )
    try:
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
        for _ in range(120):
            if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
                break
            assert server.poll() is None, (folder / "log").read_text()
        subprocess.run(
            [programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "tester", "airflow"],
            check=True,
            capture_output=True,
        )
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/airflow"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
