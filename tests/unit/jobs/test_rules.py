from __future__ import annotations

import pytest

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import environment
from airflow_batch_endpoints.jobs.naming import check_job_name, path_name, request_digest
from airflow_batch_endpoints.jobs.states import job_state
from airflow_batch_endpoints.jobs.threshold import is_threshold_exceeded


@pytest.mark.parametrize(
    ("threshold", "failed", "listed", "exceeded"),
    [
        (-1, 10, 10, False),
        (0, 0, 10, False),
        (0, 1, 10, True),
        (3, 3, 10, False),
        (3, 4, 10, True),
        ("5%", 5, 100, False),
        ("5%", 6, 100, True),
        ("0.5%", 1, 200, False),
        ("0.5%", 2, 200, True),
        ("0%", 1, 10, True),
        ("100%", 10, 10, False),
    ],
)
def test_threshold(threshold: int | str, failed: int, listed: int, exceeded: bool) -> None:
    assert is_threshold_exceeded(threshold, failed=failed, listed=listed) is exceeded


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
