"""A folder of this machine that goes away with the work."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder, and remove it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="batch-endpoints-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
