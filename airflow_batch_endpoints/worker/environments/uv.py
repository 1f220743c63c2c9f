"""Running uv: where it gets packages from, and what its failures mean."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from airflow_batch_endpoints.exceptions import BatchEndpointsError, InfrastructureError, ModelError, UserError
from airflow_batch_endpoints.jobs import environment
from airflow_batch_endpoints.storage.uris import without_credentials

log = logging.getLogger(__name__)

MAX_REASON = 800
"""Characters of uv's reason that are told; a message must fit into what a pod leaves behind."""
_LIKE_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CONSTRAINT": "UV_CONSTRAINT",
    "PIP_CERT": "SSL_CERT_FILE",
}
"""What uv calls the settings that people already have for pip."""
_SEPARATED_BY_COMMAS = ("UV_FIND_LINKS",)
_LOST = re.compile(
    r"error sending request|dns error|os error|timed out|timeout|connection|server error|429 Too Many Requests"
    r"|failed to fetch|request failed",
    re.IGNORECASE,
)
_WRONG_ADDRESS = re.compile(r"client error \(4(?!29)\d\d")


def run(*arguments: str, what: str, keep_open: Sequence[int] = ()) -> str:
    """Run uv and return what it says.

    :param what: what it does, for messages.
    :param keep_open: file descriptors that stay open as long as it runs.
    :raises ModelError: with uv's reason: there are no such packages, or they do not go together.
    :raises InfrastructureError: the network, the disk, the index.
    """
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-uv-") as folder:
        # In a folder of its own: uv would take settings from a pyproject.toml in or above the current one.
        process = subprocess.run(
            [_program(), *arguments],
            cwd=folder,
            env=variables(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=keep_open,
        )
    if process.returncode != 0:
        raise failure(what, process.stderr)
    return process.stdout


def variables(own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of uv: settings for pip count where there is none for uv.

    :param own: the worker's.
    """
    chosen = environment.choose(own, environment.BASICS, environment.INDEXES)
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        chosen.pop(name, None)
    for theirs, ours in _LIKE_PIP.items():
        if theirs in chosen and ours not in chosen:
            value = chosen[theirs]
            chosen[ours] = ",".join(value.split()) if ours in _SEPARATED_BY_COMMAS else value
    # Compiled once, here: every process that starts later is several times faster for it.
    return {"UV_COMPILE_BYTECODE": "1", **chosen, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def failure(what: str, said: str) -> BatchEndpointsError:
    """Return what uv's words on standard error mean: something to mend, or something to try again."""
    text = without_credentials(said)
    log.warning("%s: uv says:\n%s", what, text[:8_000])
    reason = re.sub(r"\s+", " ", text).strip().removeprefix("error: ")
    if len(reason) > MAX_REASON:
        reason = f"{reason[:MAX_REASON]}..."
    is_lost = _LOST.search(text) is not None and _WRONG_ADDRESS.search(text) is None
    is_lost = is_lost and "No solution found" not in text
    return (InfrastructureError if is_lost else ModelError)(f"{what}: {reason or 'uv failed without a word'}")


def _program() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        raise UserError(
            "uv is not installed here, which builds environments; install it (pip install uv), or run in the worker's own "
            "environment (build_environments: false of the compute)"
        ) from None
