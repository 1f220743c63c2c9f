"""A campaign: rounds in which every contestant runs once, kept run by run so that it can be stopped and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import checking
from benchmarks.contestants import REFERENCE, Contestant
from benchmarks.environments import PEERS, byte_compile
from benchmarks.measuring import CommandFailedError, measure
from benchmarks.places import RUNS, SCRATCH
from benchmarks.workloads import Workload

PACKAGES = ("pyarrow", "numpy", "pandas", "scikit-learn", "mlflow", "polars", "datasets", "dask", "ray", "pyspark")


class Campaign:
    """The results of one campaign, in a folder of their own.

    :param name: of the folder below ``.benchmarks/runs``.
    :param scale: of every workload; 1 is full size.
    """

    def __init__(self, name: str, scale: float = 1.0) -> None:
        self.folder = RUNS / name
        self.scale = scale

    def begin(self) -> None:
        """Get ready, and note on what machine and with what versions the campaign runs; it must not change on the way.

        :raises SystemExit: when it has.
        """
        byte_compile()
        now = {"scale": self.scale, **machine()}
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.machine() not in ({}, now):
            raise SystemExit(
                f"{self._machine} tells of another machine, scale or version; give this campaign another name"
            )
        self._machine.write_text(json.dumps(now, indent=2))

    @property
    def _machine(self) -> Path:
        return self.folder / "machine.json"

    def machine(self) -> dict[str, Any]:
        """Return what :meth:`begin` noted; nothing when nothing was run yet."""
        return dict(json.loads(self._machine.read_text())) if self._machine.exists() else {}

    def results(self, part: str) -> list[dict[str, Any]]:
        """Return what was measured for a part."""
        file = self.folder / f"{part}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def keep(self, part: str, result: dict[str, Any]) -> None:
        """Append a result to a part."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{part}.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")

    def run(self, workload: Workload, contestants: Sequence[Contestant], rounds: int) -> None:
        """Run rounds 0 to ``rounds``, of which the first does not count; what was run already is not run again."""
        self.begin()
        workload = workload.scaled(self.scale)
        workload.prepare()
        taking = [contestant for contestant in contestants if contestant.takes(workload)]
        # The reference runs first: the others' predictions are compared with its own.
        taking.sort(key=lambda contestant: contestant.name != REFERENCE)
        done = {(result["round"], result["contestant"]) for result in self.results(workload.name)}
        for number in range(rounds + 1):
            for contestant in taking:
                if (number, contestant.name) not in done:
                    self.keep(workload.name, self._once(workload, contestant, number))

    def _once(self, workload: Workload, contestant: Contestant, number: int) -> dict[str, Any]:
        result: dict[str, Any] = {"round": number, "contestant": contestant.name, "at": f"{datetime.now(UTC):%FT%TZ}"}
        log = self.folder / "logs" / f"{workload.name}-{contestant.name}.log"
        command = [contestant.python, "-m", "benchmarks.contestants", contestant.name, workload.name, str(self.scale)]
        with scratch(f"{workload.name}-{contestant.name}") as output:
            try:
                measured = measure([*command, str(output)], log=log)
                checking.check(output, self.folder / "reference" / f"{workload.name}.npy")
                result |= asdict(measured)
            except (CommandFailedError, checking.UnequalError) as error:
                result["error"] = str(error)
        print(f"{workload.name} round {number} {contestant.name}: {_shown(result)}", flush=True)
        return result


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Yield an empty folder that goes away."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _shown(result: dict[str, Any]) -> str:
    if "error" in result:
        return result["error"]
    return "{cpu:.2f} CPU-s, {wall:.2f} s, {memory:.0f} MB (load {load:.1f}, others {others:.2f})".format(**result)


def machine() -> dict[str, Any]:
    """Describe this machine and what is installed for the contestants."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions(PEERS, PACKAGES),
    }


def _versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    code = (
        "import sys, json, importlib.metadata as m; print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))
