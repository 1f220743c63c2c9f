"""``python -m benchmarks.contestants CONTESTANT WORKLOAD SCALE OUTPUT``: one run, as it is measured."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.contestants import CONTESTANTS
from benchmarks.workloads import WORKLOADS

if __name__ == "__main__":
    contestant, workload, scale, output = sys.argv[1:]
    CONTESTANTS[contestant].score(WORKLOADS[workload].scaled(float(scale)), Path(output))
