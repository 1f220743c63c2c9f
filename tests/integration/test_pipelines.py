from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import churn
from tests.integration.conftest import RealAirflow
from tests.pipelines import (
    BEFORE,
    DATA,
    TWO_STEPS,
    apply,
    deploy,
    deploy_mini_batches,
    finish,
    invoke,
    look,
    pipeline,
    states,
    step,
    text,
)
from tests.worker.conftest import descendants

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def by_hand(airflow: RealAirflow) -> churn.ByHand:
    return churn.ByHand(airflow.data / "by-hand")


@pytest.fixture(scope="module")
def disturbed(airflow: RealAirflow) -> None:
    churn.deploy(airflow)


ECHO = "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) for p in b]\n"


def test_the_example_trains_and_scores_as_by_hand(airflow: RealAirflow, by_hand: churn.ByHand) -> None:
    airflow.trigger("example_batch_pipeline", "example")
    airflow.wait("example_batch_pipeline", "example", "success", seconds=400)
    (training,) = airflow.runs("batch_endpoint.churn-training")
    (scoring,) = airflow.runs("batch_endpoint.churn")
    trained = churn.assert_as_by_hand(airflow, by_hand, "churn-training", training, "training")
    scored = churn.assert_as_by_hand(airflow, by_hand, "churn", scoring, "scoring")
    assert states(trained) == {"prepare": "Completed", "train": "Completed"}
    assert states(scored) == {"prepare": "Completed", "score": "Completed"}
    assert [step["after"] for step in scored["steps"]] == [[], ["prepare"]]


@pytest.mark.parametrize("pipeline", churn.STEPS)
def test_killed_at_every_step_a_pipeline_makes_the_same(
    airflow: RealAirflow, by_hand: churn.ByHand, disturbed: None, pipeline: str
) -> None:
    churn.start(airflow, by_hand, pipeline, "killed")
    for name in churn.STEPS[pipeline]:
        churn.await_work(airflow, pipeline, "killed", name)
        (worker,) = airflow.workers("step", "killed")
        for process in descendants(worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    job = churn.assert_as_by_hand(airflow, by_hand, pipeline, "killed")
    assert {step["name"]: step["tries"] for step in job["steps"]} == dict.fromkeys(churn.STEPS[pipeline], 2)


@pytest.mark.parametrize("pipeline", churn.STEPS)
def test_failed_at_every_step_and_cleared_a_pipeline_makes_the_same(
    airflow: RealAirflow, by_hand: churn.ByHand, disturbed: None, pipeline: str
) -> None:
    steps = airflow.outputs / pipeline / "ended" / "_batch" / "steps"
    done: dict[str, bytes] = {}
    churn.start(airflow, by_hand, pipeline, "ended")
    for name in churn.STEPS[pipeline]:
        churn.await_work(airflow, pipeline, "ended", name)
        airflow.fail(f"batch_endpoint.{pipeline}", "ended")
        airflow.eventually(lambda: not airflow.workers("step", "ended"), 60)
        assert not (steps / name / "done.json").exists(), "it was ended in the middle of its work"
        airflow.clear(f"batch_endpoint.{pipeline}", "ended")
        done_file = steps / name / "done.json"
        airflow.eventually(done_file.exists)
        done[name] = done_file.read_bytes()
    churn.assert_as_by_hand(airflow, by_hand, pipeline, "ended")
    assert {name: (steps / name / "done.json").read_bytes() for name in done} == done, "what is done is not done again"


def test_steps_are_used_again(airflow: RealAirflow) -> None:
    deploy(airflow, "counting", TWO_STEPS)
    data = airflow.inputs("small", 7)
    invoke(airflow, "counting", "first", data=data)
    first = finish(airflow, "counting", "first")
    assert text(first, "result", "predictions.csv") == "7\n7\n"
    assert [step["reused_from"] for step in first["steps"]] == [None, None]
    assert first["inputs"] == {"data": data.as_uri(), "times": 2}
    tasks = {task["task_id"]: task["state"] for task in airflow.tasks("batch_endpoint.counting", "first")}
    assert tasks["score"] == "skipped"

    invoke(airflow, "counting", "second", data=data)
    invoke(airflow, "counting", "third", data=data, times=3)
    second, third = finish(airflow, "counting", "second"), finish(airflow, "counting", "third")
    count, repeat = {"job": "first", "step": "count"}, {"job": "first", "step": "repeat"}
    assert [step["reused_from"] for step in second["steps"]] == [count, repeat]
    assert text(second, "result", "predictions.csv") == "7\n7\n"
    assert [step["reused_from"] for step in third["steps"]] == [count, None]
    assert text(third, "result", "predictions.csv") == "7\n7\n7\n"
    assert "count of first" in airflow.cli("jobs", "show", "counting", "third").stdout


def test_a_deployment_from_a_job(airflow: RealAirflow) -> None:
    deploy(airflow, "again", TWO_STEPS)
    invoke(airflow, "again", "origin", data=airflow.inputs("small", 7), times=3)
    finish(airflow, "again", "origin")
    document = {"name": "as-before", "endpoint_name": "again", "type": "pipeline", "job_definition": "azureml:origin"}
    apply(airflow, document)
    invoke(airflow, "again", "repeated")
    job = finish(airflow, "again", "repeated")
    assert (job["deployment"], job["inputs"]["times"]) == ("as-before", 3)
    assert text(job, "result", "predictions.csv") == "7\n7\n7\n"
    assert {step["reused_from"]["job"] for step in job["steps"]} == {"origin"}
    path = airflow.data / "documents" / "as-nobody.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**document, "job_definition": "azureml:nobody"}))
    assert "there is no job 'nobody'" in airflow.cli("apply", "-f", str(path), code=2).stderr


def test_the_default_is_switched_and_its_callers_see_nothing(airflow: RealAirflow) -> None:
    airflow.script_endpoint("switched", ECHO)
    data = {"input": {"JobInputType": "UriFolder", "Uri": airflow.inputs("small", 7).as_uri()}}
    airflow.eventually(lambda: airflow.has_dag("batch_endpoint.switched"))

    def call(job: str) -> dict[str, Any]:
        body = {"properties": {"InputData": data, "name": job}}
        assert airflow.rest("POST", "/v1/endpoints/switched/jobs", json=body).status_code == 201
        return finish(airflow, "switched", job)

    call("by-a-model")
    listing = step(
        "ls ${{inputs.data}} > ${{outputs.names}}/predictions.csv", {"data": {"type": "uri_folder"}},
        {"names": "${{parent.outputs.names}}"}, {"data": "${{parent.inputs.data}}"},
    )  # fmt: skip
    deploy(airflow, "switched", pipeline({"list": listing}, {"data": {"type": "uri_folder"}}, {"names": ""}))
    job = call("by-a-pipeline")
    assert (job["deployment"], states(job)) == ("steps", {"list": "Completed"})
    assert text(job, "names", "predictions.csv").split() == [f"{number:03}.csv" for number in range(7)]
    answer = airflow.rest("PUT", "/v1/endpoints/switched/default", json={"deployment": "main"})
    assert answer.status_code == 200, answer.text
    assert call("by-the-model-again")["deployment"] == "main"


def test_a_step_that_is_killed_is_run_again(airflow: RealAirflow) -> None:
    log = airflow.data / "log-killed"
    log.mkdir()
    first = step(f"echo ran >> {log}/first", DATA, {"made": ""}, {"data": "${{parent.inputs.data}}"})
    # Only the first try is slow enough to be killed.
    slow = f"if [ ! -e {log}/begun ]; then touch {log}/begun; sleep 60; fi; echo done > ${{{{outputs.made}}}}/x"
    given = {"before": "${{parent.jobs.first.outputs.made}}"}
    second = step(slow, BEFORE, {"made": "${{parent.outputs.made}}"}, given)
    deploy(airflow, "killed", pipeline({"first": first, "second": second}, DATA, {"made": ""}))
    invoke(airflow, "killed", "one", data=airflow.inputs("small", 7))
    airflow.eventually(lambda: (log / "begun").exists())
    (worker,) = airflow.workers("step", "one")
    os.kill(worker, signal.SIGKILL)
    job = finish(airflow, "killed", "one")
    assert text(job, "made", "x") == "done\n"
    assert {step["name"]: step["tries"] for step in job["steps"]} == {"first": 1, "second": 2}
    assert (log / "first").read_text() == "ran\n"


def test_a_failed_pipeline_goes_on_at_the_step_that_failed(airflow: RealAirflow) -> None:
    log = airflow.data / "log-failed"
    log.mkdir()
    given = {"data": "${{parent.inputs.data}}"}
    jobs = {
        "first": step(f"echo ran >> {log}/first", DATA, {"made": ""}, given),
        "slow": step(f"touch {log}/slow; test -e {log}/mended || sleep 300", DATA, {"made": ""}, given),
        "broken": step(
            # The slow step is to be under way when this one fails.
            f"while [ ! -e {log}/slow ]; do sleep 0.1; done; echo it is broken; test -e {log}/mended",
            BEFORE, {"made": "${{parent.outputs.made}}"}, {"before": "${{parent.jobs.first.outputs.made}}"},
        ),
        "last": step("true", BEFORE, {"made": ""}, {"before": "${{parent.jobs.broken.outputs.made}}"}),
    }  # fmt: skip
    deploy(airflow, "failing", pipeline(jobs, DATA, {"made": ""}), continue_on_step_failure=False)
    invoke(airflow, "failing", "one", data=airflow.inputs("small", 7))
    job = finish(airflow, "failing", "one", "failed")
    assert job["state"] == "Failed", "a job that stops at a failing step is not canceled"
    assert states(job) == {"first": "Completed", "slow": "Canceled", "broken": "Failed", "last": "NotStarted"}
    assert "step broken failed" in job["error"]
    assert "it is broken" in job["error"]
    assert not airflow.workers("step", "one")

    (log / "mended").touch()
    airflow.clear("batch_endpoint.failing", "one")
    job = finish(airflow, "failing", "one")
    assert set(states(job).values()) == {"Completed"}
    assert (log / "first").read_text() == "ran\n", "what is done is not done again"


def test_a_job_cannot_go_on_without_a_step_that_an_update_took_away(airflow: RealAirflow) -> None:
    given = {"data": "${{parent.inputs.data}}"}
    kept, broken = step("true", DATA, {"made": ""}, given), step("exit 1", DATA, {"made": ""}, given)
    deploy(airflow, "reduced", pipeline({"kept": kept, "broken": broken}, DATA, {}))
    invoke(airflow, "reduced", "one", data=airflow.inputs("small", 7))
    assert "step broken failed" in finish(airflow, "reduced", "one", "failed")["error"]
    deploy(airflow, "reduced", pipeline({"kept": kept}, DATA, {}))
    path = "dags/batch_endpoint.reduced/tasks"
    airflow.eventually(lambda: not any("broken" in task["task_id"] for task in airflow.api("GET", path)["tasks"]))
    airflow.clear("batch_endpoint.reduced", "one")
    job = finish(airflow, "reduced", "one", "failed")
    assert "was changed after this job was planned" in job["error"]
    assert "no tasks for 1 of its 2 steps any more. Start a new job" in job["error"]


def test_a_step_scores_in_mini_batches(airflow: RealAirflow, tmp_path: Path) -> None:
    """Tried again, taken apart and counted as a model deployment's mini-batches are; and an output put elsewhere."""
    marks, elsewhere = airflow.data / "marks", airflow.outputs / "elsewhere"
    marks.mkdir()
    deploy_mini_batches(
        airflow, "mini-batches", "tolerant", error_threshold=1, retry_settings={"max_retries": 1, "timeout": 60}
    )
    airflow.eventually(lambda: airflow.has_dag("batch_endpoint.mini-batches"))
    place = {"rows": {"JobOutputType": "UriFolder", "Uri": elsewhere.as_uri()}}
    given = {
        "data": {"JobInputType": "UriFolder", "Uri": airflow.inputs("small", 7).as_uri()},
        "marks": {"JobInputType": "Literal", "Value": str(marks)},
    }
    body = {"properties": {"InputData": given, "OutputData": place, "name": "one"}}
    answer = airflow.rest("POST", "/v1/endpoints/mini-batches/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job = finish(airflow, "mini-batches", "one")
    assert states(job) == {"copy": "Completed", "score": "Completed", "count": "Completed"}
    rows = [f'"{number:03}.csv"' for number in (0, 1, 2, 4, 5, 6)]
    assert (elsewhere / "predictions.csv").read_text().splitlines() == ["prediction", *rows]
    assert text(job, "lines", "lines").strip() == "7"
    assert (marks / "tried").exists()

    path = "/v1/endpoints/mini-batches/jobs/one"
    letters = airflow.rest("GET", f"{path}/dead-letters").json()
    assert [(letter["step"], letter["item"], letter["message"]) for letter in letters["items"]] == [
        ("score", "003.csv", "no threes")
    ]
    assert airflow.rest("GET", f"{path}/preview").json()["rows"][0] == ["000.csv"]
    airflow.cli("jobs", "download", "mini-batches", "one", str(tmp_path))
    found = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert found == {"lines/lines", "rows/predictions.csv", "dead_letters/score.jsonl", "manifest.json"}
    assert (tmp_path / "rows" / "predictions.csv").read_bytes() == (elsewhere / "predictions.csv").read_bytes()
    assert json.loads((tmp_path / "dead_letters" / "score.jsonl").read_text())["item"] == "003.csv"

    deploy_mini_batches(
        airflow, "mini-batches", "strict", error_threshold=0, retry_settings={"max_retries": 0, "timeout": 60}
    )
    invoke(airflow, "mini-batches", "two", data=airflow.data / "small", marks=str(marks))
    job = finish(airflow, "mini-batches", "two", "failed")
    assert "step score failed" in job["error"]
    assert "error_threshold" in job["error"]
    assert states(job) == {"copy": "Completed", "score": "Failed", "count": "NotStarted"}
    letters = airflow.rest("GET", "/v1/endpoints/mini-batches/jobs/two/dead-letters").json()
    assert [letter["item"] for letter in letters["items"]] == ["003.csv"], "also of what was not published"


def test_a_canceled_pipeline_leaves_nothing_running(airflow: RealAirflow) -> None:
    sleeping = step("sleep 300", DATA, {"made": "${{parent.outputs.made}}"}, {"data": "${{parent.inputs.data}}"})
    deploy(airflow, "sleeping", pipeline({"sleep": sleeping}, DATA, {"made": ""}))
    invoke(airflow, "sleeping", "canceled", data=airflow.inputs("small", 7))
    airflow.eventually(lambda: airflow.workers("step", "canceled"))
    airflow.eventually(lambda: look(airflow, "sleeping", "canceled")["state"] == "Running")
    assert airflow.rest("POST", "/v1/endpoints/sleeping/jobs/canceled/cancel").status_code == 200
    airflow.eventually(lambda: not airflow.workers("step", "canceled"), 60)
    job = look(airflow, "sleeping", "canceled")
    assert (job["state"], states(job)) == ("Canceled", {"sleep": "Canceled"})


def test_another_dag_behind_an_endpoint(airflow: RealAirflow) -> None:
    airflow.eventually(lambda: airflow.has_dag("example_nightly_report"))
    airflow.api("PATCH", "dags/example_nightly_report", {"is_paused": False})
    airflow.trigger("example_batch_other_dag", "example")
    airflow.wait("example_batch_other_dag", "example", "success")
    (example,) = airflow.runs("batch_endpoint.reports")
    job = look(airflow, "reports", example)
    assert (job["state"], job["deployment_type"]) == ("Completed", "dag")
    other = job["other_run"]
    assert airflow.state("example_nightly_report", other["run_id"]) == "success"

    dag = {"name": "as-before", "endpoint_name": "reports", "dag_id": "example_nightly_report"}
    apply(airflow, {**dag, "dag_run_id": other["run_id"]})
    shown = airflow.rest("GET", "/v1/endpoints/reports/deployments/as-before").json()
    assert shown["document"]["inputs"] == job["inputs"], "a run of the DAG gives its parameters as defaults"

    airflow.trigger("deploying_a_run", "known", {"run": other["run_id"]})
    airflow.wait("deploying_a_run", "known", "success")
    shown = airflow.rest("GET", "/v1/endpoints/reports/deployments/from-a-task").json()
    assert shown["document"]["inputs"] == job["inputs"], "a task that deploys asks for them, too"
    airflow.trigger("deploying_a_run", "unknown", {"run": "nobody"})
    airflow.wait("deploying_a_run", "unknown", "failed")
    assert "there is no run 'nobody' of DAG 'example_nightly_report'" in airflow.logs("deploying_a_run", "unknown")

    invoke(airflow, "reports", "slow", day="2024-02-29", seconds=300)
    running = airflow.eventually(lambda: (look(airflow, "reports", "slow")["other_run"] or {}).get("run_id"))
    airflow.eventually(lambda: airflow.state("example_nightly_report", running) == "running")
    assert look(airflow, "reports", "slow")["inputs"] == {"day": "2024-02-29", "seconds": 300}
    airflow.eventually(lambda: look(airflow, "reports", "slow")["state"] == "Running")
    assert airflow.rest("POST", "/v1/endpoints/reports/jobs/slow/cancel").status_code == 200
    assert look(airflow, "reports", "slow")["state"] == "Canceled"
    assert airflow.state("example_nightly_report", running) == "failed", "the run ends with its job"
    listed = {
        job["name"]: job["state"] for job in json.loads(airflow.cli("jobs", "list", "reports", "-o", "json").stdout)
    }
    assert listed == {example: "Completed", "slow": "Canceled"}
