from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents import sizes
from airflow_batch_endpoints.documents.base import digest
from airflow_batch_endpoints.documents.deployment import ModelDeployment
from airflow_batch_endpoints.documents.endpoint import Endpoint
from airflow_batch_endpoints.documents.job import parse_assignments, request_from_conf
from airflow_batch_endpoints.documents.loading import load, loads
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.exceptions import DocumentError

GOOD: dict[str, Any] = {"name": "main", "endpoint_name": "flights", "type": "model", "model": "azureml:flights@latest"}


def deployment(**changes: Any) -> ModelDeployment:
    document = loads(json.dumps({**GOOD, **changes}), source="d.yml")
    assert isinstance(document, ModelDeployment)
    return document


def problems(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        loads(text, source="d.yml")
    return [str(problem) for problem in caught.value.problems]


def test_both_dialects_are_one_document() -> None:
    newer = deployment(settings={"mini_batch_size": 5, "error_threshold": 3, "retry_settings": {"timeout": 60}})
    older = loads(
        "name: main\nendpoint_name: flights\nmodel: azureml:flights@latest\nmini_batch_size: 5\nerror_threshold: 3\n"
        "retry_settings:\n  timeout: 60\n",
        source="d.yml",
    )
    assert older == newer
    assert digest(older) == digest(newer)


def test_azures_defaults() -> None:
    settings = deployment().settings
    assert (settings.mini_batch_size, settings.error_threshold, settings.max_concurrency_per_instance) == (10, -1, 1)
    assert (settings.retry_settings.max_retries, settings.retry_settings.timeout) == (3, 30)
    assert (settings.output_action, settings.output_file_name, settings.logging_level) == (
        "append_row",
        "predictions.csv",
        "info",
    )
    assert deployment().resources.instance_count == 1


@pytest.mark.parametrize(
    ("reference", "uri", "name"),
    [
        ("azureml:flights:3", "models:/flights/3", "flights"),
        ("azureml:flights@latest", "models:/flights@latest", "flights"),
        ("models:/flights@champion", "models:/flights@champion", "flights"),
        ("runs:/abc123/model", "runs:/abc123/model", None),
        ("s3://bucket/model", "s3://bucket/model", None),
        ("../model", "../model", None),
    ],
)
def test_references_to_models(reference: str, uri: str, name: str | None) -> None:
    model = deployment(model=reference).model
    assert (model.path, model.name) == (uri, name)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("settings.mini_batch_size", 0, "at least 1"),
        ("settings.mini_batch_size", True, "True"),
        ("settings.mini_batch_size", "64 parsecs", "50000 rows"),
        ("settings.mini_batch_size", "0MB", "64MB"),
        ("settings.mini_batch_size", "many", "a number of files"),
        ("settings.error_threshold", -2, "-1"),
        ("settings.error_threshold", "101%", "share"),
        ("settings.retry_settings.timeout", "PT30S", "seconds"),
        ("settings.retry_settings.timeout", 0, "259200"),
        ("settings.output_file_name", "../x.csv", "plain file name"),
        ("settings.output_file_name", "x.exe", ".parquet"),
        ("settings.output_file_name", "a/b/", "a folder's name"),
        ("settings.input_columns", ["x"], "set join_input: true"),
        ("settings.output_action", "append", "append_row"),
        ("settings.max_concurrency_per_instance", 1.5, "whole number"),
        ("settings.environment_variables.AZUREML_MODEL_DIR", "x", "reserved"),
        ("settings.environment_variables.LD_PRELOAD", "x", "reserved"),
        ("settings.environment_variables.DB_PASSWORD", "x", "env_from"),
        ("settings.traffic", 1, "online endpoints"),
        ("settings.mini_batch_sise", 1, "did you mean 'mini_batch_size'"),
        ("resources.instance_count", 10**6, "1000"),
        ("model", "gopher://x", "schemes"),
        ("name", "x; rm -rf /", "letters"),
        ("endpoint_name", "a" * 33, "32"),
        ("compute", "azureml:no spaces", "letters"),
    ],
)
def test_every_problem_names_field_value_and_what_is_allowed(field: str, value: Any, sentence: str) -> None:
    content: dict[str, Any] = dict(GOOD)
    *parents, last = field.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    (problem,) = problems(yaml.safe_dump(content))
    assert problem.startswith(f"d.yml: {'model.path' if field == 'model' else field}: ")
    assert sentence in problem


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (10, (10, "files")),
        ("64MB", (64_000_000, "bytes")),
        ("64 MiB", (64 * 2**20, "bytes")),
        ("1kb", (1000, "bytes")),
        ("2 TiB", (2**41, "bytes")),
        ("50000 rows", (50_000, "rows")),
        (" 1 row ", (1, "rows")),
    ],
)
def test_sizes_of_mini_batches(text: int | str, size: tuple[int, str]) -> None:
    assert sizes.parse(text) == size
    assert sizes.parse(deployment(settings={"mini_batch_size": text}).settings.mini_batch_size) == size


@pytest.mark.parametrize(
    ("settings", "is_script", "sentence"),
    [
        (
            {"mini_batch_size": "5 rows"},
            True,
            "settings.mini_batch_size: found '5 rows'; a scoring script gets whole files",
        ),
        ({"join_input": True}, True, "settings.join_input: a scoring script returns what it wants"),
        ({"join_input": True, "output_format": "azureml"}, False, "settings.join_input: output_format: azureml"),
        ({"provenance": True, "output_format": "azureml"}, False, "settings.provenance: output_format: azureml"),
        ({"output_file_name": "p/", "output_format": "azureml"}, False, "settings.output_file_name: output_format"),
    ],
)
def test_settings_that_cannot_go_together(settings: dict[str, Any], is_script: bool, sentence: str) -> None:
    code = {"code_configuration": {"code": "c", "scoring_script": "s.py"}} if is_script else {}
    (problem,) = problems(yaml.safe_dump({**GOOD, **code, "settings": settings}))
    assert sentence in problem


def test_all_problems_are_told_at_once() -> None:
    assert (
        len(problems("name: '-'\nendpoint_name: x\nfoo: 1\nsettings: {mini_batch_size: 0, error_threshold: x}\n")) >= 5
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system [id]\n", "tags"),
        ("a: 1\na: 2\n", "stands twice"),
        ("[" * 100, "nested deeper"),
        ("a: [", "not YAML"),
        ("- 1\n- 2\n", "expected fields"),
        ("{? [a] : 1}", "name of a field"),
        ("a: \x00", "not YAML"),
        ("x: " + "y" * 2_000_000, "larger than"),
    ],
)
def test_yaml_that_is_none_of_ours(text: str, sentence: str) -> None:
    assert any(sentence in problem for problem in problems(text))


@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
        ).map(json.dumps),
    )
)
def test_whatever_a_file_holds_it_ends_in_sentences(text: str | bytes) -> None:
    try:
        loads(text, source="x")
    except DocumentError as error:
        assert error.problems


def test_files_beside_a_document_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yml"
    path.write_text(
        yaml.safe_dump(
            {**GOOD, "model": {"path": "model"}, "code_configuration": {"code": "code", "scoring_script": "s.py"}}
        )
    )
    with pytest.raises(DocumentError) as caught:
        load(path)
    assert {problem.field for problem in caught.value.problems} == {"model.path", "code_configuration.code"}
    (tmp_path / "model").mkdir()
    (tmp_path / "code").mkdir()
    with pytest.raises(DocumentError, match="scoring_script"):
        load(path)
    (tmp_path / "code" / "s.py").touch()
    load(path)
    path.write_text(yaml.safe_dump({**GOOD, "model": {"path": "/etc"}}))
    with pytest.raises(DocumentError, match="system folder"):
        load(path)


def test_a_component_that_includes_itself(tmp_path: Path) -> None:
    (tmp_path / "self.yml").write_text("type: pipeline\njobs:\n  me:\n    component: self.yml\n")
    (tmp_path / "d.yml").write_text("name: p\nendpoint_name: e\ntype: pipeline\ncomponent: self.yml\n")
    with pytest.raises(DocumentError, match=r"self\.yml includes itself"):
        load(tmp_path / "d.yml")
    document = loads("name: p\nendpoint_name: e\ntype: pipeline\ncomponent: azureml:x@latest\n", source="d.yml")
    assert isinstance(document, PipelineDeployment)


def test_documents_survive_being_kept() -> None:
    for document in (deployment(tags={"a": "b"}), loads("name: e\ndescription: d\n", source="e.yml")):
        kept = json.dumps(document.model_dump(mode="json", by_alias=True))
        assert digest(loads(kept, source="kept")) == digest(document)
    assert isinstance(loads("name: e\n", source="e"), Endpoint)


def test_job_requests() -> None:
    request = request_from_conf(
        "e",
        {
            "input": "x",
            "mini_batch_size": 3,
            "timeout": 9,
            "output": "",
            **parse_assignments(["retry_settings.max_retries=0"]),
        },
    )
    settings = request.overrides.apply(deployment().settings)
    assert (settings.mini_batch_size, settings.retry_settings.timeout, settings.retry_settings.max_retries) == (3, 9, 0)
    assert request.output_uri is None
    # What a form gives is text.
    for text, threshold in {"5": 5, "-1": -1, "5%": "5%"}.items():
        assert request_from_conf("e", {"input": "x", "error_threshold": text}).overrides.error_threshold == threshold
    for conf in ({"input": "x", "model": "y"}, {"input": "x", "mini_batch_size": "y"}):
        with pytest.raises(DocumentError):
            request_from_conf("e", conf)
    with pytest.raises(DocumentError, match="name=value"):
        parse_assignments(["compute=big", "nonsense"])


def test_the_cases(cases: Path) -> None:
    for item in json.loads((cases / "bad" / "index.json").read_text())["items"]:
        if item["kind"] not in ("deployment", "endpoint") or item["id"] == "endpoint-04-default-missing-deployment":
            continue  # that one is the registry's to refuse
        try:
            load(cases / "bad" / item["file"])
        except DocumentError as error:
            assert item["expect"] != "accept", error
            assert item["message_should_mention"] in str(error), item["id"]
        else:
            assert item["expect"] == "accept", item["id"]
