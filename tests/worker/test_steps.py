"""Steps of a pipeline: published once, whatever dies; used again when nothing has changed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.jobs.pipeline import PipelineSpec
from airflow_batch_endpoints.storage.local import LocalStore
from airflow_batch_endpoints.worker.commands import plan, publish, step
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


def test_killed_at_every_step_and_resumed_gives_the_same(
    make: Callable[..., Pipeline], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every operation of the store, of every command, is where a process dies once."""
    expected = by_hand(tmp_path / "hand", data)
    pipeline = two_steps(make(spec={"reuse_uri": (tmp_path / "reuse").as_uri()}), data.as_uri())
    job = (pipeline.output_uri, pipeline.name, "0")
    commands: list[Callable[[], Any]] = [
        lambda: plan.run(PipelineSpec.model_validate(pipeline.specification()), submission="0"),
        lambda: step.run(*job, step="prepare"),
        lambda: step.run(*job, step="score"),
        lambda: publish.run(*job),
    ]

    class Killed(BaseException):
        pass

    kills = 0
    for command in commands:
        for operation in range(1, 60):
            with monkeypatch.context() as patch:
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
                    kills += 1
                    continue
                break
        else:
            pytest.fail("a command never came to its end")
        command()
    assert kills > 20
    assert published(pipeline) == expected
    steps = pipeline.output / "_batch/steps"
    for name in ("prepare", "score"):
        folders = [path.name for path in (steps / name).iterdir() if path.is_dir()]
        assert folders == [pipeline.done(name)["incarnation"]], "what died is removed"


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
        two_steps(pipeline, data.as_uri(), scale).run()
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
    assert second.do("publish")["reused"] == ["prepare", "score"]
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
        pipeline.do("plan")
        result = pipeline.do_step("one")
    assert result["reused_from"] == ({"job": "first", "step": "one"} if is_reused else None)


def test_code_that_changed_is_run(make: Callable[..., Pipeline], tmp_path: Path) -> None:
    for number, (name, is_reused) in enumerate({"1": False, "2": True, "3": False}.items()):
        pipeline = make(name, name=name, spec={"reuse_uri": (tmp_path / "reuse").as_uri()})
        code = pipeline.code(make=f"print({number // 2})")
        pipeline.step(
            "one", "python make.py > ${{outputs.made}}", code_uri=code, outputs={"made": {"type": "uri_file"}}
        )
        pipeline.do("plan")
        assert (pipeline.do_step("one")["reused_from"] is not None) == is_reused
