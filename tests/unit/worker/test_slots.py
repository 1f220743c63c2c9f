"""What slots and the coordinator's side of them do, short of whole jobs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.worker.output import OutputPipe
from airflow_batch_endpoints.worker.slots import sealing
from airflow_batch_endpoints.worker.slots.nursery import Nursery


def test_a_nursery_ends_with_what_was_started_while_it_loaded() -> None:
    said: list[str] = []

    def start(arguments: list[str], *descriptors: int) -> subprocess.Popen[bytes]:
        program = "sleep 300 & echo $!; wait"
        return subprocess.Popen(["sh", "-c", program], stdout=descriptors[1], start_new_session=True)

    nursery = Nursery(start, lambda descriptor: OutputPipe(descriptor, said.append))
    while not said:
        nursery.output.drain()
    nursery.close()
    # Whoever inherited it reaps it, sooner or later.
    status = Path(f"/proc/{said[0]}/status")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for _ in range(1_000):
            if "State:\tZ" in status.read_text():
                return
            time.sleep(0.01)
        pytest.fail("it lives")


def test_candidates_stand_in_the_first_of_their_letters() -> None:
    failure: dict[str, Any] = {
        "error_type": "MissingResult", "message": "m", "traceback": "", "item": None, "range": None, "count": 3,
        "candidates": ["a", os.fsdecode(b"\xff")],
    }  # fmt: skip
    first, *others = map(json.loads, sealing._dead_letters(7, 1, failure).splitlines())
    assert first.pop("candidates") == ["a", "\\xff"]
    assert others == [first, first]
