"""Scoring scripts by Azure ML's contract: ``init()``, ``run(mini_batch)`` and an optional ``shutdown()``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow_batch_endpoints.jobs import shell
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.storage.uris import shown_path
from airflow_batch_endpoints.worker.scoring import frames
from airflow_batch_endpoints.worker.scoring.base import ItemFailure, ScoredBatch, ScoringError, ScriptCall
from airflow_batch_endpoints.worker.scoring.fetching import local_files


class ScriptScorer:
    """Runs a scoring script.

    :param code: local folder of the script; it is put on ``sys.path``.
    :param scratch: local folder for downloads and for what the script writes.
    :param call: its arguments, and what stands in them for inputs and outputs.
    """

    def __init__(self, spec: JobSpec, code: Path, scratch: Path, call: ScriptCall) -> None:
        self._spec = spec
        self._code = code
        self._scratch = scratch
        self._call = call
        self._module: ModuleType | None = None
        self._written: Path | None = None

    def load(self) -> None:
        """Nothing: a script is imported where its ``init()`` runs, for it may start threads."""

    def init(self, slot: int) -> None:
        """Import the script and run its ``init()``."""
        self._written = self._scratch / f"slot-{slot}" / "output"
        self._make_folders()
        os.environ["AZUREML_BI_OUTPUT_PATH"] = str(self._written)
        name = self._spec.scoring_script or ""
        path = self._code / name
        sys.path[:0] = [str(path.parent), str(self._code)]
        # Azure's engine passes flags of its own; scripts use parse_known_args.
        sys.argv = [str(path), "--logging_level", self._spec.settings.logging_level, *self._arguments(self._written)]
        spec = importlib.util.spec_from_file_location("scoring_script", path)
        if spec is None or spec.loader is None:
            raise ScoringError(f"{name} is not a Python file")
        self._module = importlib.util.module_from_spec(spec)
        sys.modules["scoring_script"] = self._module
        spec.loader.exec_module(self._module)
        for function in ("init", "run"):
            if not callable(getattr(self._module, function, None)):
                raise ScoringError(
                    f"{name} has no function {function}(); a scoring script needs init() and run(mini_batch)"
                )
        self._function("init")()

    def _arguments(self, written: Path) -> list[str]:
        values = {f"inputs.{name}": value for name, value in self._call.inputs.items()}
        values |= {f"outputs.{name}": str(written / name) for name in self._call.outputs}
        return [shell.fill(argument, values) for argument in self._call.arguments]

    def _make_folders(self) -> None:
        if self._written is not None:
            for folder in (self._written, *(self._written / name for name in self._call.outputs)):
                folder.mkdir(parents=True, exist_ok=True)

    def _function(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self._module, name)
        return function

    def score(self, items: Sequence[Item]) -> ScoredBatch:
        """Run the script on local files; what it returns becomes rows, or is only counted."""
        self._forget_written()
        with local_files(items, self._spec.allowed_input_uris, self._scratch) as paths:
            # The script gets a list of its own: it may change it, and the count must not follow.
            returned = frames.from_script(self._function("run")(list(paths)))
            failures = _missing(items, paths, returned)
        table = None if self._spec.settings.output_action == "summary_only" else returned.table
        return ScoredBatch(table, failures, self._take_written())

    def _forget_written(self) -> None:
        """Remove what an attempt that failed has written."""
        if self._written is not None:
            for path in self._written.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self._make_folders()

    def _take_written(self) -> list[tuple[str, Path]]:
        """Move what the script wrote out of the way of the next mini-batch."""
        if self._written is None or not any(self._written.iterdir()):
            return []
        folder = Path(tempfile.mkdtemp(prefix="files-", dir=self._scratch))
        files = []
        for path in sorted(self._written.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            name = path.relative_to(self._written)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(folder / name)
            # What a commit, the manifest and every store can hold; two names that become one are refused at publication.
            files.append((shown_path(name.as_posix()), folder / name))
        self._forget_written()
        return files

    def close(self) -> None:
        """Run the script's ``shutdown()`` if it has one."""
        if callable(getattr(self._module, "shutdown", None)):
            self._function("shutdown")()


def _missing(items: Sequence[Item], paths: Sequence[str], returned: frames.Returned) -> list[ItemFailure]:
    """Return what failed: as many items as there are results too few (Azure ML's rule).

    Which ones they are is known when exactly the others are named in the results.
    """
    short = len(items) - returned.count
    if short <= 0:
        return []
    message = f"run() returned {returned.count} results for {len(items)} items"
    mentioned = returned.mentions({name for path in paths for name in (path, os.path.basename(path))})
    silent = [item for item, path in zip(items, paths, strict=True) if not {path, os.path.basename(path)} & mentioned]
    if len(silent) == short:
        return [ItemFailure("MissingResult", message, item=item.path) for item in silent]
    return [ItemFailure("MissingResult", message, count=short, candidates=tuple(item.path for item in items))]
