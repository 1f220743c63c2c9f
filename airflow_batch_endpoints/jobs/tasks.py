"""The tasks of an endpoint's DAG by their ids: from its own id a task knows its place, without asking anybody.

Besides ``plan``, ``score`` and ``publish`` there is a group for each deployment that has tasks of its own: one for each step of a
pipeline (three for a parallel one), or one that runs another DAG.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

PLAN, SCORE, PUBLISH = "plan", "score", "publish"
GROUP = "deployment-"
"""How the ids of the groups begin; names of deployments cannot hold a dot, and names of steps no dash."""
PARALLEL = "parallel-"
"""How the last part of the ids of a parallel step's tasks begins."""
OTHER_DAG = "other-dag"
"""Last part of the id of the task that runs another DAG."""

StepCommand = Literal["step", "plan", "score", "publish"]


@dataclass(frozen=True)
class DeploymentTask:
    """A task that only jobs of one deployment have."""

    deployment: str
    step: str | None
    """Name of the step; ``None`` for the task that runs another DAG."""
    command: StepCommand | None
    """The worker's command; ``None`` where no worker is launched."""


def group_id(deployment: str) -> str:
    """Return the id of the group with a deployment's tasks."""
    return f"{GROUP}{deployment}"


def read(task_id: str) -> DeploymentTask | None:
    """Return what a task is by its id; ``None`` for those that all jobs have."""
    group, _, path = task_id.partition(".")
    if not group.startswith(GROUP) or not path:
        return None
    deployment = group.removeprefix(GROUP)
    if path == OTHER_DAG:
        return DeploymentTask(deployment, None, None)
    step, _, last = path.rpartition(".")
    for command in (PLAN, SCORE, PUBLISH):
        if step and last == PARALLEL + command:
            return DeploymentTask(deployment, step, command)  # type: ignore[arg-type]
    return DeploymentTask(deployment, path, "step")


def task_ids(deployment: str, entry: Mapping[str, Any]) -> list[str]:
    """Return the ids of all tasks that only jobs of a deployment have.

    :param entry: what the index says of the deployment.
    """
    group = group_id(deployment)
    if entry.get("dag_id"):
        return [f"{group}.{OTHER_DAG}"]
    found = []
    for step in steps(entry):
        names = [f".{PARALLEL}{command}" for command in (PLAN, SCORE, PUBLISH)] if step["parallel"] else [""]
        found += [f"{group}.{step['name']}{name}" for name in names]
    return found


def steps(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of a deployment as the index has them: ``name``, ``after`` and ``parallel`` of each."""
    found: Iterable[Mapping[str, Any]] = entry.get("steps") or ()
    return [
        {"name": str(step["name"]), "after": [*step.get("after", ())], "parallel": bool(step.get("parallel"))}
        for step in found
    ]


def entry_of(task: DeploymentTask) -> dict[str, Any]:
    """Return what the index would say of a deployment that has this task and no other."""
    if task.step is None:
        return {"dag_id": OTHER_DAG}
    return {"steps": [{"name": task.step, "after": [], "parallel": task.command != "step"}]}
