"""Building locked environments: each once on a machine, by whoever needs it first."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_batch_endpoints.jobs.spec import LockedEnvironment
from airflow_batch_endpoints.worker.environments import uv

log = logging.getLogger(__name__)


def interpreter(environment: LockedEnvironment) -> Path:
    """Return the interpreter of an environment; the environment is built unless this machine has it.

    :raises ModelError: it cannot be built here.
    :raises InfrastructureError: the package index does not answer, or the disk is full.
    """
    folder = cache() / digest(environment)
    python = folder / "bin" / "python"
    # A folder of that name is whole: it gets the name last. Its interpreter is a link, though, to what may be gone.
    if not python.exists():
        with _alone(folder) as lock:
            if not python.exists():
                _build(environment, folder, lock)
    return python


def cache() -> Path:
    """Return where this machine keeps environments: ``BATCH_ENDPOINTS_ENVIRONMENTS``, or a folder of the user's cache."""
    named = os.environ.get("BATCH_ENDPOINTS_ENVIRONMENTS")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{home}/batch-endpoints/environments").expanduser().absolute()


def digest(environment: LockedEnvironment) -> str:
    """Return what an environment is called: equal names are equal packages for equal machines."""
    content = [sysconfig.get_platform(), environment.python, sorted(environment.packages)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Hold the lock of an environment: who comes second waits, and finds it built."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process builds environment %s; waiting for it", folder.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _build(environment: LockedEnvironment, folder: Path, lock: int) -> None:
    """Build aside and rename: nobody ever sees half an environment."""
    log.info(
        "building environment %s: Python %s, %d packages", folder.name, environment.python, len(environment.packages)
    )
    started = time.monotonic()
    aside = folder.with_suffix(".building")
    for remains in (aside, folder):
        if remains.exists():
            shutil.rmtree(remains)
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = sys.executable if environment.python == own else environment.python
    try:
        # uv holds the lock too: should this process be killed, nobody touches the folder while uv still writes there.
        uv.run(
            "venv", "--quiet", "--relocatable", "--python", python, str(aside),
            what=f"no environment with Python {environment.python}", keep_open=[lock],
        )  # fmt: skip
        (aside / "requirements.txt").write_text("\n".join(environment.packages) + "\n", encoding="utf-8")
        uv.run(
            "pip", "install", "--quiet", "--python", str(aside / "bin" / "python"), "--no-deps", "--only-binary", ":all:",
            "--requirement", str(aside / "requirements.txt"),
            what="the environment cannot be built", keep_open=[lock],
        )  # fmt: skip
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    log.info("built environment %s in %.0f s", folder.name, time.monotonic() - started)


def variables(own: dict[str, str], python: Path, package: Path) -> dict[str, str]:
    """Return the environment variables of a process that runs in a built environment.

    :param own: those of a process in the worker's own environment.
    :param python: interpreter of the environment.
    :param package: folder that holds this package and nothing else.
    """
    return {
        **{name: value for name, value in own.items() if name != "PYTHONHOME"},
        "VIRTUAL_ENV": str(python.parents[1]),
        "PATH": os.pathsep.join([str(python.parent), own.get("PATH", os.defpath)]),
        "PYTHONPATH": str(package),
    }


def expose_package(folder: Path) -> Path:
    """Make a folder that holds this package and nothing of what is installed beside it.

    :return: the folder.
    """
    source = Path(__file__).parents[2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / source.name).symlink_to(source, target_is_directory=True)
    return folder
