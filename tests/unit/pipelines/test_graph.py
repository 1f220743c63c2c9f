"""Flattening and checking: nothing lost, everything wrong told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.component import PipelineComponent
from airflow_batch_endpoints.documents.component_files import component_from_data
from airflow_batch_endpoints.documents.loading import load
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.exceptions import DocumentError
from airflow_batch_endpoints.pipelines.graph import MAX_STEPS, FromJob, FromStep, Given, Graph, build

HEART = Path(__file__).parents[2] / "data" / "heart"


def pipeline(data: dict[str, Any]) -> PipelineComponent:
    component = component_from_data({"type": "pipeline", **data}, "p.yml")
    assert isinstance(component, PipelineComponent)
    return component


def heart(name: str) -> Graph:
    deployment = load(HEART / f"{name}-deployment.yml")
    assert isinstance(deployment, PipelineDeployment)
    assert isinstance(deployment.component, PipelineComponent)
    graph, problems = build(deployment.component, deployment.settings)
    assert problems == []
    return graph


def test_a_pipeline_within_a_pipeline_becomes_steps() -> None:
    graph = heart("training")
    after = {node.name: sorted(node.after) for node in graph.nodes}
    assert after == {
        "preprocess_job": [],
        "train_job": ["preprocess_job"],
        "check_job.score": ["preprocess_job", "train_job"],
        "check_job.explain": ["check_job.score"],
        "check_job.note": ["check_job.explain"],
    }
    assert graph.outputs == {
        "model": FromStep("train_job", "model"),
        "evaluation_results": FromStep("train_job", "evaluation_results"),
        "prepare_transformations": FromStep("preprocess_job", "transformations_output"),
        "report": FromStep("check_job.explain", "report"),
    }
    assert {name: str(asset) for name, asset in graph.output_assets.items()} == {
        "report": "azureml:heart-reports@latest"
    }


def test_where_inputs_come_from() -> None:
    nodes = {node.name: node for node in heart("training").nodes}
    sources = {name: entry.source for name, entry in nodes["train_job"].inputs.items()}
    assert sources == {
        "data": FromStep("preprocess_job", "prepared_data"),
        "target_column": Given("target", is_data=False),
        "eval_size": Given(0.3, is_data=False),
        # What the job does not give, the component does.
        "rounds": FromJob("rounds", 100),
    }
    assert nodes["preprocess_job"].inputs["transformations"].source is None
    # Through two pipelines, and with the default that stands on the way.
    assert nodes["check_job.score"].inputs["model"].source == FromStep("train_job", "model")
    assert nodes["check_job.explain"].inputs["depth"].source == Given(3, is_data=False)


def test_a_step_that_is_written_out_has_the_types_of_what_it_is_given() -> None:
    nodes = {node.name: node for node in heart("training").nodes}
    note = nodes["check_job.note"]
    assert {name: entry.declared.type for name, entry in note.inputs.items()} == {
        "report": "uri_folder",
        "depth": "integer",
    }
    assert {name: entry.type for name, entry in note.outputs.items()} == {"when": "uri_folder"}


def test_the_nearest_settings_decide() -> None:
    nodes = {node.name: node for node in heart("training").nodes}
    assert nodes["preprocess_job"].settings.default_compute == "batch-cluster"
    assert nodes["check_job.score"].settings.default_compute == "local"
    component = pipeline({"jobs": {"a": ECHO}, "settings": {"default_compute": "here", "force_rerun": True}})
    deployed = build(component, PipelineDeployment.model_validate(
        {"name": "d", "endpoint_name": "e", "component": "azureml:p", "settings": {"default_compute": "there"}}
    ).settings)[0]  # fmt: skip
    assert (deployed.settings.default_compute, deployed.settings.force_rerun) == ("there", True)


# -- what is wrong ----------------------------------------------------------------------------------------------------

ECHO: dict[str, Any] = {"type": "command", "command": "echo"}
COPY: dict[str, Any] = {
    "type": "command",
    "component": {
        "command": "cp -r ${{inputs.data}} ${{outputs.copy}}",
        "inputs": {"data": {"type": "uri_folder"}, "times": {"type": "integer", "default": 1, "max": 9}},
        "outputs": {"copy": {"type": "uri_folder"}},
    },
}


def copy(data: Any, **changes: Any) -> dict[str, Any]:
    return {**COPY, "inputs": {"data": data, **changes}}


def with_component(step: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**step, "component": {**step["component"], **changes}}


FOLDER = {"type": "uri_folder", "path": "s3://lake/x"}
FILE = {"type": "uri_file", "path": "s3://lake/x.csv"}
DATA = {"data": {"type": "uri_folder"}, "file": {"type": "uri_file"}, "text": {"type": "string"}}
MAYBE = {"data": {"type": "uri_folder", "optional": True}}
PARALLEL: dict[str, Any] = {
    "type": "parallel",
    "component": {
        "task": {"type": "run_function", "code": "s3://lake/code", "entry_script": "s.py"},
        "input_data": "${{inputs.data}}",
        "inputs": {"data": {"type": "uri_folder"}},
        "outputs": {"rows": {"type": "uri_file"}},
    },
    "inputs": {"data": FOLDER},
}


@pytest.mark.parametrize(
    ("data", "place", "sentence"),
    [
        (
            {"jobs": {"a": copy("${{parent.jobs.b.outputs.copy}}"), "b": copy("${{parent.jobs.a.outputs.copy}}")}},
            "jobs.a",
            "wait for each other",
        ),
        ({"jobs": {"a": copy("${{parent.jobs.a.outputs.copy}}")}}, "jobs.a", "a -> a"),
        (
            {"jobs": {"a": copy("${{parent.jobs.ghost.outputs.copy}}")}},
            "jobs.a.inputs.data",
            "no step 'ghost'; there is: a",
        ),
        (
            {"jobs": {"a": copy(FOLDER), "b": copy("${{parent.jobs.a.outputs.ghost}}")}},
            "jobs.b.inputs.data",
            "no output 'ghost'; there is: copy",
        ),
        ({"jobs": {"a": copy("${{parent.inputs.ghost}}")}}, "jobs.a.inputs.data", "no input 'ghost'; there is: none"),
        ({"jobs": {"a": copy("${{inputs.ghost}}")}}, "jobs.a.inputs.data", "expected ${{parent.inputs.x}}"),
        ({"jobs": {"a": copy("${{parent.outputs.x}}")}}, "jobs.a.inputs.data", "expected ${{parent.inputs.x}}"),
        ({"jobs": {"a": copy("x-${{parent.inputs.x}}")}}, "jobs.a.inputs.data", "with nothing around it"),
        ({"jobs": {"a": copy("${{parent.input.x}}")}}, "jobs.a.inputs.data", "${{parent.jobs.a.outputs.b}}"),
        (
            {"inputs": DATA, "jobs": {"a": copy("${{parent.inputs.file}}")}},
            "jobs.a.inputs.data",
            "is of type uri_file, but the component takes uri_folder",
        ),
        ({"inputs": DATA, "jobs": {"a": copy("${{parent.inputs.text}}")}}, "jobs.a.inputs.data", "is of type string"),
        (
            {"inputs": DATA, "jobs": {"a": copy(FOLDER, times="${{parent.inputs.text}}")}},
            "jobs.a.inputs.times",
            "is of type string, but the component takes integer",
        ),
        ({"jobs": {"a": copy(FILE)}}, "jobs.a.inputs.data.type", "is of type uri_file"),
        ({"jobs": {"a": copy("s3://lake/x")}}, "jobs.a.inputs.data", "expected data: {type: uri_folder, path: ...}"),
        ({"jobs": {"a": copy(FOLDER, times="many")}}, "jobs.a.inputs.times", "found 'many', expected a whole number"),
        ({"jobs": {"a": copy(FOLDER, times=10)}}, "jobs.a.inputs.times", "at most 9"),
        ({"jobs": {"a": copy(FOLDER, ghost=1)}}, "jobs.a.inputs.ghost", "no such input; there is: data, times"),
        ({"jobs": {"a": COPY}}, "jobs.a.inputs.data", "missing; the component requires it"),
        (
            {"inputs": MAYBE, "jobs": {"a": copy("${{parent.inputs.data}}")}},
            "jobs.a.inputs.data",
            "is optional, but the component requires it",
        ),
        (
            {"jobs": {"a": {**copy(FOLDER), "outputs": {"ghost": {}}}}},
            "jobs.a.outputs.ghost",
            "no such output; there is: copy",
        ),
        (
            {"jobs": {"a": {**copy(FOLDER), "outputs": {"copy": "${{parent.outputs.ghost}}"}}}},
            "jobs.a.outputs.copy",
            "no output 'ghost'; there is: none",
        ),
        (
            {"jobs": {"a": {**copy(FOLDER), "outputs": {"copy": "azureml://datastores/x/paths/y"}}}},
            "jobs.a.outputs.copy",
            "published once",
        ),
        (
            {"jobs": {"a": {**copy(FOLDER), "outputs": {"copy": {"type": "uri_file"}}}}},
            "jobs.a.outputs.copy.type",
            "the component makes uri_folder",
        ),
        (
            {"jobs": {"a": {**copy(FOLDER), "outputs": {"copy": {"name": "asset"}}}}},
            "jobs.a.outputs.copy.name",
            "only an output of the whole pipeline",
        ),
        (
            {
                "outputs": {"out": {"type": "uri_file"}},
                "jobs": {"a": {**copy(FOLDER), "outputs": {"copy": "${{parent.outputs.out}}"}}},
            },
            "jobs.a.outputs.copy",
            "output 'out' of the pipeline is uri_file",
        ),
        ({"outputs": {"out": {"type": "uri_folder"}}, "jobs": {"a": copy(FOLDER)}}, "outputs.out", "no step makes it"),
        (
            {
                "outputs": {"out": {"type": "uri_folder"}},
                "jobs": {name: {**copy(FOLDER), "outputs": {"copy": "${{parent.outputs.out}}"}} for name in "ab"},
            },
            "jobs.b.outputs.copy",
            "made by another step already",
        ),
        (
            {"jobs": {"a": {"type": "command", "component": "azureml:x:1:2"}}},
            "jobs.a.component",
            "azureml:<name>:<version>",
        ),
        (
            {"jobs": {"a": {"type": "command", "component": "./component.yml"}}},
            "jobs.a.component",
            "apply it from its file",
        ),
        (
            {"jobs": {"a": {**ECHO, "command": "echo ${{inputs.ghost}}"}}},
            "jobs.a.component.command",
            "names inputs.ghost, which the component does not have; there is: none",
        ),
        (
            {"jobs": {"a": {**ECHO, "command": "echo ${{parent.inputs.x}}"}}},
            "jobs.a.component.command",
            "reaches a command as an input of its step",
        ),
        (
            {"jobs": {"a": {**ECHO, "command": "echo ${{nonsense}}"}}},
            "jobs.a.component.command",
            "expected ${{inputs.x}}",
        ),
        (
            {"jobs": {"a": with_component(copy(FOLDER), command="echo $((${{inputs.data}} + 1))")}},
            "jobs.a.component.command",
            "reads a text as code",
        ),
        (
            {"jobs": {"a": with_component(copy(FOLDER), command="echo `cat ${{inputs.data}}`")}},
            "jobs.a.component.command",
            "between backticks",
        ),
        (
            {
                "jobs": {
                    "a": with_component(
                        copy(FOLDER),
                        inputs={**COPY["component"]["inputs"], "data": {"type": "uri_folder", "optional": True}},
                    )
                }
            },
            "jobs.a.component.command",
            "outside of $[[...]]",
        ),
        (
            {"jobs": {"a": with_component(PARALLEL, input_data="${{inputs.ghost}}")}},
            "jobs.a.component.input_data",
            "with one of: data",
        ),
        (
            {
                "jobs": {
                    "a": with_component(
                        PARALLEL, task={**PARALLEL["component"]["task"], "append_row_to": "${{outputs.ghost}}"}
                    )
                }
            },
            "jobs.a.component.task.append_row_to",
            "with one of: rows",
        ),
        (
            {
                "jobs": {
                    "a": with_component(
                        PARALLEL, task={**PARALLEL["component"]["task"], "program_arguments": "${{inputs.ghost}}"}
                    )
                }
            },
            "jobs.a.component.task.program_arguments",
            "inputs.ghost",
        ),
        ({"inputs": {"x": {"optional": True}}, "jobs": {"a": ECHO}}, "inputs.x.type", "missing; it is required"),
        ({"jobs": {f"s{number}": ECHO for number in range(MAX_STEPS + 1)}}, "jobs", "expected at most 500"),
    ],
)
def test_each_problem_has_its_place_and_a_sentence(data: dict[str, Any], place: str, sentence: str) -> None:
    _, problems = build(pipeline(data))
    assert [problem.place for problem in problems] == [place], problems
    assert sentence in problems[0].message


def test_all_problems_are_told_in_one_pass_at_every_level() -> None:
    inner = {
        "inputs": {"data": {"type": "uri_file"}},
        "outputs": {"copy": {"type": "uri_folder"}},
        "jobs": {"deep": copy("${{parent.inputs.data}}", times="x")},
    }
    _, problems = build(
        pipeline(
            {
                "outputs": {"out": {"type": "uri_folder"}},
                "jobs": {
                    "a": copy("${{parent.jobs.b.outputs.copy}}"),
                    "b": copy("${{parent.jobs.a.outputs.copy}}"),
                    "c": {"type": "pipeline", "component": inner, "inputs": {"data": FOLDER}},
                },
            }
        )
    )
    assert {problem.place for problem in problems} == {
        "jobs.a",
        "jobs.c.inputs.data.type",
        "jobs.c.component.jobs.deep.inputs.data",
        "jobs.c.component.jobs.deep.inputs.times",
        "jobs.c.component.outputs.copy",
        "outputs.out",
    }


def test_every_cycle_is_told_of() -> None:
    ring = {
        f"{ring}{number}": copy(f"${{{{parent.jobs.{ring}{(number + 1) % 3}.outputs.copy}}}}")
        for ring in "ab"
        for number in range(3)
    }
    graph, problems = build(pipeline({"jobs": ring}))
    assert len(problems) == 2
    assert {node.name for node in graph.nodes} == set(ring)


def test_pipelines_too_deep_within_pipelines() -> None:
    data: dict[str, Any] = {"jobs": {"a": ECHO}}
    for _ in range(6):
        data = {"jobs": {"a": {"type": "pipeline", "component": data}}}
    _, (problem,) = build(pipeline(data))
    assert problem.message == "pipelines within pipelines, deeper than 5 levels"
    assert len(build(pipeline(data["jobs"]["a"]["component"]))[1]) == 0


def test_an_output_may_come_from_far_inside() -> None:
    leaf = {**copy("${{parent.inputs.data}}"), "outputs": {"copy": "${{parent.outputs.out}}"}}
    data: dict[str, Any] = {
        "inputs": {"data": {"type": "uri_folder"}},
        "outputs": {"out": {"type": "uri_folder"}},
        "jobs": {"leaf": leaf},
    }
    for level in range(3):
        step = {
            "type": "pipeline",
            "component": data,
            "inputs": {"data": "${{parent.inputs.data}}"},
            "outputs": {"out": "${{parent.outputs.out}}"},
        }
        data = {**data, "jobs": {f"l{level}": step}}
    graph, problems = build(pipeline(data))
    assert problems == []
    assert graph.outputs == {"out": FromStep("l2.l1.l0.leaf", "copy")}
    assert graph.nodes[0].inputs["data"].source == FromJob("data")


# -- any graph --------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """A pipeline that is right, with pipelines in it, and what each of its steps comes after."""
    after: dict[str, set[str]] = {}

    def level(prefix: str, depth: int, given: str | None) -> tuple[dict[str, Any], dict[str, str]]:
        jobs: dict[str, Any] = {}
        makers: dict[str, str] = {}
        names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True))
        for name in names:
            sources = ["job", *makers] if given is not None or depth == 0 else [*makers] or ["job"]
            source = draw(st.sampled_from(sources))
            behind = given if source == "job" else makers[source]
            value = "${{parent.inputs.data}}" if source == "job" else f"${{{{parent.jobs.{source}.outputs.copy}}}}"
            if depth < 3 and draw(st.booleans()) and draw(st.booleans()):
                inner, inner_makers = level(f"{prefix}{name}.", depth + 1, behind)
                jobs[name] = {"type": "pipeline", "component": inner, "inputs": {"data": value}}
                makers[name] = inner_makers["copy"]
            else:
                after[f"{prefix}{name}"] = set() if behind is None else {behind}
                jobs[name] = copy(value)
                makers[name] = f"{prefix}{name}"
        last = draw(st.sampled_from(names))
        jobs[last] = {**jobs[last], "outputs": {"copy": "${{parent.outputs.copy}}"}}
        order = draw(st.permutations(names))
        component = {
            "type": "pipeline",
            "inputs": {"data": {"type": "uri_folder"}},
            "outputs": {"copy": {"type": "uri_folder"}},
            "jobs": {name: jobs[name] for name in order},
        }
        return component, {"copy": makers[last]}

    component, made = level("", 0, None)
    after["(out)"] = {made["copy"]}
    return component, after


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_no_step_is_lost_and_each_comes_after_what_it_needs(drawn: tuple[dict[str, Any], dict[str, set[str]]]) -> None:
    data, after = drawn
    graph, problems = build(pipeline(data))
    assert problems == []
    assert {graph.outputs["copy"].step} == after.pop("(out)")
    assert {node.name: set(node.after) for node in graph.nodes} == after
    seen: set[str] = set()
    for node in graph.nodes:
        assert node.after <= seen
        seen.add(node.name)


@settings(max_examples=100, deadline=None)
@given(graphs(), st.data())
def test_a_pipeline_with_one_thing_wrong_has_problems_and_is_still_taken_apart(
    drawn: tuple[dict[str, Any], dict[str, set[str]]], data: st.DataObject
) -> None:
    component, after = drawn
    jobs = component["jobs"]
    name = data.draw(st.sampled_from(sorted(jobs)))
    wrong = data.draw(
        st.sampled_from(
            [
                f"${{{{parent.jobs.{name}.outputs.copy}}}}",
                "${{parent.jobs.ghost.outputs.copy}}",
                "${{parent.inputs.ghost}}",
                "${{nonsense}}",
                5,
            ]
        )
    )
    jobs[name] = {**jobs[name], "inputs": {"data": wrong}}
    graph, problems = build(pipeline(component))
    assert problems
    after.pop("(out)")
    assert {node.name for node in graph.nodes} == set(after)


WORDS = [
    "jobs",
    "type",
    "component",
    "inputs",
    "outputs",
    "command",
    "pipeline",
    "parallel",
    "path",
    "data",
    "a",
    "task",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
    | st.sampled_from(["${{parent.inputs.data}}", "${{parent.jobs.a.outputs.copy}}", "azureml:x@latest", "$[["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS), ANYTHING), st.dictionaries(st.sampled_from(["a", "b", "x y"]), ANYTHING))
def test_whatever_a_component_holds_it_ends_in_sentences(data: dict[str, Any], jobs: dict[str, Any]) -> None:
    for content in (data, {**data, "type": "pipeline", "jobs": jobs}):
        try:
            component = component_from_data(content, "c.yml")
        except DocumentError as error:
            assert error.problems
        else:
            if isinstance(component, PipelineComponent):
                build(component)
