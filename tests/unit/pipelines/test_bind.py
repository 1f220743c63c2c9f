"""Invocations against what a pipeline takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.component import PipelineComponent
from airflow_batch_endpoints.documents.component_files import component_from_data
from airflow_batch_endpoints.documents.job import JobOutput, request_from_conf
from airflow_batch_endpoints.exceptions import DocumentError
from airflow_batch_endpoints.pipelines.bind import bind_inputs, bind_outputs
from airflow_batch_endpoints.pipelines.graph import Graph, build

INPUTS: dict[str, Any] = {
    "data": {"type": "uri_folder"},
    "model": {"type": "mlflow_model", "default": "azureml:m@latest"},
    "mode": {"type": "string", "default": "append", "enum": ["append", "replace"]},
    "share": {"type": "number", "min": 0, "max": 1, "optional": True},
    "rounds": {"type": "integer", "default": 3},
    "dry": {"type": "boolean", "optional": True},
}


def graph(inputs: dict[str, Any] = INPUTS, outputs: dict[str, Any] | None = None) -> Graph:
    outputs = outputs or {}
    step = {
        "type": "command",
        "component": {"command": "x", "outputs": outputs},
        "outputs": {name: f"${{{{parent.outputs.{name}}}}}" for name in outputs},
    }
    component = component_from_data(
        {"type": "pipeline", "inputs": inputs, "outputs": outputs, "jobs": {"s": step}}, "p"
    )
    assert isinstance(component, PipelineComponent)
    found, problems = build(component)
    assert problems == []
    return found


def bound(given: Graph, **conf: Any) -> dict[str, Any]:
    request = request_from_conf("e", conf)
    return bind_inputs(given, request.named_inputs(), request.unnamed_input)


def problems(given: Graph, **conf: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        bound(given, **conf)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_what_is_given_and_what_is_not() -> None:
    values = bound(graph(), inputs={"data": {"type": "uri_folder", "path": "s3://x/y"}, "dry": "true", "rounds": "7"})
    assert values == {
        "data": "s3://x/y",
        "model": "azureml:m@latest",
        "mode": "append",
        "share": None,
        "rounds": 7,
        "dry": True,
    }


@pytest.mark.parametrize("conf", [
    {"input": "s3://x/y"},
    {"inputs": {"input": {"path": "s3://x/y"}}},
    {"inputs": {"UriFolder": {"path": "s3://x/y", "type": "uri_folder"}}},
])  # fmt: skip
def test_an_input_without_a_name_is_the_one_that_is_needed(conf: dict[str, Any]) -> None:
    assert bound(graph(), **conf)["data"] == "s3://x/y"


def test_an_input_that_is_called_input() -> None:
    inputs = {"input": {"type": "uri_file", "optional": True}, "data": {"type": "uri_folder", "optional": True}}
    assert bound(graph(inputs), input="s3://x/y") == {"input": "s3://x/y", "data": None}


def test_an_input_without_a_name_that_could_be_two() -> None:
    inputs = {"a": {"type": "uri_folder"}, "b": {"type": "uri_folder"}}
    found = problems(graph(inputs), input="s3://x/y")
    assert found["input"].startswith("has no name, and the pipeline takes a (uri_folder), b (uri_folder)")
    assert bound(graph(inputs), input="s3://x/y", inputs={"b": {"path": "s3://x/z"}}) == {
        "a": "s3://x/y",
        "b": "s3://x/z",
    }
    assert "takes no input" in problems(graph({}), input="s3://x/y")["input"]


@pytest.mark.parametrize(
    ("inputs", "field", "sentence"),
    [
        ({}, "inputs.data", "missing; the pipeline requires this uri_folder"),
        ({"dta": {"path": "s3://x/y"}}, "inputs.dta", "did you mean 'data'?"),
        ({"data": "s3://x/y"}, "inputs.data", "expected data: {type: uri_folder, path: <URI>}"),
        ({"data": {"type": "uri_file", "path": "s3://x/y"}}, "inputs.data", "found an input of type uri_file, expected uri_folder"),
        ({"mode": {"path": "s3://x/y"}}, "inputs.mode", "found data, expected a value (string)"),
        ({"mode": "delete"}, "inputs.mode", "found 'delete', expected one of append, replace"),
        ({"mode": {"type": "integer", "value": 5}}, "inputs.mode", "one of append, replace"),
        ({"rounds": "many"}, "inputs.rounds", "found 'many', expected a whole number"),
        ({"rounds": 1.5}, "inputs.rounds", "expected a whole number"),
        ({"rounds": True}, "inputs.rounds", "found True, expected a whole number"),
        ({"share": 1.5}, "inputs.share", "at most 1"),
        ({"share": "nan"}, "inputs.share", "expected a number"),
        ({"dry": "yes"}, "inputs.dry", "true or false"),
        ({"dry": {"type": "string", "value": "true"}}, "inputs.dry", "found an input of type string, expected boolean"),
    ],
)  # fmt: skip
def test_each_wrong_input_is_named(inputs: dict[str, Any], field: str, sentence: str) -> None:
    assert sentence in problems(graph(), inputs=inputs)[field]


def test_everything_wrong_is_told_at_once() -> None:
    found = problems(graph(), inputs={"rounds": "x", "dry": "x", "ghost": 1})
    assert set(found) == {"inputs.data", "inputs.rounds", "inputs.dry", "inputs.ghost"}


def test_a_value_that_only_a_step_refuses() -> None:
    step = {
        "type": "command",
        "component": {"command": "x ${{inputs.n}}", "inputs": {"n": {"type": "number", "max": 5}}},
        "inputs": {"n": "${{parent.inputs.n}}"},
    }
    component = component_from_data(
        {"type": "pipeline", "inputs": {"n": {"type": "integer"}}, "jobs": {"s": step}}, "p"
    )
    assert isinstance(component, PipelineComponent)
    assert "step s takes no other" in problems(build(component)[0], inputs={"n": 6})["inputs.n"]


@given(st.text(max_size=50), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_literals_come_through_unchanged(text: str, whole: int, share: float, dry: bool) -> None:
    inputs = {
        "text": {"type": "string", "default": ""},
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "b": {"type": "boolean"},
    }
    values = {"text": text.replace("\0", ""), "n": whole, "x": share, "b": dry}
    assert bound(graph(inputs), inputs=values) == values
    # A command line has nothing but text.
    as_text = {"text": values["text"], "n": str(whole), "x": repr(share), "b": str(dry)}
    if abs(whole) < 10**18:
        assert bound(graph(inputs), inputs=as_text) == values


def test_outputs() -> None:
    made = graph({}, {"scores": {"type": "uri_folder"}, "model": {"type": "mlflow_model"}})
    assert bind_outputs(made, {"scores": JobOutput(path="s3://x/y"), "model": JobOutput()}) == (
        {"scores": "s3://x/y"},
        None,
    )
    # One that its author did not name is the job's folder.
    assert bind_outputs(made, {"score": JobOutput(path="s3://x/y")}) == ({}, "s3://x/y")
    with pytest.raises(DocumentError) as caught:
        bind_outputs(made, {"scroes": JobOutput(), "model": JobOutput(type="uri_file")})
    assert [str(problem) for problem in caught.value.problems] == [
        "job request: outputs.scroes: the pipeline has no such output; did you mean 'scores'?",
        "job request: outputs.model.type: found uri_file, but the pipeline makes mlflow_model",
    ]
