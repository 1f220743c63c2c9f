"""Components and the deployments that run them, as people write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.documents.base import digest
from airflow_batch_endpoints.documents.component import ParallelComponent, PipelineComponent
from airflow_batch_endpoints.documents.component_files import component_from_data
from airflow_batch_endpoints.documents.expressions import JobOutput, Own, Parent, parse, references
from airflow_batch_endpoints.documents.loading import from_data, load, load_with_components, loads
from airflow_batch_endpoints.documents.paths import paths
from airflow_batch_endpoints.documents.pipeline import DagDeployment, PipelineDeployment
from airflow_batch_endpoints.documents.ports import ComponentInput, fits, literal
from airflow_batch_endpoints.exceptions import DocumentError

HEART = Path(__file__).parents[2] / "data" / "heart"
COMMAND: dict[str, Any] = {"type": "command", "name": "c", "command": "echo"}
TASK = {"type": "run_function", "code": "code", "entry_script": "score.py"}
PARALLEL: dict[str, Any] = {
    "type": "parallel",
    "name": "p",
    "task": TASK,
    "input_data": "${{inputs.data}}",
    "inputs": {"data": {"type": "uri_folder"}},
}
PIPELINE: dict[str, Any] = {"type": "pipeline", "name": "p", "jobs": {"a": COMMAND | {"name": "a"}}}
DEPLOYMENT: dict[str, Any] = {"name": "d", "endpoint_name": "e", "type": "pipeline"}


def problems(data: Any) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        from_data(data, "x.yml")
    return [str(problem) for problem in caught.value.problems]


def changed(data: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(data))
    *parents, last = field.split(".")
    place = copy
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return copy


@pytest.mark.parametrize(
    ("data", "field", "value", "sentence"),
    [
        (COMMAND, "command", "", "at least 1 character"),
        (COMMAND, "distribution", {"type": "mpi"}, "one process on one machine"),
        (COMMAND, "resources.instance_count", 2, "only type: parallel on several"),
        (COMMAND, "limits.timeout", 0, "from 1 to 259200"),
        (COMMAND, "inputs.x", {"type": "mltable"}, "tables of Azure ML are not read here"),
        (COMMAND, "inputs.x", {"type": "blob"}, "found 'blob'"),
        (COMMAND, "inputs.x", {"type": "integer", "default": "x"}, "default: a whole number"),
        (COMMAND, "inputs.x", {"type": "integer", "default": 9, "max": 5}, "at most 5"),
        (COMMAND, "inputs.x", {"type": "uri_file", "default": 5}, "default: a path or a URI"),
        (COMMAND, "inputs.x", {"type": "uri_file", "mode": "eval_mount"}, "ro_mount, download or direct"),
        (COMMAND, "inputs.x y", {"type": "string"}, "letters, digits and '_'"),
        (COMMAND, "outputs._batch", {"type": "uri_file"}, "with a letter first"),
        (COMMAND, "outputs.x", {"type": "string"}, "'uri_file'"),
        (COMMAND, "comand", "x", "did you mean 'command'?"),
        (COMMAND, "environment_variables.API_KEY", "x", "looks like a secret"),
        (COMMAND, "environment", "python-env", "a reference such as azureml:"),
        (COMMAND, "environment", "azureml://registries/azureml/environments/x/labels/latest", "no registries here"),
        (PARALLEL, "task.model", "azureml:m@latest", "give the model as an input"),
        (PARALLEL, "task.type", "model", "found 'model'"),
        (PARALLEL, "task.entry_script", "../score.py", "inside the code folder"),
        (PARALLEL, "partition_keys", ["store"], "one file per partition"),
        (PARALLEL, "mini_batch_size", "50 rows", "a script gets whole files"),
        (PARALLEL, "mini_batch_error_threshold", "x", "-1"),
        (PARALLEL, "resources.instance_count", 1001, "1000"),
        (PIPELINE, "jobs", {}, "at least 1"),
        (PIPELINE, "jobs.x-y", COMMAND, "the name of a step"),
        (PIPELINE, "jobs.a", {"type": "sweep", "trial": {}}, "run the search inside a command"),
        (PIPELINE, "jobs.a", {"type": "automl"}, "no AutoML here"),
        (PIPELINE, "jobs.a", {"type": "spark"}, "a DAG of your own"),
        (PIPELINE, "jobs.a", {"type": "import"}, "an input of the job"),
        (PIPELINE, "jobs.a", {"type": "pipeline"}, "names a pipeline component"),
        (PIPELINE, "jobs.a", {"type": "command", "component": {"type": "spark"}}, "there is no Spark here"),
        (PIPELINE, "jobs.a", {"type": "parallel", "component": {**COMMAND}}, "as the type of the step says"),
        (PIPELINE, "jobs.a", {"type": "command", "component": {"commnad": "x"}}, "did you mean 'command'?"),
        (PIPELINE, "jobs.a.inputs.x", {"path": "y", "typ": "uri_file"}, "did you mean 'type'?"),
        (COMMAND, "code", "git+https://host/code", "schemes file, s3"),
        (COMMAND, "code", "azureml://code/x", "azureml://datastores/<store>/paths/<path>"),
        (PIPELINE, "jobs.a.inputs.x", {"path": "gopher://x/y"}, "schemes file, s3"),
        (PIPELINE, "jobs.a.inputs.x", {"path": "models:/x"}, "models:/<name>/<version>"),
        (PIPELINE, "jobs.a.inputs.x", {"path": " "}, "a path or a URI"),
        (PIPELINE, "jobs.a.compute", "${{parent.inputs.compute}}", "an input cannot say where a step runs"),
        ({**DEPLOYMENT, "component": PIPELINE}, "component.jobs.a.command", 5, "found 5"),
        ({**DEPLOYMENT, "component": PIPELINE}, "component", COMMAND, "a deployment runs a pipeline"),
        ({**DEPLOYMENT, "component": PIPELINE}, "settings.continue_on_failure", True, "continue_on_step_failure"),
        ({**DEPLOYMENT, "component": "x.yml"}, "job_definition", "azureml:job", "keep one of the two"),
        ({**DEPLOYMENT, "job_definition": "azureml:job"}, "job_definition", "azureml:a/b", "name of a pipeline job"),
        (DEPLOYMENT, "model", "azureml:m:1", "component (or job_definition), which is missing; model belong"),
        ({**DEPLOYMENT, "type": "dag"}, "dag_id", "batch_endpoint.e", "a DAG of your own"),
        ({**DEPLOYMENT, "type": "dag"}, "dag_id", "a/b", "the id of a DAG"),
    ],
)
def test_each_problem_has_its_field_and_a_sentence(data: dict[str, Any], field: str, value: Any, sentence: str) -> None:
    found = problems(changed(data, field, value))
    assert any(sentence in problem for problem in found), found
    place = field.split(".")
    assert all(problem.startswith("x.yml: ") for problem in found)
    assert any(
        problem.removeprefix("x.yml: ").startswith((field, ".".join(place[:-1]))) or "type" in problem
        for problem in found
    ), found


def test_problems_are_named_by_what_people_wrote() -> None:
    data = {**DEPLOYMENT, "component": {**PIPELINE, "jobs": {"a": {"type": "command", "component": {"code": 5}}}}}
    assert problems(data) == [
        "x.yml: component.jobs.a.component.command: missing; it is required",
        "x.yml: component.jobs.a.component.code: found 5, expected a string",
    ]


def test_documents_survive_being_kept() -> None:
    for name in ("scoring", "training"):
        document = load(HEART / f"{name}-deployment.yml")
        kept = json.dumps(document.model_dump(mode="json", by_alias=True))
        assert digest(loads(kept, source="kept")) == digest(document)
    for data in (COMMAND, PARALLEL, PIPELINE, {**DEPLOYMENT, "dag_id": "theirs"}):
        document = from_data(dict(data), "x")
        assert from_data(document.model_dump(mode="json", by_alias=True), "kept") == document


def test_azures_defaults_of_parallel_steps() -> None:
    component = component_from_data(PARALLEL, "x")
    assert isinstance(component, ParallelComponent)
    assert (component.mini_batch_size, component.retry_settings.max_retries, component.retry_settings.timeout) == (
        10,
        2,
        60,
    )
    assert (component.max_concurrency_per_instance, component.threshold, component.logging_level) == (1, -1, "info")


@pytest.mark.parametrize(
    ("thresholds", "threshold"),
    [((-1, -1), -1), ((5, -1), 5), ((-1, 3), 3), ((5, 3), 3), ((0, 3), 0), (("5%", -1), "5%")],
)
def test_two_thresholds_are_one(thresholds: tuple[Any, Any], threshold: Any) -> None:
    data = {**PARALLEL, "error_threshold": thresholds[0], "mini_batch_error_threshold": thresholds[1]}
    component = component_from_data(data, "x")
    assert isinstance(component, ParallelComponent)
    assert component.threshold == threshold


def test_a_share_beside_a_number_is_refused() -> None:
    assert "keep one" in problems({**PARALLEL, "error_threshold": 5, "mini_batch_error_threshold": "5%"})[0]


def test_what_a_deployment_is() -> None:
    assert isinstance(from_data({**DEPLOYMENT, "component": "azureml:x"}, "x"), PipelineDeployment)
    assert isinstance(
        from_data({"name": "d", "endpoint_name": "e", "job_definition": "azureml:j"}, "x"), PipelineDeployment
    )
    for kind in ({}, {"type": "dag"}, {"type": "pipeline"}):
        found = from_data({"name": "d", "endpoint_name": "e", **kind, "dag_id": "theirs"}, "x")
        assert isinstance(found, DagDeployment)
    assert problems({"type": "pipeline", "name": "d", "component": PIPELINE})[0].endswith(
        "endpoint_name: missing; it is required"
    )
    assert problems({"type": "command", "command": "x"}) == ["x.yml: name: missing; it is required"]


# -- files --------------------------------------------------------------------------------------------------------------


def test_component_files_are_put_where_they_are_named() -> None:
    document, files = load_with_components(HEART / "training-deployment.yml")
    assert {path.name for path in files} == {
        "training.yml", "prepare.yml", "train.yml", "checking.yml", "score.yml", "explain.yml",
    }  # fmt: skip
    assert {beside.path for beside in paths(document)} == {
        "components/prepare/src", "components/train/src", "components/score/src", "src",
    }  # fmt: skip


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.yml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder / "d.yml"


def step_of(component: str) -> dict[str, Any]:
    return {"type": "pipeline", "jobs": {"s": {"type": "pipeline", "component": component}}}


def test_paths_in_component_files_start_from_there(tmp_path: Path) -> None:
    (tmp_path / "deep" / "code").mkdir(parents=True)
    (tmp_path / "deep" / "code" / "a.py").touch()
    (tmp_path / "deep" / "conda.yml").touch()
    (tmp_path / "data").mkdir()
    write(
        tmp_path / "deep",
        c={"type": "command", "command": "x", "code": "code", "environment": {"conda_file": "conda.yml"}},
        p={
            "type": "pipeline",
            "inputs": {"d": {"type": "uri_folder", "default": "../data"}},
            "jobs": {"s": {"type": "command", "component": "file:c.yml"}},
        },
    )
    document = load(write(tmp_path, d={**DEPLOYMENT, "component": "deep/p.yml"}))
    assert {beside.field: beside.path for beside in paths(document)} == {
        "component.inputs.d.default": "data",
        "component.jobs.s.component.code": "deep/code",
        "component.jobs.s.component.environment.conda_file": "deep/conda.yml",
    }


def test_every_problem_names_its_own_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        p={
            "type": "pipeline",
            "jobs": {
                "a": {"type": "command", "component": "missing.yml"},
                "b": {"type": "command", "component": "bad.yml"},
                "c": {"type": "parallel", "component": "good.yml"},
            },
        },
        bad={"type": "command"},
        good={"type": "command", "command": "x"},
    )
    with pytest.raises(DocumentError) as caught:
        load(write(tmp_path, d={**DEPLOYMENT, "component": "p.yml"}))
    assert [(Path(problem.source).name, problem.field) for problem in caught.value.problems] == [
        ("p.yml", "jobs.a.component"),
        ("bad.yml", "command"),
        ("p.yml", "jobs.c.type"),
    ]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"p": step_of("p.yml")}, "p.yml includes itself"),
        ({"p": step_of("q.yml"), "q": step_of("./p.yml")}, "p.yml includes itself"),
        ({"p": {"type": "command", "command": "x"}}, "is a component of type 'command', expected pipeline"),
        ({"p": "a: ["}, "not YAML"),
        ({"p": ""}, "the file is empty"),
        ({"p": "- 1"}, "expected fields and values"),
        ({"p": {"type": "deployment"}}, "expected command, parallel, pipeline"),
        ({"p": step_of("s3://x/y.yml")}, "expected the path of a component file"),
        ({"p": step_of("../../../etc/passwd\0")}, "expected the path of a component file"),
        ({"p": step_of("x" * 5000)}, "there is no file"),
        ({"p": {"type": "pipeline", "jobs": {"a": {"type": "command", "command": "x", "code": "/etc"}}}}, "a system folder"),
        (
            {"p": {"type": "pipeline", "jobs": {f"s{n}": {"type": "command", "component": "c.yml"} for n in range(101)}},
             "c": {"type": "command", "command": "x"}},
            "more than 100 component files",
        ),
        ({"p": step_of("p1.yml"), **{f"p{n}": step_of(f"p{n + 1}.yml") for n in range(1, 9)}}, "deeper than 5 levels"),
    ],
)  # fmt: skip
def test_component_files_that_are_refused(tmp_path: Path, files: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load(write(tmp_path, d={**DEPLOYMENT, "component": "p.yml"}, **files))
    assert sentence in str(caught.value)


def test_component_files_must_not_lead_out_of_an_upload(tmp_path: Path) -> None:
    inside = tmp_path / "upload"
    inside.mkdir()
    write(tmp_path, p=PIPELINE)
    with pytest.raises(DocumentError, match="leads out of what was uploaded"):
        load(write(inside, d={**DEPLOYMENT, "component": "../p.yml"}), within=inside)


def test_component_documents_bring_their_files(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(yaml.safe_dump({"type": "command", "command": "x"}))
    (tmp_path / "p.yml").write_text(
        yaml.safe_dump({"type": "pipeline", "name": "p", "jobs": {"s": {"type": "command", "component": "c.yml"}}})
    )
    document = load(tmp_path / "p.yml")
    assert isinstance(document, PipelineComponent)
    assert not isinstance(document.jobs["s"].component, str)


# -- expressions and literals -------------------------------------------------------------------------------------------


def test_expressions() -> None:
    assert parse("${{parent.inputs.x}}") == Parent("inputs", "x")
    assert parse("${{ parent.outputs.y }}") == Parent("outputs", "y")
    assert parse(" ${{parent.jobs.a.outputs.b}} ") == JobOutput("a", "b")
    assert parse("${{outputs.y}}") == Own("outputs", "y")
    command = "run ${{inputs.a}} $[[--b ${{ inputs.b }} ${{inputs.c}}]] > ${{outputs.d}}"
    assert list(references(command)) == [
        (Own("inputs", "a"), False),
        (Own("inputs", "b"), True),
        (Own("inputs", "c"), True),
        (Own("outputs", "d"), False),
    ]


@pytest.mark.parametrize(
    "text", ["", "x", "${{x}}", "${{inputs.x}} ", "a${{inputs.x}}", "${{inputs.x.y}}", "${{parent.jobs.a.inputs.b}}"]
)
def test_what_is_no_expression(text: str) -> None:
    if text.strip() == "${{inputs.x}}":
        assert parse(text) == Own("inputs", "x")
        return
    with pytest.raises(ValueError, match=r"\$\{\{"):
        parse(text)


@given(st.text())
def test_any_command_is_read_or_refused(text: str) -> None:
    try:
        list(references(text))
    except ValueError as error:
        assert "${{inputs.x}}" in str(error)


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("integer", "-7", -7), ("number", "1e3", 1000.0), ("number", 3, 3), ("number", "3", 3), ("string", 5, "5"),
        ("string", True, "true"), ("boolean", "False", False), ("string", "${{inputs.x}}", "${{inputs.x}}"),
    ],
)  # fmt: skip
def test_literals(kind: Any, value: Any, found: Any) -> None:
    assert literal(value, ComponentInput(type=kind)) == found
    assert type(literal(value, ComponentInput(type=kind))) is type(found)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", 1.0), ("integer", True), ("integer", "1.0"), ("integer", ""), ("number", "inf"), ("number", float("nan")),
        ("number", True), ("boolean", 1), ("boolean", "yes"), ("string", "a\0b"), ("string", "x" * 10_001), ("string", None),
    ],
)  # fmt: skip
def test_what_is_no_literal_of_a_type(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="number|true or false|text"):
        literal(value, ComponentInput(type=kind))


def test_what_can_be_given_for_what() -> None:
    data = ["uri_file", "uri_folder", "mlflow_model", "custom_model"]
    wrong = {(given_, wanted) for given_ in data for wanted in data if not fits(given_, wanted)}
    assert wrong == {
        ("uri_file", "uri_folder"), ("uri_folder", "uri_file"), ("uri_file", "mlflow_model"), ("mlflow_model", "uri_file"),
    }  # fmt: skip
    literals = ["string", "number", "integer", "boolean"]
    right = {
        (given_, wanted) for given_ in literals for wanted in literals if given_ != wanted and fits(given_, wanted)
    }
    assert right == {("number", "string"), ("integer", "string"), ("boolean", "string"), ("integer", "number")}
    assert not any(fits(given_, wanted) or fits(wanted, given_) for given_ in data for wanted in literals)


def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "far" / "away" / "documents"
    (folder / "parts" / "code").mkdir(parents=True)
    (folder / "parts" / "part.yml").write_text("type: command\ncode: ./code\ncommand: ls\n")
    jobs = {"one": {"type": "command", "component": "parts/part.yml"}}
    document = {"name": "d", "endpoint_name": "e", "type": "pipeline", "component": {"type": "pipeline", "jobs": jobs}}
    (folder / "deployment.yml").write_text(json.dumps(document))
    (tmp_path / "link").symlink_to(folder)
    found = load(tmp_path / "link" / "deployment.yml")
    assert [beside.path for beside in paths(found)] == ["parts/code"]
