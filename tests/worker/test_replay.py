from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.worker.conftest import ECHO, Job

PICKY = """
import os
def init():
    pass
def run(mini_batch):
    for path in mini_batch:
        if int(open(path).read()) % 3 == 0:
            raise ValueError("divisible by three")
    return [os.path.basename(path) for path in mini_batch]
"""
SILENT = """
def init():
    pass
def run(mini_batch):
    return [1] * (len(mini_batch) - 1)
"""


def replay_of(old: Job) -> dict[str, Any]:
    return {"input_uri": (old.folder / "in").as_uri(), "replay": {"job": old.name, "output_uri": old.output.as_uri()}}


def test_dead_letters_are_scored_again_and_again(job: Job, make_job: Callable[..., Job]) -> None:
    job.script(PICKY)
    assert (result := job.run(mini_batch_size=2, retry_settings={"max_retries": 0}))["failed"] == 2, result
    # Mended for one of the two, then for both; a replay can be replayed.
    second = make_job("second", **replay_of(job)).script(PICKY.replace("% 3 == 0", "== 0"))
    second.name = "job-2"
    result = second.run(retry_settings={"max_retries": 0})
    assert (result["listed"], result["succeeded"], result["failed"]) == (2, 1, 1)
    assert [letter["item"] for letter in second.dead_letters()] == ["0.csv"]
    assert second.manifest()["replay_of"] == {"job": "job-1", "output_uri": job.output.as_uri()}
    third = make_job("third", **{**replay_of(second), "input_uri": (job.folder / "in").as_uri()}).script(ECHO)
    third.name = "job-3"
    third.run()
    assert third.predictions() == b'prediction\n"0.csv:0"\n'
    assert job.manifest()["replay_of"] is None


def test_where_only_a_number_is_known_all_candidates_are_scored(job: Job, make_job: Callable[..., Job]) -> None:
    job.script(SILENT)
    assert job.run(mini_batch_size=3, retry_settings={"max_retries": 0})["failed"] == 2
    again = make_job("again", **replay_of(job)).script(ECHO)
    again.name = "job-2"
    assert again.run()["succeeded"] == 6


@pytest.mark.parametrize(("complete", "sentence"), [(True, "has no dead letters"), (False, "published nothing")])
def test_a_job_without_dead_letters_is_a_sentence(
    job: Job, make_job: Callable[..., Job], complete: bool, sentence: str
) -> None:
    if complete:
        job.run()
    again = make_job("again", **replay_of(job)).script(ECHO)
    again.name = "job-2"
    error = again.do("plan", code=2)["error"]
    assert error["type"] == "InputError"
    assert sentence in error["message"]
