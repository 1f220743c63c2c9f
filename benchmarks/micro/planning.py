"""What it costs to plan a million local files."""

from __future__ import annotations

import os

from benchmarks.campaign import Campaign, scratch
from benchmarks.contestants import ours
from benchmarks.micro import worker
from benchmarks.workloads import Workload

FILES = 1_000_000
FILES_PER_FOLDER = 10_000
BYTES = 1_000


def measure(campaign: Campaign) -> dict[str, float]:
    """CPU seconds, peak memory and size of the plan."""
    count = round(FILES * min(1, campaign.scale))
    with scratch("planning") as folder:
        for number in range(count):
            place = folder / "in" / f"{number // FILES_PER_FOLDER:03}"
            if number % FILES_PER_FOLDER == 0:
                place.mkdir(parents=True)
            # Sparse: a size, and nothing on the disk.
            with (place / f"{number:07}.csv").open("wb") as file:
                os.truncate(file.fileno(), BYTES)
        workload = Workload("planning", "", count, count, "logistic", files_per_batch=100)
        specification = ours.job_spec(workload, folder / "out", 2) | {"input_uri": (folder / "in").as_uri()}
        measured = worker(campaign, "plan", specification)
        (plan,) = (folder / "out" / "_batch").glob("plan-*.parquet")
        return {
            "files": count,
            "CPU-s": measured.cpu,
            "peak memory, MB": measured.memory,
            "plan, MB": plan.stat().st_size / 1e6,
        }
