"""What a mini-batch costs beyond its rows: claim, messages, part, commit. The slope between jobs of few and of many shards."""

from __future__ import annotations

from pathlib import Path

from benchmarks.campaign import Campaign, scratch
from benchmarks.contestants import ours
from benchmarks.micro import python, worker
from benchmarks.workloads import Workload

FEW, MANY = 500, 5_000
LEAST_SCALE = 0.05
_SCRIPT = "def init(): pass\ndef run(mini_batch): return [1] * len(mini_batch)\n"
_WRITE_ROWS = """
import sys, pyarrow as pa
table = pa.table({"prediction": [1]})
for number in range(int(sys.argv[2])):
    with pa.OSFile(f"{sys.argv[1]}/{number}", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
"""


def measure(campaign: Campaign) -> dict[str, float]:
    """Return CPU milliseconds of the whole process tree per mini-batch; each is a shard by itself."""
    few, many = (round(count * min(1, max(campaign.scale, LEAST_SCALE))) for count in (FEW, MANY))
    spent, written = {}, {}
    for count in (few, many):
        with scratch("committing") as folder:
            specification = _job(folder, count)
            worker(campaign, "plan", specification)
            spent[count] = worker(campaign, "score", specification).cpu
            (folder / "rows").mkdir()
            written[count] = python(campaign, "-c", _WRITE_ROWS, str(folder / "rows"), str(count)).cpu
    whole = (spent[many] - spent[few]) / (many - few) * 1000
    rows = (written[many] - written[few]) / (many - few) * 1000
    return {
        "a mini-batch of one item by a script, CPU-ms": whole,
        "the same beyond writing its rows, CPU-ms": whole - rows,
    }


def _job(folder: Path, count: int) -> dict[str, object]:
    for name in ("in", "code", "model"):
        (folder / name).mkdir()
    for number in range(count):
        (folder / "in" / f"{number:06}.txt").write_text("1\n")
    (folder / "code" / "score.py").write_text(_SCRIPT)
    workload = Workload("committing", "", count, count, "logistic")
    return ours.job_spec(workload, folder / "out", 1) | {
        "input_uri": (folder / "in").as_uri(),
        "model_uri": (folder / "model").as_uri(),
        "code_uri": (folder / "code").as_uri(),
        "scoring_script": "score.py",
    }
