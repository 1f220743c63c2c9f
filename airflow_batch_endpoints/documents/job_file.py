"""Files with the inputs and outputs of a job, as Azure ML's command line reads them: ``invoke -f inputs.yml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_batch_endpoints.documents.deployment import is_relative_path
from airflow_batch_endpoints.documents.loading import parse, read_file
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem

_GROUPS = ("inputs", "outputs")


def load_job_file(path: str | Path) -> dict[str, Any]:
    """Return the parameters of a run that a file holds: ``inputs`` and ``outputs``, with paths that start from its folder.

    :raises DocumentError: with every problem.
    """
    path = Path(path)
    data = parse(read_file(path), str(path))
    if not isinstance(data, dict):
        raise DocumentError([Problem(str(path), "(document)", f"found {shown(data)}, expected inputs and outputs")])
    problems = []
    for name, group in data.items():
        if name not in (*_GROUPS, "$schema"):
            problems.append(Problem(str(path), name, f"no such field; known are {', '.join(_GROUPS)}"))
        elif name in _GROUPS and group is not None and not isinstance(group, dict):
            problems.append(Problem(str(path), name, f"found {shown(group)}, expected them by their names"))
    if problems:
        raise DocumentError(problems)
    folder = path.absolute().parent
    return {
        name: {entry: _from(folder, value) for entry, value in group.items()}
        for name, group in data.items()
        if name in _GROUPS and group
    }


def _from(folder: Path, value: Any) -> Any:
    found = value.get("path") if isinstance(value, dict) else None
    if not isinstance(found, str) or not found.strip() or not is_relative_path(found):
        return value
    return {**value, "path": str(folder / found)}
