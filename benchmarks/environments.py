"""The environments that contestants run in. Ours and the bare loop have what the image of the worker has, no more."""

from __future__ import annotations

import compileall

from benchmarks.places import ROOT, STATE

WORKER = str(STATE / "worker" / "bin" / "python")
"""Interpreter of ``requirements-worker.txt``."""
PEERS = str(STATE / "peers" / "bin" / "python")
"""Interpreter of ``requirements-peers.txt``; the benchmarks themselves run in it too."""


def byte_compile() -> None:
    """Compile what the contestants import of this checkout, as what is installed, and all that is in an image, is compiled."""
    for package in ("airflow_batch_endpoints", "benchmarks"):
        compileall.compile_dir(ROOT / package, quiet=1)
