"""Which environment the slots of a job run in: decided once, by ``plan``, down to the version of every package.

The rule: what is asked for is the deployment's ``environment.conda_file``; without one, and without a scoring script, the model's
own ``requirements.txt``, or the pip part of its ``conda.yaml``. If the worker's own environment meets it, or the compute builds
no environments, the slots run in the worker's own. Otherwise an environment is built.
"""

from __future__ import annotations

import logging
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from airflow_batch_endpoints.exceptions import ModelError
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.jobs.spec import JobSpec, LockedEnvironment
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.worker import models
from airflow_batch_endpoints.worker.environments import uv
from airflow_batch_endpoints.worker.environments.wanted import Wanted, from_conda, from_requirements

log = logging.getLogger(__name__)

LEAST_PYTHON = (3, 11)
"""Of slots."""
CONDA_FILE = "environment.conda_file"
OWN_REQUIREMENTS = (
    "fsspec", "numpy", "pandas>=1.5", "pillow", "pyarrow>=14", "pydantic>=2.9", "tenacity>=8.2",
)  # fmt: skip
"""What the code in slots imports. Wider than what the worker itself asks for: models have old pins."""
_TAKEN_FOR_GRANTED = {"setuptools": "setuptools<81"}
"""What older packages import without asking, for conda and virtualenv install it everywhere; ``pkg_resources`` went with 82."""
_STORAGE = {
    ("s3",): "s3fs",
    ("gs", "gcs"): "gcsfs",
    ("abfs", "abfss", "az", "adl"): "adlfs",
    ("http", "https"): "aiohttp",
}
_MLFLOW = {"mlflow", "mlflow-skinny"}
_PIN = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.+!-]+\Z")


def lock(spec: JobSpec) -> LockedEnvironment | None:
    """Return what the slots of a job are to run in; ``None`` for the worker's own environment.

    :param spec: the job, with its model pinned.
    :raises ModelError: there is no such environment, with the resolver's reason.
    :raises InfrastructureError: the package index does not answer.
    """
    wanted = asked_for(spec)
    return None if wanted is None else resolve(wanted, spec.launch, list(_own_requirements(wanted, spec)), LEAST_PYTHON)


def resolve(
    wanted: Wanted, launch: Launch, own: Sequence[str] = (), least_python: tuple[int, int] = (3, 0)
) -> LockedEnvironment | None:
    """Return an environment that holds what is asked for; ``None`` when the worker's own does, or must do.

    :param launch: how the work is launched: its compute says whether environments are built.
    :param own: what we need in it ourselves.
    :param least_python: the oldest Python that will do.
    :raises ModelError: there is no such environment, with the resolver's reason.
    :raises InfrastructureError: the package index does not answer.
    """
    unmet = wanted.unmet()
    if not unmet:
        return None
    if not launch.compute.build_environments:
        log.warning(
            "%s asks for %s; compute %s builds no environments, so the job runs in the worker's own",
            wanted.source, ", ".join(unmet), launch.compute.name,
        )  # fmt: skip
        return None
    wanted.require_installable()
    log.info("%s asks for %s: resolving an environment", wanted.source, ", ".join(unmet))
    python, version = _interpreter(wanted, least_python)
    packages = _resolve(wanted, own, python, version)
    log.info("resolved to an environment with Python %s and %d packages", version, len(packages))
    return LockedEnvironment(python=version, packages=packages)


def asked_for(spec: JobSpec) -> Wanted | None:
    """Return what the deployment or the model asks to run in, if it asks."""
    if spec.conda_file is not None:
        return from_conda(conda_content(spec.conda_file), CONDA_FILE)
    if spec.is_script:
        return None
    found = models.requirements(spec)
    if found is None:
        return None
    name, text = found
    source = f"the model's {name}"
    return from_requirements(text, source) if name == models.REQUIREMENTS else from_conda(text.encode(), source)


def conda_content(conda_file: str | dict[str, Any]) -> bytes | dict[str, Any]:
    """Return what is in a conda file, given by its URI or as it is."""
    if isinstance(conda_file, dict):
        return conda_file
    folder, _, name = conda_file.rpartition("/")
    content = open_store(folder).read(name)
    if content is None:
        raise ModelError(f"{CONDA_FILE} {conda_file} does not exist; apply the deployment again")
    return content


def _interpreter(wanted: Wanted, least: tuple[int, int]) -> tuple[str, str]:
    """Return an interpreter of this machine that will do, and its 3.x."""
    if wanted.is_this_python():
        return sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}"
    asked = str(wanted.python)
    try:
        path = uv.run("python", "find", asked.removeprefix("==").removesuffix(".*"), what=asked).strip()
        version = subprocess.check_output([path, "-c", "import platform; print(platform.python_version())"], text=True)
    except (ModelError, subprocess.CalledProcessError):
        raise ModelError(
            f"{wanted.source} asks for Python {asked}, which is not installed on this machine (the worker's own is "
            f"{platform.python_version()}); install it there, ask for another, or run in the worker's own environment "
            "(build_environments: false of the compute)"
        ) from None
    major, minor, *_ = version.split(".")
    if (int(major), int(minor)) < least:
        raise ModelError(
            f"{wanted.source} asks for Python {asked}, and slots need {'.'.join(map(str, least))} or newer; ask for a "
            "newer one, or run in the worker's own environment (build_environments: false of the compute)"
        )
    return path, f"{major}.{minor}"


def _resolve(wanted: Wanted, own: Sequence[str], python: str, version: str) -> tuple[str, ...]:
    """Return every package with its version: those asked for, together with our own."""
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-lock-") as folder:
        asked, locked = Path(folder, "asked.txt"), Path(folder, "locked.txt")
        asked.write_text("\n".join([*map(str, wanted.requirements), *own]) + "\n", encoding="utf-8")
        # uv keeps to the versions in an output file that is there, where it can: with what is installed here a lock does not
        # change by itself from day to day, and most packages are in the cache already.
        locked.write_text("\n".join(installed()) + "\n", encoding="utf-8")
        uv.run(
            "pip", "compile", "--quiet", str(asked), "--output-file", str(locked), "--python", python, "--only-binary", ":all:",
            "--no-header", "--no-annotate", "--no-strip-extras",
            what=f"what {wanted.source} asks for cannot be installed here (Python {version}, wheels only)"
            + (f" together with what slots need ({', '.join(own)})" if own else ""),
        )  # fmt: skip
        return tuple(line for line in locked.read_text(encoding="utf-8").splitlines() if line[:1].isalnum())


def _own_requirements(wanted: Wanted, spec: JobSpec) -> Iterator[str]:
    yield from OWN_REQUIREMENTS
    schemes = {uri.partition(":")[0] for uri in (spec.input_uri, spec.output_uri)}
    yield from (package for known, package in _STORAGE.items() if schemes.intersection(known))
    yield from taken_for_granted(wanted)
    if not spec.is_script and not _names(wanted) & _MLFLOW:
        yield "mlflow-skinny"


def taken_for_granted(wanted: Wanted) -> list[str]:
    """Return what packages import without asking for it, as far as it is not asked for."""
    return [requirement for name, requirement in _TAKEN_FOR_GRANTED.items() if name not in _names(wanted)]


def _names(wanted: Wanted) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in wanted.requirements}


def installed() -> list[str]:
    """Return what is installed in the worker's own environment, such as ``numpy==1.26.4``, sorted."""
    pins = {f"{distribution.name}=={distribution.version}" for distribution in distributions()}
    return sorted(pin for pin in pins if _PIN.match(pin))
