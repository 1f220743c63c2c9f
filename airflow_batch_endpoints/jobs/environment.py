"""Which environment variables a worker, and the scripts in it, get to see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

BASICS = (
    "PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "PYTHON*", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "OMP_*", "OPENBLAS_*", "MKL_*", "NUMEXPR_*", "CUDA_*", "NVIDIA_*", "ARROW_*",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
"""What programs need to run at all."""
STORAGE = ("AWS_*", "GOOGLE_*", "GCS_*", "AZURE_STORAGE_*", "AZURE_CLIENT_*", "AZURE_TENANT_ID", "FSSPEC_*")
"""What storage libraries read: the compute's own access to inputs and outputs."""
REGISTRY = ("MLFLOW_*",)
"""What MLflow reads. Scripts do not get it: their model is fetched for them."""
INDEXES = ("UV_*", "PIP_*", "XDG_CACHE_HOME")
"""Where packages come from. Scripts do not get it: what they need is installed for them."""
OWN = ("BATCH_ENDPOINTS_*",)
HELD_BACK = (*REGISTRY, *OWN, "UV_*", "PIP_*")
"""What in a pod is for the worker alone: how it reaches the registry and the package index, and what it is told itself."""


def choose(environment: Mapping[str, str], *patterns: Iterable[str]) -> dict[str, str]:
    """Return the variables whose names match one of the patterns.

    :param environment: usually ``os.environ``.
    :param patterns: groups of names; ``*`` stands for anything.
    """
    wanted = [pattern for group in patterns for pattern in group]
    return {name: value for name, value in environment.items() if any(fnmatchcase(name, pattern) for pattern in wanted)}


def for_scripts(environment: Mapping[str, str], *, is_pod: bool) -> dict[str, str]:
    """Return what scripts and the commands of steps see of their worker's environment.

    Beside an Airflow worker that is an allow-list. A pod has nothing of Airflow, only what its image and its compute give it, so
    scripts see it all but for what the worker alone needs.

    :param environment: the worker's own.
    :param is_pod: whether the worker is a pod.
    """
    named = environment.get("BATCH_ENDPOINTS_EXTRA_ENVIRONMENT", "").split()
    chosen = choose(environment, BASICS, STORAGE, named)
    held_back = choose(environment, HELD_BACK) if is_pod else environment
    return chosen | {name: value for name, value in environment.items() if name not in held_back}
