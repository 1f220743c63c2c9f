from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.worker.conftest import ECHO, Job, eventually

SLOW = """
import os, time
def init():
    pass
def run(mini_batch):
    time.sleep(0.15)
    return [os.path.basename(path) for path in mini_batch]
"""


def lines(job: Job) -> list[str]:
    return [line.strip('"') for line in job.predictions().decode().splitlines()[1:]]


def test_a_job_from_plan_to_publication(job: Job) -> None:
    result = job.run(mini_batch_size=2, max_concurrency_per_instance=2)
    assert result["state"] == "Completed"
    assert (result["listed"], result["succeeded"], result["failed"], result["rows"]) == (6, 6, 0, 6)
    assert lines(job) == [f"{number}.csv:{number}" for number in range(6)]
    assert sorted(path.name for path in job.output.iterdir()) == ["_timeline.json", "manifest.json", "predictions.csv"]


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
def test_outputs_do_not_depend_on_who_did_what(make_job: Callable[..., Job], name: str) -> None:
    contents = {f"{number:03}.csv": f"{number}\n" for number in range(40)}
    outputs = []
    for slots, instances in ((1, 1), (3, 1), (1, 3)):
        job = make_job(f"job-{slots}-{instances}", instance_count=instances).files(contents).script(ECHO)
        job.do("plan", mini_batch_size=3, max_concurrency_per_instance=slots, output_file_name=name)
        workers = [job.start("score", "--instance", str(instance)) for instance in range(instances)]
        assert [worker.communicate()[0] and worker.returncode for worker in workers] == [0] * instances
        job.do("publish")
        outputs.append(job.predictions(name))
    assert outputs[0] == outputs[1] == outputs[2]


def test_every_command_again_changes_nothing(job: Job) -> None:
    job.run(mini_batch_size=2)
    before = job.predictions()
    assert job.do("plan", mini_batch_size=2)["items"] == 6
    assert job.do("score", "--instance", "0")["outcome"] == "nothing_left"
    assert job.do("publish")["rows"] == 6
    assert job.predictions() == before


def test_two_plans_at_once_make_one(job: Job) -> None:
    plans = [job.start("plan", mini_batch_size=2) for _ in range(4)]
    assert [plan.communicate()[0] and plan.returncode for plan in plans] == [0] * 4
    assert len(list((job.output / "_batch").glob("plan-*"))) == 1
    job.do("score", "--instance", "0")
    assert job.do("publish")["rows"] == 6


def test_files_that_come_later_are_not_scored(job: Job) -> None:
    job.do("plan")
    job.files({"9.csv": "9\n"})
    job.do("score", "--instance", "0")
    assert job.do("publish")["listed"] == 6


def test_another_jobs_output_is_refused_before_any_work(make_job: Callable[..., Job], job: Job) -> None:
    job.run()
    other = make_job("other", output_uri=job.output.as_uri()).files({"a.csv": "a\n"}).script(ECHO)
    other.name = "job-2"
    assert other.do("plan", code=2)["error"]["type"] == "OutputExistsError"
    other.spec["output_uri"] = job.output.as_uri()
    assert "job-1" in other.do("plan", code=2)["error"]["message"]


def test_another_jobs_output_is_replaced_at_publication(make_job: Callable[..., Job], job: Job) -> None:
    job.run()
    other = make_job("other", output_uri=job.output.as_uri()).files({"a.csv": "a\n"}).script(ECHO)
    other.name = "job-2"
    other.do("plan", output_exists="replace")
    assert len(lines(job)) == 6, "until then the old output stays"
    for command in (("score", "--instance", "0"), ("publish",)):
        process = subprocess.run(
            [*other.start("plan", output_exists="replace").args[:3], *command, "--submission", "0", "--job", "job-2",
             "--output-uri", job.output.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
        assert process.returncode == 0
    assert lines(job) == ["a.csv:a"]


def test_what_a_late_worker_of_an_older_job_commits_does_not_count(job: Job) -> None:
    job.do("plan", mini_batch_size=2)
    job.do("score", "--instance", "0")
    commit = job.output / "_batch" / "commits" / "00001.json"
    commit.write_text(json.dumps({**json.loads(commit.read_text()), "job": "older", "part": None, "rows": 0}))
    error = job.do("publish", code=5)["error"]
    assert "1 of 3 shards are not done (the first is 1)" in error["message"]
    job.do("score", "--instance", "0")
    job.do("publish")
    assert lines(job) == [f"{number}.csv:{number}" for number in range(6)]


def test_an_output_folder_with_something_in_it_is_refused(job: Job) -> None:
    job.output.mkdir()
    (job.output / "precious.txt").write_text("mine")
    assert "precious.txt" in job.do("plan", code=2)["error"]["message"]


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(make_job: Callable[..., Job]) -> Job:
    return make_job("slow").files({f"{number:02}.csv": "" for number in range(24)}).script(SLOW)


SLOW_ROWS = [f"{number:02}.csv" for number in range(24)]


def committed(job: Job) -> list[Path]:
    return list((job.output / "_batch" / "commits").glob("*.json"))


def test_killed_slots_lose_nothing(slow: Job) -> None:
    slow.do("plan", mini_batch_size=1, max_concurrency_per_instance=2)
    worker = slow.start("score", "--instance", "0")
    for count in (1, 5):
        eventually(lambda count=count: len(committed(slow)) >= count)
        for slot in slow.slots(worker.pid):
            os.kill(slot, signal.SIGKILL)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, output
    assert "SIGKILL" in output
    slow.do("publish")
    assert lines(slow) == SLOW_ROWS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lost_coordinator_is_succeeded_at_once(slow: Job, number: signal.Signals) -> None:
    slow.environment["BATCH_ENDPOINTS_LEASE_SECONDS"] = "3600"
    slow.do("plan", mini_batch_size=1, max_concurrency_per_instance=2)
    worker = slow.start("score", "--instance", "0")
    eventually(lambda: len(committed(slow)) >= 3)
    slots = slow.slots(worker.pid)
    worker.send_signal(number)
    worker.communicate(timeout=30)
    assert worker.returncode == (4 if number == signal.SIGTERM else -9)
    eventually(lambda: not any(Path(f"/proc/{slot}").exists() for slot in slots))
    assert slow.do("publish", code=5)["error"]["type"] == "IncompleteError"
    slow.do("score", "--instance", "0")
    slow.do("publish")
    assert lines(slow) == SLOW_ROWS


def test_a_retried_instance_beside_its_living_predecessor(slow: Job) -> None:
    slow.do("plan", mini_batch_size=1)
    workers = [slow.start("score", "--instance", "0") for _ in range(2)]
    assert [worker.communicate()[0] and worker.returncode for worker in workers] == [0, 0]
    slow.do("publish")
    assert lines(slow) == SLOW_ROWS


def test_a_stopped_instance_is_overtaken_and_its_late_commit_does_no_harm(slow: Job) -> None:
    slow.do("plan", mini_batch_size=1)
    zombie = slow.start("score", "--instance", "0")
    eventually(lambda: len(committed(slow)) >= 2)
    os.kill(zombie.pid, signal.SIGSTOP)
    slow.do("score", "--instance", "1")
    slow.do("publish")
    before = slow.predictions()
    os.kill(zombie.pid, signal.SIGCONT)
    zombie.communicate(timeout=60)
    assert slow.predictions() == before
    assert lines(slow) == SLOW_ROWS
    assert slow.do("publish")["rows"] == 24
    assert not (slow.output / "_batch").exists()


def test_publish_killed_at_any_step_publishes_once(
    make_job: Callable[..., Job], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_batch_endpoints.storage.local import LocalStore
    from airflow_batch_endpoints.worker.commands import publish

    job.script(
        ECHO.replace("return [", "if any(p.endswith('3.csv') for p in mini_batch): raise ValueError(3)\n    return [")
    )
    job.do("plan", mini_batch_size=2)
    job.do("score", "--instance", "0")

    class Killed(BaseException):
        pass

    def killing(left: int) -> Any:
        def wrap(name: str) -> Any:
            method = getattr(LocalStore, name)

            def call(self: LocalStore, *arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed
                return method(self, *arguments)

            return call

        return {name: wrap(name) for name in ("create", "write", "writer", "delete", "read", "reader")}

    results = []
    for step in range(1, 60):
        with monkeypatch.context() as patch:
            for name, method in killing(step).items():
                patch.setattr(LocalStore, name, method)
            try:
                results.append(publish.run(job.output.as_uri(), "job-1", "0"))
            except Killed:
                continue
            break
    assert results, "publish never came to its end"
    final = publish.run(job.output.as_uri(), "job-1", "0")
    assert (final["listed"], final["succeeded"], final["failed"]) == (6, 5, 1)
    assert lines(job) == [f"{number}.csv:{number}" for number in (0, 1, 2, 4, 5)]
    assert [letter["item"] for letter in job.dead_letters()] == ["3.csv"]
    assert not (job.output / "_batch").exists()


# -- thresholds, broken scripts -----------------------------------------------------------------------------------------

FAILS_ON_3 = """
import os
def init(): pass
def run(mini_batch):
    if any(os.path.basename(path) == "3.csv" for path in mini_batch):
        raise ValueError("three is bad")
    return mini_batch
"""


@pytest.mark.parametrize(("threshold", "code"), [(-1, 0), (0, 3), (1, 0), ("10%", 3), ("20%", 0)])
def test_the_error_threshold(job: Job, threshold: int | str, code: int) -> None:
    job.script(FAILS_ON_3)
    settings = {"mini_batch_size": 3, "error_threshold": threshold, "retry_settings": {"max_retries": 0}}
    job.do("plan", **settings)
    job.do("score", "--instance", "0", code=code)
    result = job.do("publish", code=code)
    if code == 0:
        (letter,) = job.dead_letters()
        assert (letter["item"], letter["error_type"], letter["message"]) == ("3.csv", "ValueError", "three is bad")
        assert "three is bad" in letter["traceback"]
        assert result["failed"] == 1
    else:
        assert "1 of 6 items failed" in result["error"]["message"]
        assert not (job.output / "manifest.json").exists()


def test_an_instance_that_loads_is_alive_and_can_be_stopped(job: Job) -> None:
    job.script("import time\ntime.sleep(300)\ndef init(): pass\ndef run(b): return b\n")
    job.do("plan")
    process = job.start("score", "--instance", "0")
    instances = job.output / "_batch" / "instances"

    def sequence() -> int:
        return max((json.loads(path.read_text())["sequence"] for path in instances.glob("*.json")), default=0)

    eventually(lambda: sequence() >= 3)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 4, output


def test_a_job_in_which_nothing_succeeds_fails_whatever_the_threshold(job: Job) -> None:
    job.script("def init(): pass\ndef run(mini_batch): raise KeyError('no')\n")
    job.do("plan", retry_settings={"max_retries": 0})
    job.do("score", "--instance", "0")
    assert "KeyError" in job.do("publish", code=2)["error"]["message"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def init(): raise RuntimeError('no weights')\ndef run(b): return b\n", "no weights"),
        ("def init(): pass\n", "run()"),
        ("import not_there\n", "not_there"),
        ("def init(:\n", "SyntaxError"),
        ("import os\nos._exit(7)\n", "7"),
    ],
)
def test_a_script_that_cannot_start_is_one_sentence(job: Job, source: str, sentence: str) -> None:
    job.script(source)
    job.do("plan", retry_settings={"max_retries": 0, "timeout": 5})
    process = job.start("score", "--instance", "0")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert sentence in job.do("publish", code=2)["error"]["message"]


@pytest.mark.parametrize(
    ("returned", "error"),
    [("42", "int"), ("'text'", "str"), ("None", "NoneType"), ("b'x'", "bytes"), ("{}", "dict"), ("object()", "object")],
)
def test_what_is_no_collection_fails_the_mini_batch_by_name(job: Job, returned: str, error: str) -> None:
    job.script(f"def init(): pass\ndef run(mini_batch): return {returned}\n")
    job.do("plan", retry_settings={"max_retries": 0})
    job.do("score", "--instance", "0")
    assert f"returned {error}" in job.do("publish", code=2)["error"]["message"]


@pytest.mark.parametrize(
    ("returned", "rows"),
    [
        ("(x for x in mini_batch)", 6),
        ("tuple(mini_batch)", 6),
        ("[(1, 'a') for x in mini_batch]", 6),
        ("[{'a': 1} for x in mini_batch]", 6),
        ("[float('nan'), None][: len(mini_batch)]", 6),
        ("__import__('numpy').ones((len(mini_batch), 2))", 6),
        ("__import__('pandas').Series(mini_batch)", 6),
        ("__import__('pandas').DataFrame({'a': range(5)})", 15),
        ("[mini_batch.pop() for _ in range(len(mini_batch))]", 6),
    ],
)
def test_every_shape_of_result(job: Job, returned: str, rows: int) -> None:
    job.script(f"def init(): pass\ndef run(mini_batch): return {returned}\n")
    result = job.run(mini_batch_size=2)
    assert (result["succeeded"], result["failed"], result["rows"]) == (6, 0, rows)


def test_results_too_few_are_failed_items_found_by_name(job: Job) -> None:
    job.script(
        "import os\ndef init(): pass\ndef run(b): return [os.path.basename(p) for p in b if '3' not in os.path.basename(p)]\n"
    )
    result = job.run(mini_batch_size=3)
    assert (result["succeeded"], result["failed"]) == (5, 1)
    assert job.dead_letters()[0]["item"] == "3.csv"


def test_a_hanging_run_is_killed_and_its_item_set_aside(job: Job) -> None:
    job.script(
        "import time\ndef init(): pass\ndef run(b):\n    if any('3.csv' in p for p in b): time.sleep(1e6)\n    return b\n"
    )
    result = job.run(mini_batch_size=2, retry_settings={"max_retries": 0, "timeout": 1})
    assert result["failed"] == 1
    assert "timeout" in job.dead_letters()[0]["message"]


def test_an_item_that_kills_its_process_is_one_dead_letter(job: Job) -> None:
    job.script(
        "import os\ndef init(): pass\ndef run(b):\n    if any('3.csv' in p for p in b): os.kill(os.getpid(), 11)\n    return b\n"
    )
    result = job.run(mini_batch_size=2, retry_settings={"max_retries": 0})
    assert result["failed"] == 1
    assert "SIGSEGV" in job.dead_letters()[0]["message"]


def test_what_a_script_prints_reaches_the_log_bounded(job: Job) -> None:
    job.script(
        "def init(): pass\ndef run(b):\n    print('hello ' + 'x' * 5_000_000)\n    print('second line')\n    return b\n"
    )
    job.do("plan")
    job.do("score", "--instance", "0")
    assert "slot 0 | hello xx" in job.log
    assert "second line" in job.log
    assert len(job.log) < 200_000


def test_scripts_get_no_secrets_and_find_their_model(job: Job) -> None:
    job.environment |= {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "secret", "MY_TOKEN": "secret", "AWS_REGION": "here"}
    (job.folder / "model" / "weights.txt").write_text("w")
    job.spec["model_name"] = "net"
    job.script(
        "import os, glob\ndef init(): pass\n"
        "def run(b): return [' '.join(sorted(os.environ)) + str(glob.glob(os.environ['AZUREML_MODEL_DIR'] + '/*/*'))] * len(b)\n"
    )
    job.run(environment_variables={"THEIRS": "1"})
    text = job.predictions().decode()
    assert "AIRFLOW" not in text
    assert "MY_TOKEN" not in text
    assert "AWS_REGION" in text
    assert "THEIRS" in text
    assert "net/weights.txt" in text


def test_scripts_in_pods_get_what_their_compute_gives_them(job: Job) -> None:
    job.environment |= {"MY_TOKEN": "given", "MLFLOW_TRACKING_TOKEN": "secret", "PIP_INDEX_URL": "secret"}
    job.spec["launch"] = {"compute": {"type": "kubernetes", "name": "pool", "image": "i"}, "image": "i"}
    job.script("import os\ndef init(): pass\ndef run(b): return [' '.join(sorted(os.environ))] * len(b)\n")
    job.run()
    seen = set(job.predictions().decode().replace('"', " ").split())
    assert "MY_TOKEN" in seen
    assert not [name for name in seen if name.startswith(("MLFLOW_", "PIP_", "BATCH_ENDPOINTS_"))]


def test_files_that_scripts_write_are_published(job: Job) -> None:
    job.script(
        "import os\ndef init(): pass\ndef run(b):\n"
        "    for p in b: open(os.environ['AZUREML_BI_OUTPUT_PATH'] + '/' + os.path.basename(p) + '.out', 'w').write('done')\n"
        "    return b\n"
    )
    job.run(mini_batch_size=2, output_action="summary_only", max_concurrency_per_instance=2)
    assert sorted(path.name for path in job.output.glob("*.out")) == [f"{number}.csv.out" for number in range(6)]
    names = {file["name"] for file in job.manifest()["files"]}
    assert {"0.csv.out", "5.csv.out", "predictions.csv"} <= names


def test_names_that_are_not_utf_8_are_escaped(job: Job) -> None:
    job.script(
        "import os\ndef init(): pass\ndef run(b):\n"
        "    name = os.environb[b'AZUREML_BI_OUTPUT_PATH'] + b'/\\xff-' + os.path.basename(os.fsencode(b[0]))\n"
        "    open(name, 'w').write('done')\n    return b\n"
    )
    job.run(mini_batch_size=6, output_action="summary_only")
    assert (job.output / r"\xff-0.csv").read_text() == "done"
    assert r"\xff-0.csv" in {file["name"] for file in job.manifest()["files"]}


def test_errors_that_tell_such_names_are_logged(job: Job) -> None:
    (job.folder / "in" / os.fsdecode(b"\xff.csv")).write_text("")
    job.script(
        "def init(): pass\ndef run(b):\n    if '\\udcff' in b[0]: raise ValueError('not ' + b[0])\n    return b\n"
    )
    job.do("plan", mini_batch_size=1, retry_settings={"max_retries": 0})
    job.do("score", "--instance", "0")
    assert re.search(r"^WARNING .* dead letter: .*not .*\\udcff.csv$", job.log, re.M), job.log
    assert "Logging error" not in job.log
    assert job.do("publish")["failed"] == 1


def test_two_files_of_one_name_are_refused(job: Job) -> None:
    job.script(
        "import os\ndef init(): pass\ndef run(b):\n"
        "    open(os.path.join(os.environ['AZUREML_BI_OUTPUT_PATH'], 'same.out'), 'w').write('x')\n    return b\n"
    )
    job.do("plan", mini_batch_size=3, output_action="summary_only")
    job.do("score", "--instance", "0")
    assert "'same.out'" in job.do("publish", code=2)["error"]["message"]


def test_columns_that_differ_are_aligned_by_name(job: Job) -> None:
    job.script(
        "import os, pandas as pd\ndef init(): pass\n"
        "def run(b): return pd.DataFrame([{'c' + os.path.basename(p)[0]: 1} for p in b])\n"
    )
    job.run(mini_batch_size=1)
    table = pa.csv.read_csv(job.output / "predictions.csv")
    assert table.column_names == [f"c{number}" for number in range(6)]
    assert [table[name].null_count for name in table.column_names] == [5] * 6


def test_azure_formats_have_no_header(job: Job) -> None:
    job.script("def init(): pass\ndef run(b): return [('a', 1) for _ in b]\n")
    job.run(output_format="azureml")
    assert job.predictions().decode().splitlines() == ["a 1"] * 6


def test_memory_beyond_the_limit_ends_as_one_dead_letter(job: Job) -> None:
    job.spec["memory_bytes"] = 400 * 2**20
    job.script(
        "import time\ndef init(): pass\ndef run(b):\n    if any('3.csv' in p for p in b):\n        x = bytearray(800_000_000)\n"
        "        time.sleep(5)\n    return b\n"
    )
    result = job.run(mini_batch_size=2, retry_settings={"max_retries": 0})
    assert result["failed"] == 1
    assert "OOMKilled" in job.dead_letters()[0]["message"]


def test_a_spawned_slot_does_the_same(job: Job) -> None:
    assert job.run(slot_start_method="spawn", max_concurrency_per_instance=2, mini_batch_size=2)["rows"] == 6


def test_static_distribution_needs_no_claims(job: Job) -> None:
    job.spec["instance_count"] = 2
    job.do("plan", distribution="static", mini_batch_size=1)
    for instance in (1, 0):
        job.do("score", "--instance", str(instance))
    assert not (job.output / "_batch" / "claims").exists()
    assert job.do("publish")["rows"] == 6


def test_a_full_disk_is_infrastructure(job: Job) -> None:
    job.do("plan")
    os.chmod(job.output / "_batch", 0o555)
    try:
        if os.geteuid() == 0:
            pytest.skip("root writes where it is not allowed to")
        assert job.do("score", "--instance", "0", code=2)["error"]
    finally:
        os.chmod(job.output / "_batch", 0o755)


def test_nothing_to_score_is_said_at_once(make_job: Callable[..., Job]) -> None:
    job = make_job("empty").script(ECHO)
    (job.folder / "in").mkdir()
    assert "no input files found" in job.do("plan", code=2)["error"]["message"]
    job.spec["input_uri"] = (job.folder / "missing").as_uri()
    assert "does not exist" in job.do("plan", code=2)["error"]["message"]


def test_results_fit_a_termination_message(make_job: Callable[..., Job]) -> None:
    job = make_job("many").files({f"{number}.csv": "" for number in range(300)})
    job.script("def init(): pass\ndef run(b): raise ValueError('x' * 100_000)\n")
    job.do("plan", retry_settings={"max_retries": 0}, mini_batch_size=300)
    job.do("score", "--instance", "0")
    job.do("publish", code=2)
    assert (job.folder / "publish.json").stat().st_size <= 4096


def test_the_coordinator_imports_nothing_heavy() -> None:
    code = (
        "import sys, json; from airflow_batch_endpoints.worker import __main__; "
        "from airflow_batch_endpoints.worker.commands import plan, score, publish; print(json.dumps(sorted(sys.modules)))"
    )
    output = subprocess.run(
        ["python", "-c", code], capture_output=True, text=True, check=True, env=_python_path()
    ).stdout
    modules = {name.partition(".")[0] for name in json.loads(output)}
    heavy = {"airflow", "sqlalchemy", "fastapi", "kubernetes", "pandas", "mlflow", "sklearn", "fsspec"}
    assert not modules & heavy


def _python_path() -> dict[str, str]:
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_the_commands_never_import_pandas(job: Job) -> None:
    """Arrow would, at the first array it makes of Python's values; only slots have a use for it."""
    job.environment = {"PYTHONPROFILEIMPORTTIME": "1"}
    for command in ("plan", "score", "publish"):
        process = job.start(command, *(["--instance", "0"] if command == "score" else []))
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        # What slots import is in lines of the log.
        imported = {line.rsplit("|", 1)[-1].strip() for line in output.splitlines() if line.startswith("import time:")}
        assert "pyarrow" in imported
        assert not any(name.startswith(("pandas.", "mlflow.", "sklearn.")) for name in imported)


def test_parquet_output_has_every_value_and_no_useless_dictionaries(job: Job) -> None:
    job.script(
        "import pandas as pd\ndef init(): pass\n"
        "def run(mini_batch):\n"
        "    rows = range(-3, 5_000)\n"
        "    return pd.DataFrame({'text': [str(r % 3) for r in rows], 'whole': [r * 10**12 for r in rows],\n"
        "        'small': pd.array([r % 5 for r in rows], 'int8'), 'real': [r / 7 for r in rows], "
        "        'flag': [r % 2 == 0 for r in rows]})\n"
    )
    job.run(mini_batch_size=1, output_file_name="predictions.parquet")
    path = job.output / "predictions.parquet"
    table = pyarrow.parquet.read_table(path)
    rows = [*range(-3, 5_000)] * 6
    assert table["text"].to_pylist() == [str(row % 3) for row in rows]
    assert table["whole"].to_pylist() == [row * 10**12 for row in rows]
    assert table["small"].to_pylist() == [row % 5 for row in rows]
    assert table["real"].to_pylist() == [row / 7 for row in rows]
    assert table["flag"].to_pylist() == [row % 2 == 0 for row in rows]
    with pyarrow.parquet.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        encodings = {
            group.column(number).path_in_schema: group.column(number).encodings for number in range(group.num_columns)
        }
    assert "RLE_DICTIONARY" in encodings["text"]
    assert "DELTA_BINARY_PACKED" in encodings["whole"]
    assert "DELTA_BINARY_PACKED" in encodings["small"]
    assert "RLE_DICTIONARY" not in encodings["real"]
