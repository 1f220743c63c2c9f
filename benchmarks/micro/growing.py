"""Whether memory grows with the input: peaks with two slots at 1, 10 and 100 million rows."""

from __future__ import annotations

import os

from benchmarks.campaign import Campaign, scratch
from benchmarks.contestants import ours
from benchmarks.micro import worker
from benchmarks.workloads import Workload

FILE_ROWS = 156_250
SIZES = {"1 M": 6, "10 M": 64, "100 M": 640}
"""Files of each size. They are links to one file: its rows need not differ."""


def measure(campaign: Campaign) -> dict[str, float]:
    """Return the peak of all commands, in MB."""
    rows = max(1_000, round(FILE_ROWS * min(1, campaign.scale)))
    one = Workload("growing", "", rows, 1, "logistic")
    one.prepare()
    (source,) = one.paths
    peaks = {}
    for size, files in SIZES.items():
        workload = Workload("growing", "", rows * files, files, "logistic")
        workload.folder.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            path = workload.folder / f"{number:06}.parquet"
            if not path.exists():
                os.link(source, path)
        with scratch("growing") as output:
            specification = ours.job_spec(workload, output, 2)
            memory = [worker(campaign, command, specification).memory for command in ("plan", "score", "publish")]
        peaks[f"{size} rows in {files} files, peak MB"] = max(memory)
    return peaks
