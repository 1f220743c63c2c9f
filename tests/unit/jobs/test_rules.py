from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import environment
from airflow_batch_endpoints.jobs.naming import check_job_name, path_name, request_digest
from airflow_batch_endpoints.jobs.states import job_state
from airflow_batch_endpoints.jobs.threshold import is_threshold_exceeded

CONCEPTS = Path(__file__).parents[3] / "docs" / "concepts.md"
TRUTH = re.findall(r"^\| (\S+) \| (\d+) \| (\d+) \| (goes on|ends) \|$", CONCEPTS.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize(("threshold", "listed", "failed", "job"), TRUTH)
def test_the_threshold_is_as_documented(threshold: str, listed: str, failed: str, job: str) -> None:
    rule = threshold if threshold.endswith("%") else int(threshold)
    assert is_threshold_exceeded(rule, failed=int(failed), listed=int(listed)) is (job == "ends")


def test_the_documented_table_says_all() -> None:
    assert len(TRUTH) == 19
    assert {(threshold[-1] == "%", job) for threshold, _, _, job in TRUTH} == {
        (is_share, job) for is_share in (True, False) for job in ("goes on", "ends")
    }


@pytest.mark.parametrize(
    ("run", "tasks", "state"),
    [
        ("queued", {}, "NotStarted"),
        ("running", {}, "Preparing"),
        ("running", {"plan": {"running"}}, "Preparing"),
        ("running", {"plan": {"success"}, "score": {"queued"}}, "Queued"),
        ("running", {"plan": {"success"}, "score": {"queued", "running"}}, "Running"),
        ("running", {"plan": {"success"}, "score": {"success"}, "publish": {"running"}}, "Finalizing"),
        ("success", {}, "Completed"),
        ("failed", {}, "Failed"),
    ],
)
def test_states(run: str, tasks: dict[str, set[str]], state: str) -> None:
    assert job_state(run, tasks) == state


def test_cancellations() -> None:
    assert job_state("failed", {}, is_canceled=True) == "Canceled"
    assert job_state("running", {}, is_cancel_requested=True) == "CancelRequested"


def test_names_of_jobs() -> None:
    run = "manual__2024-01-01T00:00:00+00:00"
    assert check_job_name(run) == run
    assert path_name("nightly-1") == "nightly-1"
    assert path_name(run).startswith("manual__2024-01-01T00-00-00-00-00-")
    assert path_name("a:b") != path_name("a+b")
    for bad in ("", "a/b", "../x", "a b", "x" * 300):
        with pytest.raises(UserError):
            check_job_name(bad)


def test_equal_requests_have_one_digest() -> None:
    assert request_digest({"input": "x", "output": None}) == request_digest({"input": "x"})
    assert request_digest({"input": "x"}) != request_digest({"input": "y"})


def test_the_environment_is_chosen_by_name() -> None:
    inherited = {
        "PATH": "p",
        "AIRFLOW__CORE__FERNET_KEY": "k",
        "AWS_REGION": "r",
        "LC_ALL": "C",
        "SECRET": "s",
        "MINE_A": "1",
    }
    assert environment.choose(inherited, environment.BASICS) == {"PATH": "p", "LC_ALL": "C"}
    chosen = environment.choose(inherited, environment.BASICS, environment.STORAGE, ["MINE_*"])
    assert chosen == {"PATH": "p", "LC_ALL": "C", "AWS_REGION": "r", "MINE_A": "1"}
