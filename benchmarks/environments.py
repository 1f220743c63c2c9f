"""The environments that contestants run in. Ours and the bare loop have what the image of the worker has, no more."""

from __future__ import annotations

from benchmarks.places import STATE

WORKER = str(STATE / "worker" / "bin" / "python")
"""Interpreter of ``requirements-worker.txt``."""
PEERS = str(STATE / "peers" / "bin" / "python")
"""Interpreter of ``requirements-peers.txt``; the benchmarks themselves run in it too."""
