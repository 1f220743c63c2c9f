from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import environment
from airflow_batch_endpoints.jobs.naming import check_job_name, path_name, request_digest
from airflow_batch_endpoints.jobs.states import job_state, step_state
from airflow_batch_endpoints.jobs.stopping import Stop, read_stop, stop_request
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
        ("running", {"plan": {"success"}, "score": {"skipped"}, "deployment-a.prepare": {"queued"}}, "Queued"),
        ("running", {"plan": {"success"}, "score": {"skipped"}, "deployment-a.prepare": {"running"}}, "Running"),
        ("running", {"plan": {"success"}, "score": {"queued"}, "deployment-b.train": {"skipped"}}, "Queued"),
        ("success", {}, "Completed"),
        ("failed", {}, "Failed"),
    ],
)
def test_states(run: str, tasks: dict[str, set[str]], state: str) -> None:
    assert job_state(run, tasks) == state


def test_cancellations() -> None:
    assert job_state("failed", {}, is_canceled=True) == "Canceled"
    skipped = {"plan": {"success"}, "score": {"failed"}, "publish": {"skipped"}}
    assert job_state("success", skipped, is_canceled=True) == "Canceled"
    assert job_state("success", skipped | {"publish": {"success"}}, is_canceled=True) == "Completed"
    assert job_state("running", {}, is_cancel_requested=True) == "CancelRequested"


@pytest.mark.parametrize(
    ("tasks", "more", "state"),
    [
        ({}, {}, "NotStarted"),
        ({"step": {"queued"}}, {}, "Queued"),
        ({"step": {"deferred"}}, {}, "Running"),
        ({"step": {"up_for_retry"}}, {}, "Running"),
        ({"step": {"success"}}, {"is_canceled": True}, "Completed"),
        ({"step": {"failed"}}, {"has_failed": True}, "Failed"),
        ({"step": {"failed"}}, {"has_failed": True, "is_canceled": True}, "Failed"),
        ({"step": {"failed"}}, {"is_canceled": True}, "Canceled"),
        ({"step": {"failed"}}, {"is_stopped": True}, "Canceled"),
        ({"step": {"upstream_failed"}}, {}, "NotStarted"),
        ({"step": {"skipped"}}, {"is_canceled": True}, "Canceled"),
        ({"plan": {"success"}, "score": {"queued"}, "publish": {"None"}}, {}, "Running"),
        ({"plan": {"success"}, "score": {"failed", "success"}, "publish": {"scheduled"}}, {}, "Running"),
        ({"plan": {"success"}, "score": {"failed", "success"}, "publish": {"success"}}, {}, "Completed"),
        ({"plan": {"failed"}, "score": {"upstream_failed"}, "publish": {"upstream_failed"}}, {}, "Failed"),
        ({"plan": {"success"}, "score": {"failed"}, "publish": {"skipped"}}, {"is_canceled": True}, "Canceled"),
    ],
)
def test_states_of_steps(tasks: dict[str, set[str]], more: dict[str, bool], state: str) -> None:
    assert step_state(tasks, **{"is_stopped": False, "has_failed": False, "is_canceled": False, **more}) == state


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


def test_scripts_in_pods_see_what_their_compute_gives_them() -> None:
    own = {
        "PATH": "p",
        "AWS_REGION": "r",
        "DB_PASSWORD": "s",
        "AZURE_FEDERATED_TOKEN_FILE": "f",
        "MLFLOW_TRACKING_TOKEN": "t",
        "UV_DEFAULT_INDEX": "https://user:pass@index",
        "PIP_INDEX_URL": "https://user:pass@index",
        "BATCH_ENDPOINTS_JOB_SPEC": "{}",
    }
    everywhere = {"PATH": "p", "AWS_REGION": "r"}
    assert environment.for_scripts(own, is_pod=False) == everywhere
    in_pod = everywhere | {"DB_PASSWORD": "s", "AZURE_FEDERATED_TOKEN_FILE": "f"}
    assert environment.for_scripts(own, is_pod=True) == in_pod
    own["BATCH_ENDPOINTS_EXTRA_ENVIRONMENT"] = "DB_* MLFLOW_TRACKING_TOKEN"
    named = {"DB_PASSWORD": "s", "MLFLOW_TRACKING_TOKEN": "t"}
    assert environment.for_scripts(own, is_pod=False) == everywhere | named
    assert environment.for_scripts(own, is_pod=True) == in_pod | named


def test_who_is_to_stop_and_why() -> None:
    canceled = json.dumps(stop_request("1", "ended"))
    assert read_stop(canceled, "1") == Stop("ended", None)
    assert read_stop(canceled, "2") is None, "a cleared run is a new submission"
    assert read_stop(json.dumps(stop_request("0", "broke", "train")), "0") == Stop("broke", "train")
    for text in (None, "", "[]", "{", '"1"', "{}"):
        assert read_stop(text, "0") is None
