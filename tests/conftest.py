from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# The machine may be busy with other tests; what is slow is not wrong.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


SHARED = ("tests/integration/", "tests/server/")
"""Folders whose tests share an Airflow, which one process starts; the longest first."""
ORDER = (*SHARED, "tests/packaging/", "tests/worker/", "tests/campaigns/", "tests/")


def scope(nodeid: str) -> str:
    return next((folder for folder in SHARED if nodeid.startswith(folder)), nodeid.partition("::")[0])


class Scheduling(LoadScopeScheduling):
    """Keeps together, when several processes share the tests out, those of a file, or of one Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_configure() -> None:
    """Have an order to end take down what tests have started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and end with what can be shared out best."""
    items.sort(key=lambda item: next(n for n, folder in enumerate(ORDER) if item.nodeid.startswith(folder)))


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of cases with known outcomes that BATCH_ENDPOINTS_CASES names."""
    folder = os.environ.get("BATCH_ENDPOINTS_CASES")
    if not folder:
        pytest.skip("BATCH_ENDPOINTS_CASES names no folder of cases")
    return Path(folder)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket on a server of our own; the environment leads there."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    old = {
        name: os.environ.get(name)
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    }
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    import s3fs

    # What moto holds belongs to this whole process, what s3fs holds may know another server.
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket/job"
    server.stop()
    for name, value in old.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
