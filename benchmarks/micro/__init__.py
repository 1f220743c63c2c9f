"""What single steps of a job cost: each module answers one question with ``measure(campaign)``, a row of numbers by name."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.campaign import Campaign
from benchmarks.contestants import ours
from benchmarks.environments import WORKER
from benchmarks.measuring import Measurement
from benchmarks.measuring import measure as measure_command

QUESTIONS = ("starting", "committing", "planning", "growing", "sharing")


def measure(campaign: Campaign, question: str) -> None:
    """Answer a question and keep the answer; an answer that is there is not asked for again."""
    campaign.begin()
    part = f"micro-{question}"
    if campaign.results(part):
        return
    answer: dict[str, Any] = importlib.import_module(f"{__name__}.{question}").measure(campaign)
    campaign.keep(part, answer)
    print(question, answer, flush=True)


def worker(campaign: Campaign, command: str, specification: dict[str, Any]) -> Measurement:
    """Run a command of the worker and return what it cost."""
    return python(
        campaign,
        "-m",
        "airflow_batch_endpoints.worker",
        *ours.arguments(command, specification),
        environment=ours.environment(specification),
    )


def python(campaign: Campaign, *arguments: str, environment: dict[str, str] | None = None) -> Measurement:
    """Run Python in the worker's environment and return what it cost."""
    return measure_command([WORKER, *arguments], log=campaign.folder / "logs" / "micro.log", environment=environment)
