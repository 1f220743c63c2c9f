"""What further slots cost in memory: a forest of 500 MB in one slot, and in four that are forked from one process."""

from __future__ import annotations

from benchmarks import models
from benchmarks.campaign import Campaign, scratch
from benchmarks.contestants import ours
from benchmarks.micro import worker
from benchmarks.workloads import Workload

ROWS, FILES = 2_000_000, 64


def measure(campaign: Campaign) -> dict[str, float]:
    """Peak and settled memory of ``score``, in MB: the peak may be that of loading the model."""
    workload = Workload("sharing", "", ROWS, FILES, "forest").scaled(min(1, campaign.scale))
    workload.prepare()
    found = {"model on disk, MB": (models.path("forest") / "model.pkl").stat().st_size / 1e6}
    for slots in (1, 4):
        with scratch("sharing") as output:
            specification = ours.job_spec(workload, output, slots)
            worker(campaign, "plan", specification)
            measured = worker(campaign, "score", specification)
        found[f"{slots} slots, peak MB"] = measured.memory
        found[f"{slots} slots, settled MB"] = measured.settled_memory
    return found
