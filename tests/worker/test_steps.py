"""Steps of a pipeline: published once, whatever dies; used again when nothing has changed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.exceptions import (
    IncompleteError,
    InputError,
    NotFoundError,
    OutputExistsError,
    UserError,
)
from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.storage.local import LocalStore
from airflow_batch_endpoints.worker.commands import plan, publish, step
from airflow_batch_endpoints.worker.steps import parallel as mini_batches
from tests.worker.conftest import eventually
from tests.worker.pipelines import Pipeline, by_hand, published, two_steps


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    pipelines: list[Pipeline] = []

    def make(folder: str = "pipeline", **fields: Any) -> Pipeline:
        pipelines.append(Pipeline(tmp_path / folder, **fields))
        return pipelines[-1]

    yield make
    for pipeline in pipelines:
        pipeline.end()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in {"a.csv": "1\n2\n", "b.csv": "4\n", "_hidden.csv": "100\n"}.items():
        (folder / name).write_text(content)
    return folder


def here(pipeline: Pipeline, name: str = "one") -> dict[str, Any]:
    """Plan and do a step in this process; its command is a process of its own all the same."""
    plan.run(PipelineSpec.model_validate(pipeline.specification()), submission="0")
    return step.run(pipeline.output_uri, pipeline.name, "0", step=name)


def run_here(pipeline: Pipeline) -> dict[str, Any]:
    """Run a whole job in this process."""
    for one in pipeline.graph:
        here(pipeline, one["name"])
    return publish.run(pipeline.output_uri, pipeline.name, "0")


def test_two_steps_equal_the_same_steps_by_hand(make: Callable[..., Pipeline], data: Path, tmp_path: Path) -> None:
    pipeline = two_steps(make(), data.as_uri())
    result = pipeline.run()
    assert result["state"] == "Completed"
    assert result["outputs"] == {name: output["uri"] for name, output in pipeline.outputs.items()}
    assert published(pipeline) == by_hand(tmp_path / "hand", data)
    manifest = pipeline.manifest()
    assert manifest["inputs"] == {"data": data.as_uri(), "scale": 2.0}
    assert {name: one["state"] for name, one in manifest["steps"].items()} == {
        "prepare": "Completed",
        "score": "Completed",
    }
    assert sorted(path.name for path in pipeline.output.iterdir()) == [
        "_batch", "manifest.json", "prepared", "scores.csv",
    ]  # fmt: skip
    # Every command again changes nothing.
    assert pipeline.do("plan")["instances"] == 0
    assert pipeline.do_step("prepare")["reused_from"] is None
    assert pipeline.do("publish")["state"] == "Completed"
    assert pipeline.manifest() == manifest


# -- losses -------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def killed_everywhere(command: Callable[[], Any]) -> int:
    """Have a command die at each operation of the store in turn, until it comes to its end; then do it again.

    :return: how often it died.
    """
    for operation in range(1, 80):
        with pytest.MonkeyPatch.context() as patch:
            left = operation

            def dying(name: str) -> Any:
                method = getattr(LocalStore, name)

                def call(self: LocalStore, *arguments: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        raise Killed
                    return method(self, *arguments)

                return call

            for name in ("create", "write", "writer", "delete", "read", "list", "copy"):
                patch.setattr(LocalStore, name, dying(name))
            try:
                command()
            except Killed:
                continue
        command()
        return operation - 1
    pytest.fail("a command never came to its end")


def whole(pipeline: Pipeline, name: str) -> bool:
    """Whether a step's folder holds what its done.json names, and nothing of what died."""
    folders = {path.name for path in (pipeline.output / "_batch/steps" / name).iterdir() if path.is_dir()}
    return folders - {"job"} == {pipeline.done(name)["incarnation"]}


def test_killed_at_every_step_and_resumed_gives_the_same(
    make: Callable[..., Pipeline], data: Path, tmp_path: Path
) -> None:
    pipeline = two_steps(make(spec={"reuse_uri": (tmp_path / "reuse").as_uri()}), data.as_uri())
    job = (pipeline.output_uri, pipeline.name, "0")
    commands: list[Callable[[], Any]] = [
        lambda: plan.run(PipelineSpec.model_validate(pipeline.specification()), submission="0"),
        lambda: step.run(*job, step="prepare"),
        lambda: step.run(*job, step="score"),
        lambda: publish.run(*job),
    ]
    assert all(killed_everywhere(command) > 2 for command in commands)
    assert published(pipeline) == by_hand(tmp_path / "hand", data)
    assert whole(pipeline, "prepare")
    assert whole(pipeline, "score")


SLOW = """
echo partial > ${{outputs.made}}/partial
echo $$ > ${{inputs.marks}}/shell; sleep 300 & echo $! > ${{inputs.marks}}/child
setsid sleep 300 & echo $! > ${{inputs.marks}}/escaped
while [ ! -e ${{inputs.marks}}/go ]; do sleep 0.05; done
rm ${{outputs.made}}/partial; echo whole > ${{outputs.made}}/whole
"""


@pytest.fixture
def slow(make: Callable[..., Pipeline], tmp_path: Path) -> Pipeline:
    """A step that waits for a mark, with processes of its own, one of which has left the process group."""
    (tmp_path / "marks").mkdir()
    pipeline = make()
    given = {"marks": {"type": "uri_folder", "value": (tmp_path / "marks").as_uri(), "mode": "ro_mount"}}
    return pipeline.step("slow", SLOW, inputs=given, outputs={"made": {"type": "uri_folder"}})


def marks(slow: Pipeline) -> Path:
    return slow.folder.parent / "marks"


def its_processes(slow: Pipeline) -> list[int]:
    names = ("shell", "child", "escaped")
    eventually(lambda: all((marks(slow) / name).exists() and (marks(slow) / name).read_text() for name in names))
    return [int((marks(slow) / name).read_text()) for name in names]


def are_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_ends_takes_its_command_along(slow: Pipeline, number: signal.Signals) -> None:
    slow.do("plan")
    worker = slow.start("step", "--step", "slow")
    pids = its_processes(slow)
    worker.send_signal(number)
    output, _ = worker.communicate(timeout=30)
    assert worker.returncode == (4 if number == signal.SIGTERM else -9), output
    eventually(lambda: are_gone(pids))
    assert slow.do("publish", code=5)["error"]["type"] == "IncompleteError"
    (marks(slow) / "go").write_text("")
    slow.do_step("slow")
    (made,) = slow.done("slow")["outputs"].values()
    assert [file["name"] for file in made["files"]] == ["whole"]
    assert are_gone(its_processes(slow)), "nothing of a command outlives it"


def test_two_workers_of_one_step_agree(slow: Pipeline) -> None:
    slow.do("plan")
    workers = [slow.start("step", "--step", "slow") for _ in range(2)]
    steps = slow.output / "_batch/steps/slow"
    eventually(lambda: len(list(steps.glob("*/made/partial"))) == 2)
    (marks(slow) / "go").write_text("")
    logs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], logs
    done = slow.done("slow")
    assert [path.name for path in steps.iterdir() if path.is_dir()] == [done["incarnation"]]
    assert slow.do_step("slow")["outputs"] == {"made": done["outputs"]["made"]["uri"]}


# -- reuse --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def jobs(make: Callable[..., Pipeline], data: Path, tmp_path: Path) -> Callable[..., Pipeline]:
    """Runs one job after another of the same deployment."""

    def run(name: str, *, scale: float = 2.0, **spec: Any) -> Pipeline:
        pipeline = make(name, name=name, spec={"reuse_uri": (tmp_path / "reuse").as_uri(), **spec})
        run_here(two_steps(pipeline, data.as_uri(), scale))
        return pipeline

    return run


def reused(pipeline: Pipeline) -> dict[str, str | None]:
    steps = pipeline.manifest()["steps"]
    return {name: one["reused_from"] and one["reused_from"]["job"] for name, one in steps.items()}


def test_equal_steps_are_done_once(jobs: Callable[..., Pipeline], data: Path) -> None:
    first = jobs("first")
    assert reused(first) == {"prepare": None, "score": None}
    second = jobs("second")
    assert reused(second) == {"prepare": "first", "score": "first"}
    assert published(second) == published(first)
    assert publish.run(second.output_uri, "second", "0")["reused"] == ["prepare", "score"]
    assert reused(jobs("third")) == {"prepare": "first", "score": "first"}, "it says who made it, not who used it"
    assert reused(jobs("forced", force_rerun=True)) == {"prepare": None, "score": None}
    assert reused(jobs("scaled", scale=3.0)) == {"prepare": None, "score": None}
    os.utime(data / "a.csv", ns=(1, 1))
    touched = jobs("touched")
    assert reused(touched)["prepare"] is None, "the store says that its content may be another"
    assert reused(touched)["score"] is not None, "what was made of it was the same"


@pytest.mark.parametrize("what", ["changed", "removed", "added"])
def test_outputs_that_are_not_what_they_were_are_not_used_again(jobs: Callable[..., Pipeline], what: str) -> None:
    first = jobs("first")
    expected = published(first)
    prepared = Path(first.done("prepare")["outputs"]["prepared"]["uri"].removeprefix("file://"))
    if what == "changed":
        (prepared / "a.csv").write_text("1\n")
    elif what == "removed":
        (prepared / "a.csv").unlink()
    else:
        (prepared / "c.csv").write_text("1\n")
    second = jobs("second")
    assert reused(second) == {"prepare": None, "score": "first"}
    assert published(second) == expected
    assert reused(jobs("third")) == {"prepare": "second", "score": "first"}


@pytest.mark.parametrize(
    ("changes", "is_reused"),
    [
        ({}, True),
        ({"launch": {"resources": {"requests": {"cpu": "2"}}}}, True),
        ({"timeout": 60}, True),
        ({"command": "echo  made > ${{outputs.made}}"}, False),
        ({"environment_variables": {"MODE": "2"}}, False),
        ({"is_deterministic": False}, False),
        ({"outputs": {"made": {"type": "custom_model"}}}, False),
    ],
)
def test_what_decides_whether_a_step_is_the_same(
    make: Callable[..., Pipeline], tmp_path: Path, changes: dict[str, Any], is_reused: bool
) -> None:
    reuse = {"reuse_uri": (tmp_path / "reuse").as_uri()}
    fields: dict[str, Any] = {"command": "echo made > ${{outputs.made}}", "outputs": {"made": {"type": "uri_file"}}}
    for name, change in (("first", {}), ("second", changes)):
        pipeline = make(name, name=name, spec=reuse).step("one", **{**fields, **change})
        if name == "second" and pipeline.graph[0]["outputs"]["made"]["type"] == "custom_model":
            pipeline.graph[0]["command"] = "true; " + fields["command"].replace("made}}", "made}}/model")
        result = here(pipeline)
    assert result["reused_from"] == ({"job": "first", "step": "one"} if is_reused else None)


def test_code_that_changed_is_run(make: Callable[..., Pipeline], tmp_path: Path) -> None:
    for number, (name, is_reused) in enumerate({"1": False, "2": True, "3": False}.items()):
        pipeline = make(name, name=name, spec={"reuse_uri": (tmp_path / "reuse").as_uri()})
        code = pipeline.code(make=f"print({number // 2})")
        pipeline.step(
            "one", "python make.py > ${{outputs.made}}", code_uri=code, outputs={"made": {"type": "uri_file"}}
        )
        assert (here(pipeline)["reused_from"] is not None) == is_reused


# -- what the command gets ----------------------------------------------------------------------------------------------


def text(result: dict[str, Any], output: str = "made") -> str:
    return Path(result["outputs"][output].removeprefix("file://")).read_text()


def given(path: Path, kind: str = "uri_folder", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "value": path.as_uri(), **fields}


MADE = {"made": {"type": "uri_file"}}


def test_inputs_by_mode(make: Callable[..., Pipeline], data: Path) -> None:
    inputs = {
        "mounted": given(data),
        "file": given(data / "a.csv", "uri_file"),
        "copied": given(data, mode="download"),
        "one_copied": given(data / "a.csv", "uri_file", mode="download"),
        "direct": given(data, mode="direct"),
        "text": {"type": "string", "value": "a ${{inputs.file}} b"},
        "flag": {"type": "boolean", "value": True},
        "absent": {"type": "string"},
    }
    names = [name for name in inputs if name != "absent"]
    command = "printf '%s\\n' $[[--absent ${{inputs.absent}}]] " + " ".join(f"${{{{inputs.{name}}}}}" for name in names)
    command += " > ${{outputs.made}}; ls ${{inputs.copied}} >> ${{outputs.made}}; rm -r ${{inputs.copied}}"
    pipeline = make().step("one", command, inputs=inputs, outputs=MADE)
    lines = text(here(pipeline)).splitlines()
    seen = dict(zip(names, lines, strict=False))
    assert (seen["mounted"], seen["file"]) == (str(data), str(data / "a.csv"))
    assert seen["copied"] != str(data)
    assert seen["one_copied"].endswith("/a.csv")
    assert seen["one_copied"] != str(data / "a.csv")
    assert (seen["direct"], seen["text"], seen["flag"]) == (data.as_uri(), "a ${{inputs.file}} b", "True")
    assert lines[len(names) :] == ["_hidden.csv", "a.csv", "b.csv"], "all of a folder, also what scoring leaves out"
    assert (data / "a.csv").exists(), "a copy is the command's own"


def test_the_environment_is_an_allow_list_with_the_workers_python_first(
    make: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://user:secret@mlflow")
    pipeline = make().step(
        "one",
        "env > ${{outputs.made}}; python -c 'import sys; print(sys.executable)' >> ${{outputs.made}}; pwd > left; mktemp",
        outputs=MADE,
        environment_variables={"MODE": "a $(b) c"},
    )
    seen = text(here(pipeline))
    assert "secret" not in seen
    assert "MODE=a $(b) c\n" in seen
    assert "MLFLOW_TRACKING_URI=http://mlflow:5000\n" in seen
    assert f"{Path(sys.executable).parent}/python\n" in seen


def test_a_command_in_a_pod_sees_what_its_compute_gives_it(
    make: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "of-the-compute")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://user:secret@index")
    launch = {"compute": {"type": "kubernetes", "name": "pool", "image": "i"}, "image": "i"}
    pipeline = make().step("one", "env > ${{outputs.made}}", outputs=MADE, launch=launch)
    seen = text(here(pipeline))
    assert "DB_PASSWORD=of-the-compute\n" in seen
    assert "secret" not in seen


def test_outputs_of_every_type(make: Callable[..., Pipeline]) -> None:
    outputs = {
        "file": {"type": "uri_file"},
        "folder": {"type": "uri_folder"},
        "empty": {"type": "uri_folder"},
        "model": {"type": "mlflow_model"},
        "custom": {"type": "custom_model"},
        "direct": {"type": "uri_file", "mode": "direct"},
    }
    pipeline = make().step(
        "one",
        """
        echo 1 > ${{outputs.file}}; mkdir ${{outputs.folder}}/sub; echo 2 > ${{outputs.folder}}/sub/.hidden
        ln -s .hidden ${{outputs.folder}}/sub/linked; ln -s sub ${{outputs.folder}}/twin; mkfifo ${{outputs.folder}}/pipe
        echo 3 > ${{outputs.model}}/MLmodel; echo 4 > ${{outputs.custom}}/model.pkl
        path=${{outputs.direct}}; echo 5 > "${path#file://}"
        """,
        outputs=outputs,
    )
    pipeline.outputs = {
        name: {"made_by": {"step": "one", "output": name}, "type": made["type"], "uri": f"{pipeline.output_uri}/{name}"}
        for name, made in outputs.items()
    }
    here(pipeline)
    publish.run(pipeline.output_uri, pipeline.name, "0")
    linked = "folder/sub/linked"
    assert {name: content.decode().strip() for name, content in published(pipeline).items()} == {
        "file": "1", "folder/sub/.hidden": "2", linked: "2", "folder/twin/.hidden": "2", "folder/twin/linked": "2",
        "model/MLmodel": "3", "custom/model.pkl": "4", "direct": "5",
    }  # fmt: skip
    assert not (pipeline.output / linked).is_symlink()
    digests = {file["name"]: file["sha256"] for file in pipeline.manifest()["files"]}
    assert digests["file"] == "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"
    assert digests["direct"] is None


# -- failures as sentences ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("echo to do; echo so wrong >&2; exit 7", "the command exited with code 7; its last words: to do | so wrong"),
        ("exit 3", "exited with code 3; it printed nothing"),
        ("kill -9 $$", "was killed by SIGKILL"),
        ("no-such-program", "exited with code 127; its last words: "),
        ("true", "output made is a uri_file, and nothing is there after the command"),
        ("mkdir ${{outputs.made}}; touch ${{outputs.made}}/x", "a folder is there"),
        ("ln -s /etc/hostname ${{outputs.made}}", "is a link to '/etc/hostname', which is not in the output"),
        ("echo ${{inputs.nothing}}", "there is: none"),
        ("echo 'open", "exited with code 2; its last words: "),
        (
            "mkdir ${{outputs.made}}; touch ${{outputs.made}}/$'\\xff'",
            "a file whose name not every store can take: '\\udcff'",
        ),
        ("sleep 60", "longer than its timeout of 1 s"),
        ("trap '' TERM; sleep 60", "longer than its timeout of 1 s"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    make: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, command: str, sentence: str
) -> None:
    monkeypatch.setattr("airflow_batch_endpoints.worker.steps.running.GRACE_SECONDS", 0.3)
    pipeline = make().step("one", command, outputs=MADE, timeout=1 if "sleep" in command else None)
    with pytest.raises(UserError) as error:
        here(pipeline)
    assert sentence in str(error.value)
    with pytest.raises(UserError, match="1 of 1 steps did not end well. step one failed: ") as error:
        publish.run(pipeline.output_uri, pipeline.name, "0")
    assert sentence in str(error.value)
    with pytest.raises(IncompleteError, match="not done: one"):
        publish.run(pipeline.output_uri, pipeline.name, "1")


def test_memory_is_limited(make: Callable[..., Pipeline]) -> None:
    eats = "python -c \"import time; eaten = b'x' * 300_000_000; time.sleep(60)\""
    pipeline = make().step("one", eats, memory_bytes=100_000_000)
    with pytest.raises(UserError, match=r"out of memory: it used \d+ MiB, and the compute allows 95 MiB"):
        here(pipeline)


def test_values_too_long_for_a_process_are_a_sentence(make: Callable[..., Pipeline]) -> None:
    inputs = {"long": {"type": "string", "value": "x" * 200_000}}
    pipeline = make().step("one", "echo ${{inputs.long}}", inputs=inputs)
    with pytest.raises(UserError, match="too long"):
        here(pipeline)


def test_inputs_are_looked_at_before_anything_starts(make: Callable[..., Pipeline], data: Path, tmp_path: Path) -> None:
    (data / "out").symlink_to("/etc")
    allowed = {"allowed_input_uris": (data.as_uri(),)}
    for name, value, spec, sentence in (
        ("missing", given(tmp_path / "nowhere"), {}, "does not exist"),
        ("file", given(data, "uri_file"), {}, "is a folder, and the step takes a uri_file"),
        ("outside", given(tmp_path), allowed, "is outside what jobs may reach"),
        ("linked", given(data), {}, "holds a link that leads outside of it: 'out' -> 'file:///etc'"),
    ):
        pipeline = make(name, name=name, spec=spec)
        pipeline.step("one", "echo ran > ${{outputs.made}}", inputs={"x": value}, outputs=MADE)
        with pytest.raises(UserError) as error:
            here(pipeline)
        assert sentence in str(error.value)
        assert not list(pipeline.output.glob("_batch/steps/one/*/"))
        assert (name == "linked") == (pipeline.output / "_batch/job.json").exists()


def test_a_step_that_spoils_the_output_of_another_fails(make: Callable[..., Pipeline]) -> None:
    pipeline = make().step("first", "echo 1 > ${{outputs.made}}", outputs=MADE)
    source = {"source": {"step": "first", "output": "made"}}
    pipeline.step("second", "echo 2 >> ${{inputs.x}}", inputs={"x": {"type": "uri_file", **source}})
    pipeline.step("third", "echo 2 >> ${{inputs.x}}", inputs={"x": {"type": "uri_file", "mode": "download", **source}})
    here(pipeline, "first")
    here(pipeline, "third")
    with pytest.raises(UserError, match="takes it by mode: download"):
        here(pipeline, "second")
    with pytest.raises(InputError, match="is not what its step published"):
        here(pipeline, "second")


def test_what_came_of_inputs_that_changed_meanwhile_is_not_used_again(
    make: Callable[..., Pipeline], data: Path, tmp_path: Path
) -> None:
    command = "cat ${{inputs.x}}/a.csv > ${{outputs.made}}; rm ${{inputs.x}}/b.csv || true"
    for name in ("first", "second", "third"):
        pipeline = make(name, name=name, spec={"reuse_uri": (tmp_path / "reuse").as_uri()})
        pipeline.step("one", command, inputs={"x": given(data)}, outputs=MADE)
        result = here(pipeline)
        assert text(result) == "1\n2\n"
        assert (result["reused_from"] is None) == (name != "third")


def test_steps_know_what_they_come_after(make: Callable[..., Pipeline], data: Path) -> None:
    pipeline = two_steps(make(), data.as_uri())
    with pytest.raises(IncompleteError, match="needs what step prepare makes, which is not done"):
        here(pipeline, "score")
    with pytest.raises(NotFoundError, match="no step 'other'; it has prepare, score"):
        here(pipeline, "other")
    with pytest.raises(
        IncompleteError, match=r"2 of 2 steps did not end well. step score failed: .* not done: prepare"
    ):
        publish.run(pipeline.output_uri, pipeline.name, "0")


def test_outputs_have_places_of_their_own(make: Callable[..., Pipeline], data: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("precious")
    for number, (uri, sentence) in enumerate(
        (
            ((tmp_path / "taken").as_uri(), "there is something at"),
            ("{job}/_batch/steps", "the job's own folder holds"),
            ("{job}/manifest.json", "the job's own folder holds"),
            ("{job}/prepared/deeper", "output prepared is"),
        )
    ):
        pipeline = two_steps(make(f"pipeline-{number}"), data.as_uri())
        pipeline.outputs = {"prepared": pipeline.outputs["prepared"], "scores": pipeline.outputs["scores"]}
        pipeline.outputs["scores"]["uri"] = uri.format(job=pipeline.output_uri)
        with pytest.raises(OutputExistsError) as error:
            here(pipeline)
        assert sentence in str(error.value)


# -- steps that score in mini-batches -----------------------------------------------------------------------------------

PARALLEL = """
import argparse, os, pathlib
def init():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--factor", type=int); parser.add_argument("--center"); parser.add_argument("--copies")
    options, _ = parser.parse_known_args()
    options.center = float(pathlib.Path(options.center).read_text())
def run(mini_batch):
    for path in mini_batch:
        pathlib.Path(options.copies, os.path.basename(path)).write_text("copy of " + open(path).read())
        pathlib.Path(os.environ["AZUREML_BI_OUTPUT_PATH"], os.path.basename(path) + ".loose").write_text("")
    return [f"{os.path.basename(path)}:{sum(map(float, open(path))) * options.factor + options.center}" for path in mini_batch]
"""


def parallel(pipeline: Pipeline, data: Path, **settings: Any) -> Pipeline:
    """Prepare as before, then score every file of it, with a side input, returned rows and written files."""
    two_steps(pipeline, data.as_uri())
    pipeline.graph[1] = {
        "name": "score",
        "code_uri": pipeline.code(score=PARALLEL),
        "inputs": {
            **pipeline.graph[1]["inputs"],
            "factor": {"type": "integer", "value": 10},
            "none": {"type": "string"},
        },
        "outputs": {"scores": {"type": "uri_file"}, "copies": {"type": "uri_folder"}},
        "mini_batches": {
            "input": "prepared",
            "scoring_script": "score.py",
            "arguments": "--factor ${{inputs.factor}} --center ${{inputs.center}} --copies=${{ outputs.copies }}"
            " $[[--no ${{inputs.none}}]]",
            "append_row_to": "scores",
            "settings": {"mini_batch_size": 1, "output_file_name": "rows.csv", **settings},
        },
    }
    pipeline.outputs["prepared"]["made_by"] = {"step": "score", "output": "copies"}
    return pipeline


def test_a_parallel_step_scores_in_mini_batches(make: Callable[..., Pipeline], data: Path, tmp_path: Path) -> None:
    reuse = {"reuse_uri": (tmp_path / "reuse").as_uri()}
    first = parallel(make("first", name="first", spec=reuse), data)
    job = (first.output_uri, first.name, "0")
    here(first, "prepare")
    assert killed_everywhere(lambda: mini_batches.plan(*job, step="score")) > 5
    assert first.do("publish", "--step", "score", code=5)["error"]["type"] == "IncompleteError"
    assert first.do("score", "--step", "score", "--instance", "0")["succeeded"] == 2
    assert killed_everywhere(lambda: mini_batches.publish(*job, step="score")) > 10
    assert whole(first, "score")
    publish.run(*job)
    outputs = {
        name: Path(made["uri"].removeprefix("file://")) for name, made in first.done("prepare")["outputs"].items()
    }
    files = {path.name: path.read_text() for path in sorted(outputs["prepared"].glob("[!_]*"))}
    rows = [
        f'"{name}:{sum(map(float, content.split())) * 10 + float(outputs["center"].read_text())}"'
        for name, content in files.items()
    ]
    assert published(first) == {
        "scores.csv": "\n".join(["prediction", *rows, ""]).encode(),
        **{f"prepared/{name}": f"copy of {content}".encode() for name, content in files.items()},
        **{f"prepared/{name}.loose": b"" for name in files},
    }
    assert mini_batches.plan(*job, step="score")["instances"] == 0
    assert mini_batches.score(*job, step="score", instance=0)["outcome"] == "nothing_left"
    # Used again, by another job, however many instances it has.
    second = parallel(make("second", name="second", spec=reuse), data)
    second.graph[1]["mini_batches"]["instance_count"] = 3
    here(second, "prepare")
    assert mini_batches.plan(second.output_uri, "second", "0", step="score")["reused_from"]["job"] == "first"
    publish.run(second.output_uri, "second", "0")
    assert published(second) == published(first)


def test_a_parallel_step_that_fails_says_why(make: Callable[..., Pipeline], data: Path) -> None:
    pipeline = parallel(make(), data, error_threshold=0, retry_settings={"max_retries": 0})
    pipeline.code(score="def init(): pass\ndef run(batch): raise ValueError('not this one')\n")
    pipeline.do("plan")
    assert "is a command" in pipeline.do("plan", "--step", "prepare", code=2)["error"]["message"]
    pipeline.do_step("prepare")
    assert "scores in mini-batches" in pipeline.do_step("score", code=2)["error"]["message"]
    pipeline.do("plan", "--step", "score")
    pipeline.do("score", "--step", "score", "--instance", "0", code=3)
    pipeline.do("publish", "--step", "score", code=3)
    message = pipeline.do("publish", code=2)["error"]["message"]
    assert "step score failed: 1 of 2 items failed, error_threshold allows 0" in message
