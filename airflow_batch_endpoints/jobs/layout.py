"""Where things lie in a job directory. Keys are relative to the job's output URI, separated by ``/``."""

from __future__ import annotations

import hashlib

MANIFEST = "manifest.json"
DEAD_LETTERS = "dead_letters.jsonl"
TIMELINE = "_timeline.json"
"""What stays of the working state: who worked on what when. Its underscore tells readers of data sets to skip it."""

WORKING = "_batch"
"""Working state; Spark, Hive and Arrow data sets skip names that start with an underscore."""
JOB = f"{WORKING}/job.json"
CLAIMS = f"{WORKING}/claims"
COMMITS = f"{WORKING}/commits"
PARTS = f"{WORKING}/parts"
INSTANCES = f"{WORKING}/instances"
FAILURES = f"{WORKING}/failures"
STEPS = f"{WORKING}/steps"


def plan(digest: str) -> str:
    """Key of a plan; named by content, so that two planners never write one key differently."""
    return f"{WORKING}/plan-{digest}.parquet"


def claim(shard: int, attempt: int) -> str:
    """Key whose exclusive creation is the right to work on a shard."""
    return f"{CLAIMS}/{shard:05d}.{attempt}"


def commit(shard: int) -> str:
    """Key whose exclusive creation decides whose part of a shard counts."""
    return f"{COMMITS}/{shard:05d}.json"


def part(shard: int, incarnation: str, kind: str) -> str:
    """Key of something one incarnation made of a shard; ``kind`` is ``arrow`` or ``parquet`` (rows), ``dead`` or ``files``."""
    return f"{PARTS}/{shard:05d}.{incarnation}.{kind}"


def failures(shard: int, count: int) -> str:
    """Key that says how many items of a committed shard failed: listing them tells the sum."""
    return f"{FAILURES}/{shard:05d}.{count}"


def instance(incarnation: str) -> str:
    """Key of the heartbeat of an incarnation."""
    return f"{INSTANCES}/{incarnation}.json"


def stop(submission: str) -> str:
    """Key of the reason why every instance of one submission must stop. Whoever lists the claims sees it."""
    return f"{CLAIMS}/stop-{_short(submission)}.json"


def step(name: str) -> str:
    """Key of the folder of a pipeline's step."""
    return f"{STEPS}/{name}"


def step_done(name: str) -> str:
    """Key whose exclusive creation is the publication of a step's outputs: it says where they are."""
    return f"{step(name)}/done.json"


def step_failed(name: str, submission: str) -> str:
    """Key that says why a step failed in one submission of the job."""
    return f"{step(name)}/failed-{_short(submission)}.json"


def step_key(name: str) -> str:
    """Key of what the outputs of a parallel step follow from, as it was when its work was planned."""
    return f"{step(name)}/key.json"


def step_output(name: str, incarnation: str, output: str) -> str:
    """Key of the file or folder in which one incarnation of a step leaves an output."""
    return f"{step_outputs(name, incarnation)}/{output}"


def step_outputs(name: str, incarnation: str) -> str:
    """Key of the folder of everything that one incarnation of a step makes."""
    return f"{step(name)}/{incarnation}"


def step_job(name: str) -> str:
    """Key of the job directory of a parallel step, which is scored as the job of a model deployment is."""
    return f"{step(name)}/job"


def _short(submission: str) -> str:
    """Return what stands for a submission in a key."""
    return hashlib.sha256(submission.encode()).hexdigest()[:12]
