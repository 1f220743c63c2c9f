"""Where things are kept. Everything below :data:`STATE` can be made again."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".benchmarks"
DATA = STATE / "data"
MODELS = STATE / "models"
RUNS = STATE / "runs"
SCRATCH = STATE / "scratch"
DOCS = ROOT / "docs"
