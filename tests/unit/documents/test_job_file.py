"""Inputs and outputs of a job by name: in a file, on the command line, over REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.cli.jobs import _over
from airflow_batch_endpoints.cli.remote import _body, _uploads
from airflow_batch_endpoints.documents.base import digest
from airflow_batch_endpoints.documents.invocation import read_invocation
from airflow_batch_endpoints.documents.job import JobInput, parse_assignments, request_from_conf
from airflow_batch_endpoints.documents.job_file import load_job_file
from airflow_batch_endpoints.documents.loading import load
from airflow_batch_endpoints.exceptions import DocumentError, UserError

HEART = Path(__file__).parents[2] / "data" / "heart"


def test_azures_file() -> None:
    found = load_job_file(HEART / "inputs.yml")
    assert found == {
        "inputs": {
            "input_data": {"type": "uri_folder", "path": str(HEART / "data" / "unlabeled")},
            "score_mode": {"type": "string", "default": "replace"},
        },
        "outputs": {"scores": {"type": "uri_file", "mode": "upload"}},
    }
    given_ = request_from_conf("e", found).named_inputs()
    assert given_["score_mode"] == JobInput(type="string", value="replace")


def test_uris_and_absolute_paths_are_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "i.yml").write_text(
        "inputs:\n  a: {path: s3://x/y}\n  b: {path: /data/x}\n  c: 5\n  d: {path: 'azureml:x@latest'}\noutputs:\n"
    )
    inputs = load_job_file(tmp_path / "i.yml")["inputs"]
    assert inputs == {"a": {"path": "s3://x/y"}, "b": {"path": "/data/x"}, "c": 5, "d": {"path": "azureml:x@latest"}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- 1", "expected inputs and outputs"),
        ("input: {a: 1}", "input: no such field; known are inputs, outputs"),
        ("inputs: [1]", "inputs: found [1], expected them by their names"),
        ("", "empty"),
    ],
)
def test_files_that_are_none_of_ours(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "i.yml").write_text(text)
    with pytest.raises(DocumentError) as caught:
        load_job_file(tmp_path / "i.yml")
    assert sentence in str(caught.value)
    with pytest.raises(DocumentError, match="cannot be read"):
        load_job_file(tmp_path / "missing.yml")


def test_assignments() -> None:
    assert parse_assignments(
        ["inputs.x=a=b", "inputs.d.path=s3://x/y", "inputs.d.type=uri_file", "outputs.o.path=s3://x/z", "timeout=5"]
    ) == {
        "inputs": {"x": "a=b", "d": {"path": "s3://x/y", "type": "uri_file"}},
        "outputs": {"o": {"path": "s3://x/z"}},
        "timeout": 5,
    }
    # An input may be called like a setting.
    assert parse_assignments(["inputs.timeout=5"]) == {"inputs": {"timeout": "5"}}
    for wrong in ("inputs=5", "inputs.x.paht=5", "inputs.x.path.y=5", "outputs.o.value=5", "x=5", "inputs.x"):
        with pytest.raises(DocumentError, match="expected name=value"):
            parse_assignments([wrong])


def test_the_command_line_goes_over_the_file() -> None:
    file = {"a": {"type": "uri_folder", "path": "x"}, "b": 1, "c": {"value": 2}}
    assigned = {"a": {"path": "y"}, "b": {"path": "z"}, "c": "3"}
    assert _over(file, assigned) == {"a": {"type": "uri_folder", "path": "y"}, "b": {"path": "z"}, "c": "3"}


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"x": {}}, "either a value, or data"),
        ({"x": {"path": "a", "value": 1}}, "either a value, or data"),
        ({"x": {"default": 1, "value": 1}}, "stands beside value"),
        ({"x": [1]}, "a value, or data"),
        ({"x": {"path": " "}}, "empty; give a URI"),
        ({"x": {"type": "string", "path": "a"}}, "belongs to data"),
        ({"x": {"type": "uri_file", "value": "a"}}, "belongs to literals"),
        ({"x": {"type": "mltable", "path": "a"}}, "tables of Azure ML"),
        ({"x": {"uri": "a"}}, "no such field"),
    ],
)
def test_inputs_that_are_none(inputs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DocumentError) as caught:
        request_from_conf("e", {"inputs": inputs}).named_inputs()
    assert sentence in str(caught.value)
    assert all(problem.field.startswith("inputs.x") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"inputs": 5}, "inputs"),
        ({"outputs": {"x": 5}}, "outputs.x"),
        ({"outputs": {"x": {"version": "3"}}}, "outputs.x.version: is of a data asset"),
    ],
)
def test_requests_that_are_none(conf: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DocumentError) as caught:
        request_from_conf("e", conf)
    assert sentence in str(caught.value)


NAMES = st.text("abcxyz_", min_size=1, max_size=5)
URIS = st.sampled_from(["s3://x/y", "/data/x", "azureml:x@latest"])
LITERALS = st.text(max_size=5) | st.integers() | st.booleans()
DATA = st.fixed_dictionaries(
    {"path": URIS}, optional={"type": st.sampled_from(["uri_file", "uri_folder", "mlflow_model"])}
)
OUTPUTS = st.fixed_dictionaries({}, optional={"path": URIS, "name": st.just("asset")})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "input": URIS,
            "inputs": st.dictionaries(NAMES, DATA | st.fixed_dictionaries({"value": LITERALS}), min_size=1),
            "outputs": st.dictionaries(NAMES, OUTPUTS, min_size=1),
            "mini_batch_size": st.integers(1, 9),
            "timeout": st.integers(1, 9),
            "instance_count": st.integers(1, 9),
        },
    )
)
def test_a_request_is_the_same_over_rest(conf: dict[str, Any]) -> None:
    sent = read_invocation(_body(conf, "job"))
    here, there = (request_from_conf("e", each) for each in (conf, sent.conf))
    if "input" in conf and "inputs" in conf:
        # Beside others it goes by the name that means no name.
        assert there.inputs.pop("input") == {"path": conf["input"]}
        here = here.model_copy(update={"input_uri": None})
    assert there == here
    assert sent.name == "job"


def test_a_path_that_only_this_machine_knows_is_not_sent() -> None:
    for conf, place in (
        ({"input": "raw"}, "--input"),
        ({"inputs": {"x": {"path": "./raw"}}}, "inputs.x.path"),
        ({"outputs": {"y": {"path": "out"}}}, "outputs.y.path"),
    ):
        with pytest.raises(UserError, match=f"{place} '.*' is a path of this machine"):
            _body(conf, "job")


def test_a_pipeline_is_uploaded_with_its_component_files_and_code(tmp_path: Path) -> None:
    for kind, name, path in _uploads([HEART / "training-deployment.yml"]):
        assert kind == ("document" if path.name == "training-deployment.yml" else "file")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    there = load(tmp_path / "training-deployment.yml", within=tmp_path)
    assert digest(there) == digest(load(HEART / "training-deployment.yml"))
