from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.invocation import read_invocation
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.json_text import parse_json
from airflow_batch_endpoints.exceptions import DocumentError

PASCAL = {
    "properties": {
        "InputData": {"sales": {"JobInputType": "UriFolder", "Uri": "s3://lake/in"}},
        "OutputData": {"score": {"JobOutputType": "UriFile", "Uri": "s3://lake/out"}},
        "MiniBatchSize": 20, "ErrorThreshold": 5, "OutputFileName": "p.csv",
        "RetrySettings": {"MaxRetries": 2, "Timeout": "PT5M"}, "Compute": {"InstanceCount": 4}, "Name": "run-9",
        "Properties": {"experimentName": "nightly"},
    }
}  # fmt: skip
CONF = {
    "inputs": {"sales": {"type": "uri_folder", "path": "s3://lake/in"}}, "outputs": {"score": {"path": "s3://lake/out"}},
    "mini_batch_size": 20,
    "error_threshold": 5, "output_file_name": "p.csv", "max_retries": 2, "timeout": 300, "instance_count": 4,
}  # fmt: skip


def camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: camel(entry) for name, entry in value.items()}
    return value


@pytest.mark.parametrize("body", [PASCAL, camel(PASCAL)])
def test_both_casings(body: dict[str, Any]) -> None:
    found = read_invocation(body)
    assert (found.conf, found.name) == (CONF, "run-9")
    assert found.places["inputs.sales.path"].lower() == "properties.inputdata.sales.uri"


@pytest.mark.parametrize("name", ["input", "UriFolder", "uriFile"])
def test_an_input_that_its_author_did_not_name(name: str) -> None:
    body = {"properties": {"inputData": {name: {"jobInputType": "UriFile", "uri": "s3://lake/in/x.csv"}}}}
    found = read_invocation(body)
    assert found.conf == {"input": "s3://lake/in/x.csv", "input_type": "uri_file"}
    assert found.places["input"] == f"properties.inputData.{name}.uri"


def test_named_inputs_and_outputs_of_all_kinds() -> None:
    body = {
        "properties": {
            "InputData": {
                "data": {"JobInputType": "UriFolder", "Uri": "s3://lake/in"},
                "model": {"JobInputType": "MLFlowModel", "Uri": "azureml:heart:1"},
                "mode": {"JobInputType": "Literal", "Value": "append"},
                "share": {"Value": 0.5},
                "dry": {"jobInputType": "literal", "value": False},
            },
            "OutputData": {
                "scores": {"JobOutputType": "UriFolder", "Uri": "s3://lake/out"},
                "model": {"JobOutputType": "MlflowModel"},
            },
        }
    }
    assert read_invocation(body).conf == {
        "inputs": {
            "data": {"type": "uri_folder", "path": "s3://lake/in"},
            "model": {"type": "mlflow_model", "path": "azureml:heart:1"},
            "mode": {"value": "append"},
            "share": {"value": 0.5},
            "dry": {"value": False},
        },
        "outputs": {"scores": {"path": "s3://lake/out"}, "model": {}},
    }


def test_a_pipeline_may_need_nothing() -> None:
    assert read_invocation({"properties": {}}).conf == {}


def test_the_older_form() -> None:
    body = {"properties": {"dataset": {"dataInputType": "DataUrl", "Path": "s3://lake/in"}}}
    assert read_invocation(body).conf == {"input": "s3://lake/in"}


@pytest.mark.parametrize(("text", "seconds"), [("PT30S", 30), ("PT1H1M", 3660), ("P1DT1S", 86_401), (45, 45)])
def test_durations(text: Any, seconds: int) -> None:
    body = {"properties": {"InputData": {"d": {"Uri": "s3://x/y"}}, "retrySettings": {"timeout": text}}}
    assert read_invocation(body).conf["timeout"] == seconds


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"InputData": ["s3://x/y"]}, "properties.InputData"),
        ({"InputData": {"a": "s3://x/y"}}, "properties.InputData.a"),
        ({"InputData": {"a": {"JobInputType": "UriBlob", "Uri": "s3://x/y"}}}, "properties.InputData.a.JobInputType"),
        ({"InputData": {"a": {"JobInputType": "Literal"}}}, "properties.InputData.a"),
        ({"InputData": {"a": {"JobInputType": "Literal", "Uri": "s3://x/y"}}}, "properties.InputData.a"),
        ({"InputData": {"a": {"JobInputType": "UriFile", "Value": 1}}}, "properties.InputData.a"),
        ({"InputData": {"a": {"Uri": "s3://x/y", "Value": 1}}}, "properties.InputData.a"),
        ({"OutputData": {"a": {"JobOutputType": "Table"}}}, "properties.OutputData.a.JobOutputType"),
        ({"OutputData": {"a": {"Uri": ""}}}, "properties.OutputData.a.Uri"),
        ({"InputData": {"a": {"Uri": " "}}}, "properties.InputData.a.Uri"),
        ({"InputData": {"a": {"Uri": 7}}}, "properties.InputData.a.Uri"),
        ({"InputData": {"a": {"Uri": "s3://x/y", "uri": "s3://x/z"}}}, "properties.InputData.a.uri"),
        ({"InputData": {"input": {"Uri": "s3://x/y"}}, "dataset": {"path": "s3://x/z"}}, "properties.dataset.path"),
        ({"InputData": {"a": {"Uri": "s3://x/y"}}, "replayOf": "old"}, "properties.replayOf"),
        ({"InputData": {"a": {"Uri": "s3://x/y"}}, "model": "x"}, "properties.model"),
        ({"InputData": {"a": {"Uri": "s3://x/y"}}, "surprise": 1}, "properties.surprise"),
        (
            {"InputData": {"a": {"Uri": "s3://x/y"}}, "retrySettings": {"timeout": "soon"}},
            "properties.retrySettings.timeout",
        ),
        ({"InputData": {"a": {"Uri": "s3://x/y"}}, "compute": {"target": "c"}}, "properties.compute.target"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(properties: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_invocation({"properties": properties})
    assert field in {problem.field for problem in caught.value.problems}


NAMES = ["properties", "InputData", "OutputData", "Uri", "Value", "JobInputType", "input"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(NAMES), inner),
)


@given(JSON)
def test_any_body_is_read_or_refused(body: Any) -> None:
    try:
        found = read_invocation(body)
    except DocumentError as error:
        assert error.problems
        return
    try:
        request_from_conf("e", found.conf).named_inputs()
    except DocumentError as error:
        assert error.problems


@given(JSON)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    try:
        text = json.dumps(value, allow_nan=False).encode()
    except ValueError:
        with pytest.raises(DocumentError, match="JSON"):
            parse_json(json.dumps(value).encode(), "body")
    else:
        assert parse_json(text, "body") == value


@given(st.binary())
def test_any_bytes_are_json_or_refused(content: bytes) -> None:
    try:
        parse_json(content, "body")
    except DocumentError as error:
        assert "body" in str(error)


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        (b'{"a": {"b": 1, "b": 2}}', "a.b", "twice"),
        (b'{"a": "\\ud800"}', "a", "half"),
        (b'{"a": {"\\ud800": 1}}', "a", "half"),
        (b'{"a": NaN}', "(body)", "NaN"),
        (b'{"a": ', "(body)", "not JSON"),
        (b"\xff", "(body)", "UTF-8"),
        (b"[" * 100_000, "(body)", "nested deeper"),
        (b"[" * 40 + b"]" * 40, "0.0.0", "nested deeper"),
    ],
)
def test_what_is_no_strict_json(text: bytes, field: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_json(text, "body")
    (problem,) = caught.value.problems[:1]
    assert (problem.field, message in problem.message) == (field, True)


def test_outputs_in_data_stores_and_as_data_assets() -> None:
    def conf(**properties: Any) -> dict[str, Any]:
        return read_invocation({"properties": {"InputData": {"x": {"Uri": "azureml:heart@latest"}}, **properties}}).conf

    store = "/subscriptions/1/resourceGroups/g/providers/p/workspaces/w/datastores/lake"
    found = conf(outputDataset={"datastoreId": store, "path": "/out/x/"})
    assert found["output"] == "azureml://datastores/lake/paths/out/x"
    named = {"Uri": "s3://lake/out", "JobOutputType": "UriFile", "AssetName": "scores", "AssetVersion": "4"}
    assert conf(OutputData={"score": named})["outputs"]["score"] == {
        "path": "s3://lake/out",
        "name": "scores",
        "version": "4",
    }
    with pytest.raises(DocumentError, match="the name of a data store"):
        conf(outputDataset={"datastoreId": 3, "path": "x"})
