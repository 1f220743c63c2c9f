from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from tests.integration.conftest import EXAMPLES, RealAirflow
from tests.pipelines import BEFORE, DATA, TWO_STEPS, apply, deploy, finish, invoke, look, pipeline, states, step, text

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(600)]

ECHO = "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) for p in b]\n"


def test_train_and_score_as_by_hand(airflow: RealAirflow, tmp_path: Path) -> None:
    airflow.trigger("example_batch_pipeline", "example")
    airflow.wait("example_batch_pipeline", "example", "success", seconds=400)
    (training,) = airflow.runs("batch_endpoint.churn-training")
    (scoring,) = airflow.runs("batch_endpoint.churn")
    trained, scored = look(airflow, "churn-training", training), look(airflow, "churn", scoring)
    assert states(trained) == {"prepare": "Completed", "train": "Completed"}
    assert states(scored) == {"prepare": "Completed", "score": "Completed"}
    assert [step["after"] for step in scored["steps"]] == [[], ["prepare"]]

    code, customers = EXAMPLES / "churn" / "components", airflow.data / "customers"

    def run(component: str, **arguments: object) -> None:
        told = [part for name, value in arguments.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        script = code / component / "code" / f"{component}.py"
        subprocess.run([sys.executable, str(script), *told], check=True, cwd=tmp_path)

    run("prepare", data=customers, prepared=tmp_path / "prepared", fitted=tmp_path / "fitted")
    run(
        "train",
        prepared=tmp_path / "prepared",
        strength=2.0,
        model=tmp_path / "model",
        scores=tmp_path / "train-scores",
    )
    run(
        "score", prepared=tmp_path / "prepared", model=tmp_path / "model", score_mode="append", scores=tmp_path / "scores"
    )  # fmt: skip
    assert text(scored, "scores", "predictions.csv") == (tmp_path / "scores" / "predictions.csv").read_text()
    assert text(trained, "scores", "scores.json") == (tmp_path / "train-scores" / "scores.json").read_text()
    fitted = Path(trained["outputs"]["transformations"]["uri"].removeprefix("file://"), "scaler.joblib")
    np.testing.assert_array_equal(joblib.load(fitted).mean_, joblib.load(tmp_path / "fitted" / "scaler.joblib").mean_)


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
