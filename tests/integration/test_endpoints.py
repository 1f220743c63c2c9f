from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ECHO = "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) for p in b]\n"
PICKY = """
import os
def init(): pass
def run(mini_batch):
    for path in mini_batch:
        if int(open(path).read()) % 3 == 0:
            raise ValueError("divisible by three")
    return [os.path.basename(path) for path in mini_batch]
"""
SLOW = (
    "import os, time\ndef init(): pass\ndef run(b):\n    time.sleep(0.4)\n    return [os.path.basename(p) for p in b]\n"
)


def rows(job: dict[str, str]) -> list[str]:
    text = Path(job["output"].removeprefix("file://"), "predictions.csv").read_text()
    return [line.strip('"') for line in text.splitlines()[1:]]


def names(count: int) -> list[str]:
    return [f"{number:03}.csv" for number in range(count)]


@pytest.fixture(scope="module")
def echo(airflow: RealAirflow) -> str:
    airflow.script_endpoint("echo", ECHO, mini_batch_size=2)
    airflow.inputs("small", 7)
    return "echo"


@pytest.fixture(scope="module")
def slow(airflow: RealAirflow) -> str:
    airflow.script_endpoint("slow", SLOW, mini_batch_size=1, max_concurrency_per_instance=2)
    airflow.inputs("many", 30)
    return "slow"


def test_apply_invoke_predictions(airflow: RealAirflow, echo: str) -> None:
    done = airflow.cli(
        "invoke", echo, "--input", str(airflow.data / "small"), "--wait", "--format", "json", "--job-name", "first"
    )
    job = json.loads(done.stdout)
    assert (job["state"], job["deployment"], job["error"]) == ("Completed", "main", None)
    assert (job["counts"]["listed"], job["counts"]["succeeded"], job["counts"]["failed"]) == (7, 7, 0)
    assert rows(job) == names(7)
    assert json.loads(airflow.cli("jobs", "list", echo, "-o", "json").stdout)[0]["name"] == "first"
    airflow.cli("jobs", "download", echo, "first", str(airflow.data / "downloaded"))
    assert (airflow.data / "downloaded" / "predictions.csv").read_bytes() == Path(
        job["output"][7:], "predictions.csv"
    ).read_bytes()


def test_one_name_is_one_job(airflow: RealAirflow, echo: str) -> None:
    arguments = ("invoke", echo, "--job-name", "named", "--wait", "--input")
    airflow.cli(*arguments, str(airflow.data / "small"))
    assert "found job named" in airflow.cli(*arguments, str(airflow.data / "small")).stderr
    assert "asks for something else" in airflow.cli(*arguments, str(airflow.data), code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--input", "{data}/../../../../etc"), "allowed_input_uris"),
        (("--input", "{data}/small", "--deployment", "ghost"), "there is: main"),
        (("--input", "{data}/small", "--set", "model=x"), "expected name=value"),
    ],
)
def test_bad_requests_start_nothing(airflow: RealAirflow, echo: str, arguments: tuple[str, ...], sentence: str) -> None:
    before = airflow.runs("batch_endpoint.echo")
    done = airflow.cli("invoke", echo, *(argument.format(data=airflow.data) for argument in arguments), code=2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert airflow.runs("batch_endpoint.echo") == before


@pytest.mark.parametrize("conf", [{"input": "file:///etc"}, {}, {"input": "file:///x", "surprise": 1}])
def test_bad_requests_of_the_form_end_in_one_sentence(airflow: RealAirflow, echo: str, conf: dict[str, str]) -> None:
    run = f"bad-{abs(hash(str(conf)))}"
    airflow.trigger("batch_endpoint.echo", run, conf)
    assert airflow.wait("batch_endpoint.echo", run) == "failed"
    states = {
        task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks("batch_endpoint.echo", run)
    }
    assert states["plan"] == ("failed", 1), "a user's mistake is not retried"
    assert airflow.job(echo, run)["error"]


def test_the_form_of_an_endpoint(airflow: RealAirflow, echo: str) -> None:
    details = airflow.api("GET", "dags/batch_endpoint.echo/details")
    assert details["description"] == "the endpoint echo"
    assert details["params"]["deployment"]["schema"]["examples"] == ["main"]
    assert all(param["value"] is None for param in details["params"].values())
    airflow.trigger("batch_endpoint.echo", "form", {"input": f"{airflow.data}/small", "mini_batch_size": 3})
    assert airflow.wait("batch_endpoint.echo", "form") == "success"


def test_lost_coordinator_lost_scheduler(airflow: RealAirflow, slow: str) -> None:
    airflow.client("invoke", slow, "--input", str(airflow.data / "many"), "--job-name", "disturbed")
    (coordinator,) = airflow.eventually(lambda: airflow.workers("score", "disturbed"))
    commits = airflow.outputs / "slow/disturbed/_batch/commits"
    airflow.eventually(lambda: commits.exists() and len(list(commits.iterdir())) >= 3)
    os.kill(coordinator, signal.SIGKILL)
    airflow.eventually(lambda: airflow.workers("score", "disturbed"))
    airflow.kill_component("scheduler")
    airflow.start_component("scheduler")
    if airflow.wait("batch_endpoint.slow", "disturbed") == "failed":
        airflow.clear("batch_endpoint.slow", "disturbed")
        airflow.wait("batch_endpoint.slow", "disturbed", "success")
    job = airflow.job(slow, "disturbed")
    assert rows(job) == names(30)
    assert job["counts"]["listed"] == job["counts"]["succeeded"] == 30


def test_cancel_then_clear(airflow: RealAirflow, slow: str) -> None:
    airflow.client("invoke", slow, "--input", str(airflow.data / "many"), "--job-name", "canceled")
    airflow.eventually(lambda: airflow.workers("score", "canceled"))
    airflow.cli("jobs", "cancel", slow, "canceled")
    airflow.eventually(lambda: not airflow.workers("score", "canceled"), 60)
    assert airflow.job(slow, "canceled")["state"] == "Canceled"
    assert "ended already" in airflow.cli("jobs", "cancel", slow, "canceled", code=2).stderr
    airflow.clear("batch_endpoint.slow", "canceled")
    airflow.wait("batch_endpoint.slow", "canceled", "success")
    assert rows(airflow.job(slow, "canceled")) == names(30)


def test_a_running_job_keeps_its_deployment(airflow: RealAirflow) -> None:
    folder = airflow.script_endpoint("changing", SLOW, mini_batch_size=1)
    airflow.inputs("steady", 40)  # enough to run on while three commands start
    airflow.client("invoke", "changing", "--input", str(airflow.data / "steady"), "--job-name", "steady")
    airflow.eventually(lambda: airflow.workers("score", "steady"))
    (folder / "code" / "score.py").write_text("def init(): raise RuntimeError('the new one')\ndef run(b): return b\n")
    airflow.client("apply", "-f", str(folder / "deployment.yml"))
    assert "running jobs" in airflow.client("delete", "changing", "--yes", code=2).stderr
    assert "is the default" in airflow.cli("delete", "changing", "-d", "main", "--yes", code=2).stderr
    airflow.wait("batch_endpoint.changing", "steady", "success")
    assert rows(airflow.job("changing", "steady")) == names(40)
    airflow.cli("delete", "changing", "--yes")
    assert "changing" not in airflow.client("list").stdout
    assert airflow.job("changing", "steady")["state"] == "Completed", "jobs outlive their endpoint"


def test_dead_letters_are_replayed_with_another_deployment(airflow: RealAirflow) -> None:
    folder = airflow.script_endpoint("picky", PICKY, mini_batch_size=2, retry_settings={"max_retries": 0})
    deployment = json.loads((folder / "deployment.yml").read_text())
    (folder / "code" / "score.py").write_text(ECHO)
    (folder / "mended.yml").write_text(json.dumps({**deployment, "name": "mended"}))
    airflow.client("apply", "-f", str(folder / "mended.yml"))
    small = str(airflow.inputs("small", 7))
    airflow.client("invoke", "picky", "--input", small, "--job-name", "broken", "--wait")
    assert airflow.job("picky", "broken")["counts"]["failed"] == 3

    done = airflow.cli(
        "jobs", "replay", "picky", "broken", "-d", "mended", "--job-name", "mending", "--set", "mini_batch_size=1", "--wait",
        "--format", "json",
    )  # fmt: skip
    job = json.loads(done.stdout)
    assert (job["state"], job["deployment"], job["replay_of"]) == ("Completed", "mended", "broken")
    assert job["input"] == airflow.job("picky", "broken")["input"]
    assert rows(job) == ["000.csv", "003.csv", "006.csv"]
    manifest = json.loads(Path(job["output"].removeprefix("file://"), "manifest.json").read_text())
    assert manifest["replay_of"]["job"] == "broken"

    assert "nothing to replay" in airflow.client("jobs", "replay", "picky", "mending", code=2).stderr
    assert "there is no job" in airflow.client("jobs", "replay", "picky", "ghost", code=2).stderr
    # The form and the REST interface have it too; without a deployment it is the old job's.
    airflow.trigger("batch_endpoint.picky", "same", {"replay_of": "broken"})
    airflow.wait("batch_endpoint.picky", "same", "failed")
    assert (failed := airflow.job("picky", "same"))["deployment"] == "main"
    assert "divisible by three" in failed["error"]
    assert "is Failed; only a completed job" in airflow.client("jobs", "replay", "picky", "same", code=2).stderr


# -- invoking from DAGs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def invoked(airflow: RealAirflow) -> str:
    airflow.script_endpoint("invoked", SLOW, mini_batch_size=1)
    airflow.inputs("small", 7)
    airflow.inputs("some", 12)
    return "invoked"


def jobs_of(airflow: RealAirflow, dag_id: str) -> set[str]:
    return {name for name in airflow.runs("batch_endpoint.invoked") if name.startswith(f"{dag_id}.")}


@pytest.mark.parametrize("how", ["waiting", "deferrable", "starting"])
def test_invoking_from_a_dag_and_again_after_success(airflow: RealAirflow, invoked: str, how: str) -> None:
    dag_id = f"invoking_{how}"
    airflow.trigger(dag_id, "one")
    airflow.wait(dag_id, "one", "success")
    (name,) = jobs_of(airflow, dag_id)
    assert rows({"output": f"{airflow.outputs}/invoked/{name}"}) == names(7)
    if how != "starting":
        airflow.clear(dag_id, "one")
        airflow.wait(dag_id, "one", "success")
        assert len(jobs_of(airflow, dag_id)) == 2, "a task cleared after success starts a new job"


def test_a_retry_reconnects_to_its_job(airflow: RealAirflow, invoked: str) -> None:
    before = len(jobs_of(airflow, "invoking_waiting"))
    airflow.trigger("invoking_waiting", "killed", {"folder": "some"})
    airflow.eventually(lambda: len(jobs_of(airflow, "invoking_waiting")) > before)
    task = airflow.eventually(
        lambda: [t for t in airflow.tasks("invoking_waiting", "killed") if t["state"] == "running" and t["pid"]]
    )
    os.kill(task[0]["pid"], signal.SIGKILL)
    airflow.wait("invoking_waiting", "killed", "success")
    assert len(jobs_of(airflow, "invoking_waiting")) == before + 1
    assert airflow.tries("invoking_waiting", "killed", "invoke") >= 2


@pytest.mark.parametrize("how", ["waiting", "deferrable"])
def test_a_person_ending_the_task_cancels_the_job(airflow: RealAirflow, invoked: str, how: str) -> None:
    dag_id = f"invoking_{how}"
    airflow.inputs("long", 200)
    before = jobs_of(airflow, dag_id)
    airflow.trigger(dag_id, "ended", {"folder": "long"})
    (name,) = airflow.eventually(lambda: jobs_of(airflow, dag_id) - before)
    airflow.eventually(lambda: airflow.workers("score", name))
    wanted = "deferred" if how == "deferrable" else "running"
    airflow.eventually(lambda: airflow.tasks(dag_id, "ended")[0]["state"] == wanted)
    airflow.fail(dag_id, "ended")
    airflow.eventually(lambda: not airflow.workers("score", name), 60)
    assert airflow.wait("batch_endpoint.invoked", name) == "failed"


@pytest.fixture
def paused(airflow: RealAirflow, invoked: str) -> Iterator[None]:
    """Jobs stay queued: Airflow deletes no run that is running."""
    airflow.eventually(lambda: airflow.has_dag("batch_endpoint.invoked"))
    airflow.api("PATCH", "dags/batch_endpoint.invoked", {"is_paused": True})
    yield
    airflow.api("PATCH", "dags/batch_endpoint.invoked", {"is_paused": False})


@pytest.mark.parametrize("how", ["waiting", "deferrable"])
@pytest.mark.usefixtures("paused")
def test_a_person_deleting_the_job_fails_the_task(airflow: RealAirflow, how: str) -> None:
    dag_id = f"invoking_{how}"
    before = jobs_of(airflow, dag_id)
    airflow.trigger(dag_id, "deleted")
    (name,) = airflow.eventually(lambda: jobs_of(airflow, dag_id) - before)
    wanted = "deferred" if how == "deferrable" else "running"
    airflow.eventually(lambda: airflow.tasks(dag_id, "deleted")[0]["state"] == wanted)
    airflow.api("DELETE", f"dags/batch_endpoint.invoked/dagRuns/{name}")
    airflow.wait(dag_id, "deleted", "failed")
    assert f"job '{name}' of endpoint 'invoked' was deleted" in airflow.logs(dag_id, "deleted")
    assert jobs_of(airflow, dag_id) == before, "nobody starts again what a person has deleted"


def test_a_deferred_task_ends_in_time_and_its_job_with_it(airflow: RealAirflow, invoked: str) -> None:
    airflow.inputs("long", 200)
    airflow.trigger("invoking_limited", "late", {"folder": "long"})
    (name,) = airflow.eventually(lambda: jobs_of(airflow, "invoking_limited"))
    airflow.wait("invoking_limited", "late", "failed")
    assert "exceeded its execution_timeout of 0:00:20" in airflow.logs("invoking_limited", "late")
    assert airflow.wait("batch_endpoint.invoked", name) == "failed"
    assert "exceeded its execution_timeout" in airflow.logs("batch_endpoint.invoked", name)


@pytest.mark.usefixtures("paused")
def test_sensors_end_when_their_job_is_deleted_or_late(airflow: RealAirflow) -> None:
    def states(*wanted: str) -> dict[str, str] | None:
        found = {task["task_id"]: str(task["state"]) for task in airflow.tasks("invoking_nothing", "one")}
        return found if all(state in wanted for state in found.values()) else None

    airflow.api(
        "POST",
        "dags/batch_endpoint.invoked/dagRuns",
        {"dag_run_id": "sensed", "logical_date": None, "conf": {"input": "/nowhere"}},
    )
    airflow.trigger("invoking_nothing", "one", {"job": "sensed"})
    airflow.eventually(lambda: states("running", "up_for_reschedule", "deferred", "skipped"))
    airflow.eventually(
        lambda: (
            airflow.tries("invoking_nothing", "one", "reschedule")
            and airflow.logs("invoking_nothing", "one").count("Rescheduling task")
        )
    )
    airflow.api("DELETE", "dags/batch_endpoint.invoked/dagRuns/sensed")
    ended = airflow.eventually(lambda: states("failed", "skipped"))
    assert ended == {"poke": "failed", "reschedule": "failed", "deferrable": "failed", "impatient": "skipped"}
    assert airflow.logs("invoking_nothing", "one").count("job 'sensed' of endpoint 'invoked' was deleted") >= 3
