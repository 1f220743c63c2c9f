"""The page in the docs: tables and a chart of what a campaign has measured. Nothing is measured here."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.campaign import Campaign
from benchmarks.contestants import CONTESTANTS, REFERENCE
from benchmarks.micro import QUESTIONS
from benchmarks.places import DOCS
from benchmarks.statistics import Median, paired
from benchmarks.workloads import WORKLOADS

CHART = DOCS / "images" / "benchmarks.svg"
_TEMPLATE = Path(__file__).with_name("report.md")
_CHART = """```{image} images/benchmarks.svg
:alt: CPU seconds of every contestant, a panel per workload
```"""
SLOPES = (("logistic", "logistic-1m"), ("boosting", "boosting-1m"))


def write(campaign: Campaign) -> None:
    """Write ``docs/benchmarks.md`` and its chart; what was not measured yet is named as such."""
    machine = campaign.machine()
    measured = [name for name in WORKLOADS if counted(campaign, name)]
    if measured:
        _draw(campaign, measured)
    page = Template(_TEMPLATE.read_text()).substitute(
        machine=_machine(machine) if machine else "Nothing is measured yet.",
        chart=_CHART if measured else "",
        workloads="\n".join(_workload(campaign, name, machine.get("cores", 0)) for name in WORKLOADS),
        slopes=_slopes(campaign),
        micro=_micro(campaign),
        airflow=_airflow(campaign),
    )
    (DOCS / "benchmarks.md").write_text(re.sub(r"\n{3,}", "\n\n", page))


def counted(campaign: Campaign, workload: str) -> list[dict[str, Any]]:
    """Return the runs that count: all but the first round and those that failed."""
    return [result for result in campaign.results(workload) if result["round"] > 0 and "error" not in result]


def _table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "Not measured.\n"
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _machine(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, Linux {machine['kernel']}, "
        f"Python {machine['python']}; {packages}. Size of the workloads: {machine['scale']:g} times what their titles say."
    )


def _workload(campaign: Campaign, name: str, cores: int) -> str:
    results = counted(campaign, name)
    failed = {result["contestant"]: result["error"] for result in campaign.results(name) if "error" in result}
    rows = []
    for contestant in CONTESTANTS.values():
        own = [result for result in results if result["contestant"] == contestant.name]
        if not own:
            if contestant.name in failed:
                rows.append([contestant.title, failed[contestant.name].splitlines()[0][:80], *[""] * 7])
            continue
        figures = {figure: Median.of(result[figure] for result in own) for figure in ("cpu", "wall", "memory")}
        disturbed = sum(result["load"] > cores for result in own)
        cpu, wall = (paired(results, contestant.name, REFERENCE, figure) for figure in ("cpu", "wall"))
        rows.append([
            f"**{contestant.title}**" if contestant.module == "ours" else contestant.title,
            figures["cpu"].text(),
            "" if cpu is None else cpu.text(),
            figures["wall"].text(),
            "" if wall is None else wall.text(),
            figures["memory"].text(0),
            str(len(own)),
            str(disturbed),
            f"{Median.of(result['others'] for result in own).middle:.2f}",
        ])  # fmt: skip
    header = ["", "CPU s", "CPU / bare", "wall s", "wall / bare", "peak MB", "rounds", "loaded", "others"]
    return f"### {WORKLOADS[name].title}\n\n{_table(header, rows)}"


def _slopes(campaign: Campaign) -> str:
    """Each further million rows, and what is left for none: from the medians of 1 M and 10 M rows."""
    rows = []
    for large, small in SLOPES:
        more = (WORKLOADS[large].rows - WORKLOADS[small].rows) / 1e6 * campaign.scale
        for contestant in CONTESTANTS.values():
            cpu = [
                [result["cpu"] for result in counted(campaign, name) if result["contestant"] == contestant.name]
                for name in (large, small)
            ]
            if all(cpu):
                big, little = (Median.of(values).middle for values in cpu)
                slope = (big - little) / more
                fixed = little - slope * WORKLOADS[small].rows / 1e6 * campaign.scale
                rows.append([WORKLOADS[large].model, contestant.title, f"{slope:.2f}", f"{fixed:.2f}"])
    return _table(["model", "", "CPU s per million rows", "CPU s to start"], rows)


def _micro(campaign: Campaign) -> str:
    rows = []
    for question in QUESTIONS:
        for result in campaign.results(f"micro-{question}"):
            rows += [[question, what, f"{value:,.2f}"] for what, value in result.items()]
    return _table(["", "what", "value"], rows)


def _airflow(campaign: Campaign) -> str:
    results = [result for result in campaign.results("airflow") if result["round"] > 0]
    rows = []
    for endpoints, dag in dict.fromkeys((result["endpoints"], result["dag"]) for result in results):
        own = [result for result in results if (result["endpoints"], result["dag"]) == (endpoints, dag)]
        figures = ("seconds", "task_seconds", "queued_seconds", "requests", "parse_seconds")
        rows.append([str(endpoints), dag, *(Median.of(result[figure] for result in own).text() for figure in figures)])
    return _table(
        [
            "endpoints",
            "DAG",
            "trigger to success, s",
            "a task, s",
            "a task's wait, s",
            "requests of tasks",
            "parsing the file, s",
        ],
        rows,
    )


def _draw(campaign: Campaign, measured: list[str]) -> None:
    """Draw CPU seconds, a panel per workload."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        len(measured), 1, figsize=(8, 2.6 * len(measured)), squeeze=False, layout="constrained"
    )
    for name, panel in zip(measured, panels[:, 0], strict=True):
        results = counted(campaign, name)
        shown = [c for c in CONTESTANTS.values() if any(result["contestant"] == c.name for result in results)][::-1]
        medians = [Median.of(r["cpu"] for r in results if r["contestant"] == contestant.name) for contestant in shown]
        panel.barh(
            [contestant.title for contestant in shown],
            [median.middle for median in medians],
            xerr=[[m.middle - m.low for m in medians], [m.high - m.middle for m in medians]],
            color=["tab:orange" if contestant.module == "ours" else "tab:blue" for contestant in shown],
        )
        panel.set_title(WORKLOADS[name].title, fontsize=9)
        panel.set_xlabel("CPU seconds, median and its interval", fontsize=8)
        panel.tick_params(labelsize=8)
    CHART.parent.mkdir(exist_ok=True)
    figure.savefig(CHART, metadata={"Date": None})
