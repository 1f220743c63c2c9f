"""Pipelines in the registry: applied whole, and resolved to jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.deployment import Environment
from airflow_batch_endpoints.documents.job import request_from_conf
from airflow_batch_endpoints.documents.loading import load, loads
from airflow_batch_endpoints.documents.pipeline import PipelineDeployment
from airflow_batch_endpoints.exceptions import ConflictError, DocumentError, ReachError, UserError
from airflow_batch_endpoints.jobs.dag import DagSpec
from airflow_batch_endpoints.jobs.pipeline import OutputOf, PipelineSpec
from airflow_batch_endpoints.jobs.spec import JobReference, JobSpec, OutputAsset
from airflow_batch_endpoints.registry.keys import INDEX
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.registry.resolve import resolve
from airflow_batch_endpoints.registry.staging import stage
from airflow_batch_endpoints.registry.store import MemoryStore

HEART = Path(__file__).parents[2] / "data" / "heart"
BESIDE = [
    "endpoint.yml",
    "environments/heart.yml",
    "components/prepare/prepare.yml",
    "scoring-deployment.yml",
    "training-deployment.yml",
]
CLUSTER = {"name": "batch-cluster", "type": "kubernetes", "image": "worker:1", "service_accounts": {"ann": "ann-sa"}}
POOL = {"name": "gpu-pool", "type": "local", "memory": "2Gi", "max_instances": 1}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryStore:
    for name, value in {
        "ALLOWED_INPUT_URIS": "s3://lake/raw",
        "ALLOWED_OUTPUT_URIS": "s3://lake/out",
        "DEFAULT_OUTPUT_URI": "s3://lake/jobs",
        "ARTIFACT_URI": f"file://{tmp_path}/artifacts",
    }.items():
        monkeypatch.setenv(f"AIRFLOW__BATCH_ENDPOINTS__{name}", value)
    return MemoryStore()


@pytest.fixture
def registry(store: MemoryStore) -> Registry:
    registry = Registry(store)
    local = {**POOL, "name": "batch-cluster"}
    apply(registry, {**POOL}, local, *BESIDE)
    return registry


def apply(registry: Registry, *documents: str | dict[str, Any]) -> list[str]:
    staged = []
    for document in documents:
        if isinstance(document, dict):
            staged.append(loads(json.dumps(document), source="test"))
        else:
            path = HEART / document
            staged.append(stage(load(path), path.parent, Settings().artifact_uri))
    return [what for what, _ in registry.apply(staged)]


def resolved(registry: Registry, deployment: str, invoker: str = "ann", **conf: Any) -> Any:
    request = request_from_conf("heart", {"deployment": deployment, **conf})
    return resolve(registry, request, job="j", invoker=invoker, settings=Settings())


def problems(registry: Registry, *documents: str | dict[str, Any]) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        apply(registry, *documents)
    return [str(problem) for problem in caught.value.problems]


# -- applying ---------------------------------------------------------------------------------------------------------


def test_a_deployment_holds_all_that_it_names(registry: Registry, store: MemoryStore) -> None:
    document = registry.deployment("heart", "training").document
    assert isinstance(document, PipelineDeployment)
    text = json.dumps(document.model_dump(mode="json"))
    assert "azureml:heart-env" not in text
    assert "components/" not in text
    train = document.component.jobs["train_job"].component  # type: ignore[union-attr]
    assert isinstance(train.environment, Environment)  # type: ignore[union-attr]
    assert (train.environment.name, train.environment.image) == ("heart-env", "registry.example/heart:1")  # type: ignore[union-attr]
    index = json.loads(store.get(INDEX) or "")["heart"]["deployments"]
    assert index["training"]["steps"] == [
        {"name": "preprocess_job", "after": [], "parallel": False},
        {"name": "train_job", "after": ["preprocess_job"], "parallel": False},
        {"name": "check_job.score", "after": ["preprocess_job", "train_job"], "parallel": True},
        {"name": "check_job.explain", "after": ["check_job.score"], "parallel": False},
        {"name": "check_job.note", "after": ["check_job.explain"], "parallel": False},
    ]
    assert index["scoring"]["inputs"] == {
        "input_data": {"type": "uri_folder", "required": True, "description": "CSV files of patients"},
        "score_mode": {"type": "string", "required": False, "default": "append"},
    }
    assert index["scoring"]["outputs"] == {"scores": {"type": "uri_file"}}


def test_applying_the_same_again_changes_nothing(registry: Registry) -> None:
    assert set(apply(registry, *BESIDE)) == {"unchanged"}


def test_a_later_version_does_not_reach_what_was_applied(registry: Registry) -> None:
    deployment = {
        "name": "named", "endpoint_name": "heart", "type": "pipeline",
        "component": {"jobs": {"s": {"type": "command", "component": "azureml:say@latest"}}},
    }  # fmt: skip
    say = {"type": "command", "name": "say", "command": "echo one"}
    assert (
        "there is no component say@latest; apply its document first, or together" in problems(registry, deployment)[0]
    )
    # In any order, if together.
    assert apply(registry, deployment, say) == ["created", "created"]
    apply(registry, {**say, "command": "echo two"})
    assert resolved(registry, "named").graph[0].command == "echo one"
    assert apply(registry, deployment) == ["updated"]
    assert resolved(registry, "named").graph[0].command == "echo two"
    with pytest.raises(ConflictError, match="versions do not change"):
        apply(registry, {**say, "command": "echo three", "version": "2"})


def test_a_whole_pipeline_by_its_name(registry: Registry) -> None:
    inner = {"type": "pipeline", "name": "inner", "jobs": {"s": {"type": "command", "component": "azureml:say"}}}
    deployment = {"name": "named", "endpoint_name": "heart", "type": "pipeline", "component": "azureml:outer:7"}
    outer = {
        "type": "pipeline", "name": "outer", "version": 7,
        "jobs": {"deep": {"type": "pipeline", "component": "azureml:inner@latest"}},
    }  # fmt: skip
    apply(registry, {"type": "command", "name": "say", "command": "echo"})
    apply(registry, inner)
    apply(registry, outer, deployment)
    assert [step.name for step in resolved(registry, "named").graph] == ["deep.s"]
    wrong = problems(registry, {**deployment, "component": "azureml:say:1"})
    assert wrong == [
        "deployment named: component: azureml:say:1 is a component of type command, expected pipeline: make one with it as its "
        "step"
    ]


def test_a_broken_graph_stores_nothing_and_copies_nothing(
    registry: Registry, store: MemoryStore, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "x.py").touch()
    step = {"type": "command", "command": "x ${{inputs.a}}", "code": "code"}
    (folder / "d.yml").write_text(
        json.dumps(
            {
                "name": "broken", "endpoint_name": "heart", "type": "pipeline",
                "component": {"jobs": {
                    "a": {**step, "inputs": {"a": "${{parent.jobs.b.outputs.x}}"}},
                    "b": {**step, "inputs": {"a": "${{parent.inputs.x}}"}},
                }},
            }
        )
    )  # fmt: skip
    before, copies = store.keys(""), sorted((tmp_path / "artifacts").iterdir())
    assert problems(registry, str(folder / "d.yml")) == [
        "deployment broken: component.jobs.a.inputs.a: step 'b' has no output 'x'; there is: none",
        "deployment broken: component.jobs.b.inputs.a: the pipeline has no input 'x'; there is: none",
    ]
    assert store.keys("") == before
    assert sorted((tmp_path / "artifacts").iterdir()) == copies


def test_names_that_stand_for_nothing_are_told_together(registry: Registry) -> None:
    found = problems(
        registry,
        {
            "name": "d", "endpoint_name": "ghosts", "type": "pipeline", "settings": {"default_compute": "gone"},
            "component": {"jobs": {
                "a": {"type": "command", "command": "x", "compute": "far-away", "environment": "azureml:nowhere:1"},
                "b": {"type": "command", "component": "azureml:nothing"},
                "c": {"type": "command", "command": "ls ${{inputs.d}}",
                      "inputs": {"d": {"type": "uri_folder", "path": "azureml:no-data@latest"}}},
            }},
        },
    )  # fmt: skip
    assert [text.partition(": ")[2].partition(": ")[0] for text in found] == [
        "component.jobs.a.component.environment.name",
        "component.jobs.b.component",
        "component.jobs.c.inputs.d.path",
        "endpoint_name",
        "settings.default_compute",
        "component.jobs.a.compute",
    ]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("azureml:heart", "models:/heart@latest"),
        ("azureml:heart:3", "models:/heart/3"),
        ("azureml:heart@champion", "models:/heart@champion"),
        ("models:/heart/3", "models:/heart/3"),
        ("runs:/abc/model", "runs:/abc/model"),
        ("s3://lake/raw/model", "s3://lake/raw/model"),
    ],
)
def test_models_are_named_as_mlflow_names_them(registry: Registry, path: str, uri: str) -> None:
    step = {
        "type": "command",
        "command": "ls ${{inputs.model}}",
        "inputs": {"model": {"type": "mlflow_model", "path": path}},
    }
    apply(registry, {"name": "d", "endpoint_name": "heart", "type": "pipeline", "component": {"jobs": {"s": step}}})
    assert resolved(registry, "d").step("s").inputs["model"].value == uri
    # Whoever invokes may name one alike.
    component = {
        "inputs": {"model": {"type": "mlflow_model"}},
        "jobs": {"s": {**step, "inputs": {"model": "${{parent.inputs.model}}"}}},
    }
    apply(registry, {"name": "d", "endpoint_name": "heart", "type": "pipeline", "component": component})
    assert resolved(registry, "d", inputs={"model": {"path": path}}).step("s").inputs["model"].value == uri


def test_a_compute_that_a_step_names_is_in_use(registry: Registry) -> None:
    with pytest.raises(ConflictError, match="compute 'gpu-pool' is used by .*heart/training"):
        registry.delete_compute("gpu-pool")


# -- resolving --------------------------------------------------------------------------------------------------------


def test_a_job_of_a_pipeline(registry: Registry) -> None:
    spec = resolved(
        registry,
        "training",
        inputs={"input_data": {"type": "uri_folder", "path": "s3://lake/raw/heart"}, "rounds": "7"},
        outputs={"model": {"path": "s3://lake/out/model", "name": "heart-models", "version": "4"}},
    )
    assert isinstance(spec, PipelineSpec)
    assert PipelineSpec.model_validate_json(spec.model_dump_json()) == spec
    assert (spec.input_uri, spec.output_uri) == ("s3://lake/raw/heart", "s3://lake/jobs/heart/j")
    assert spec.inputs == {"input_data": "s3://lake/raw/heart", "rounds": 7}
    assert {name: output.uri for name, output in spec.outputs.items()} == {
        "model": "s3://lake/out/model",
        "evaluation_results": "s3://lake/jobs/heart/j/evaluation_results",
        "prepare_transformations": "s3://lake/jobs/heart/j/prepare_transformations",
        "report": "s3://lake/jobs/heart/j/report",
    }
    assert spec.outputs["report"].made_by == OutputOf(step="check_job.explain", output="report")
    assert set(spec.output_assets) == {
        OutputAsset(name="heart-models", version="4", type="mlflow_model", uri="s3://lake/out/model"),
        OutputAsset(name="heart-reports", type="uri_folder", uri="s3://lake/jobs/heart/j/report"),
    }
    assert spec.continue_on_step_failure
    assert spec.reuse_uri == "s3://lake/jobs/heart/_steps"


def test_the_steps_of_a_job(registry: Registry) -> None:
    spec = resolved(registry, "training", input="s3://lake/raw/heart")
    prepare, train = spec.step("preprocess_job"), spec.step("train_job")
    assert prepare.inputs["data"].value == "s3://lake/raw/heart"
    assert prepare.inputs["transformations"].value is None
    assert prepare.command.startswith("python prepare.py --data ${{inputs.data}} $[[--transformations")
    assert prepare.code_uri.startswith("file:///")
    assert prepare.conda_file.endswith("/conda.yml")
    assert train.inputs["data"].source == OutputOf(step="preprocess_job", output="prepared_data")
    assert (train.inputs["rounds"].value, train.inputs["eval_size"].value) == (100, 0.3)
    assert (train.timeout, train.is_deterministic, train.memory_bytes) == (3600, False, 2 * 2**30)
    assert {name: launch.compute.name for name, launch in spec.steps.items()} == {
        "preprocess_job": "batch-cluster",
        "train_job": "gpu-pool",
        "check_job.score": "local",
        "check_job.explain": "local",
        "check_job.note": "local",
    }
    assert spec.step("check_job.note").environment_variables == {"LEVEL": "high"}


def test_a_parallel_step_scores_as_a_model_deployment_does(registry: Registry) -> None:
    spec = resolved(registry, "scoring", input="s3://lake/raw/heart")
    step = spec.step("score_job")
    batches = step.mini_batches
    assert step.command is None
    assert (batches.input, batches.scoring_script, batches.append_row_to) == ("data", "score.py", "scores")
    assert batches.arguments == "--model ${{inputs.model}} --mode ${{inputs.score_mode}}"
    assert batches.instance_count == 1, "no more than the compute has"
    settings = batches.settings
    assert (settings.mini_batch_size, settings.error_threshold, settings.max_concurrency_per_instance) == (10, 3, 2)
    assert (settings.retry_settings.max_retries, settings.retry_settings.timeout) == (2, 60)
    assert (settings.output_action, settings.logging_level) == ("append_row", "debug")
    assert step.inputs["model"].value == "models:/heart-classifier@latest"
    assert not spec.continue_on_step_failure


def test_each_step_runs_in_its_own_pod_as_the_invoker(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ARTIFACT_URI", "memory://x")
    registry = Registry(store)
    step = {"type": "command", "command": "x", "resources": {"requests": {"cpu": "2"}}}
    apply(
        registry,
        CLUSTER,
        {"name": "heart"},
        {
            "name": "d", "endpoint_name": "heart", "type": "pipeline", "settings": {"default_compute": "batch-cluster"},
            "component": {"jobs": {"a": step, "b": {**step, "environment": {"image": "own:1"}}, "c": {**step, "compute": "local"}}},
        },
    )  # fmt: skip
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__ARTIFACT_URI", "s3://lake/artifacts")
    spec = resolved(registry, "d")
    assert (spec.launch.image, spec.launch.service_account) == ("worker:1", "ann-sa")
    assert {name: (launch.image, launch.service_account) for name, launch in spec.steps.items()} == {
        "a": ("worker:1", "ann-sa"),
        "b": ("own:1", "ann-sa"),
        "c": (None, None),
    }
    assert spec.steps["a"].resources.requests == {"cpu": "2"}
    with pytest.raises(UserError, match="invoker 'bob' is not among the service_accounts"):
        resolved(registry, "d", invoker="bob")
    # What only this machine sees cannot be shared with pods; without a place that all see, nothing is used again.
    monkeypatch.setenv("AIRFLOW__BATCH_ENDPOINTS__DEFAULT_OUTPUT_URI", "file:///outputs")
    with pytest.raises(ReachError, match="output file:///outputs/heart/j is a file of this machine"):
        resolved(registry, "d")
    assert resolved(registry, "d", output="s3://lake/out/mine").reuse_uri is None


def test_files_of_this_machine_are_refused_for_the_step_that_would_need_them(registry: Registry) -> None:
    apply(registry, CLUSTER)
    with pytest.raises(ReachError, match=r"data of step preprocess_job file://.* no volume there"):
        resolved(registry, "scoring", input="s3://lake/raw/heart")


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"input": "s3://elsewhere/x"}, "input 's3://elsewhere/x' is outside what jobs may reach"),
        ({"input": "s3://lake/raw/x", "output": "s3://lake/raw"}, "allowed_output_uris"),
        ({"input": "s3://lake/raw/x", "outputs": {"scores": {"path": "s3://elsewhere"}}}, r"outputs\.scores"),
        ({"input": "s3://lake/raw/x", "outputs": {"scores": {"path": "s3://lake/jobs/heart/j/_batch/x"}}}, "where the job works"),
        ({"input": "s3://lake/raw/x", "outputs": {"scores": {"path": "s3://lake/jobs/heart"}}}, "holds the job's own folder"),
        ({"input": "s3://lake/raw/x", "error_threshold": 5, "timeout": 9}, "error_threshold: belongs to model deployments"),
        ({"input": "azureml:nothing@latest"}, "input: there is no data 'nothing'"),
        ({}, r"inputs\.input_data: missing"),
        ({"inputs": {"input_data": {"type": "uri_folder", "path": "s3://lake/raw/x"}, "score_mode": ["x"]}}, r"inputs\.score_mode"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_sentence(registry: Registry, conf: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        resolved(registry, "scoring", **conf)


def test_all_that_is_wrong_is_told_at_once(registry: Registry) -> None:
    with pytest.raises(DocumentError) as caught:
        resolved(registry, "scoring", inputs={"ghost": 1}, outputs={"ghost": {}}, timeout=5)
    assert [problem.field for problem in caught.value.problems] == [
        "timeout",
        "inputs.ghost",
        "inputs.input_data",
        "outputs.ghost",
    ]


def test_outputs_within_each_other_are_refused(registry: Registry) -> None:
    with pytest.raises(DocumentError, match=r"outputs\.report: .* lies in the output 'model'"):
        resolved(
            registry,
            "training",
            input="s3://lake/raw/x",
            outputs={"model": {"path": "s3://lake/out/a"}, "report": {"path": "s3://lake/out/a/b"}},
        )


def test_switching_the_default_needs_no_change_by_callers(registry: Registry) -> None:
    apply(registry, {"name": "model", "endpoint_name": "heart", "type": "model", "model": "models:/heart/1"})
    found: list[JobReference] = []
    for default in ("model", "scoring", "model"):
        registry.set_default("heart", default)
        for conf in (
            {"input": "s3://lake/raw/x", "output": "s3://lake/out/mine"},
            {"inputs": {"UriFolder": {"type": "uri_folder", "path": "s3://lake/raw/x"}}, "outputs": {"score": {"path": "s3://lake/out/mine"}}},
        ):  # fmt: skip
            request = request_from_conf("heart", conf)
            found.append(resolve(registry, request, job="j", invoker="ann", settings=Settings()))
    assert [type(spec) for spec in found] == [JobSpec, JobSpec, PipelineSpec, PipelineSpec, JobSpec, JobSpec]
    assert {(spec.input_uri, spec.output_uri) for spec in found} == {("s3://lake/raw/x", "s3://lake/out/mine")}


def test_a_pipeline_has_no_dead_letters_to_replay(registry: Registry) -> None:
    old = resolved(registry, "scoring", input="s3://lake/raw/heart")
    request = request_from_conf("heart", {"replay_of": "old"})
    with pytest.raises(DocumentError, match="replay_of: deployment 'scoring' makes no dead letters"):
        resolve(registry, request, job="j", invoker="ann", settings=Settings(), find_job=lambda _: old)


# -- other DAGs -------------------------------------------------------------------------------------------------------


def test_a_job_that_is_a_run_of_another_dag(registry: Registry, store: MemoryStore) -> None:
    apply(
        registry,
        {"name": "theirs", "endpoint_name": "heart", "dag_id": "team_scoring", "inputs": {"day": "today", "n": 5}},
    )
    index = json.loads(store.get(INDEX) or "")["heart"]["deployments"]["theirs"]
    assert (index["type"], index["dag_id"]) == ("dag", "team_scoring")
    spec = resolved(
        registry,
        "theirs",
        input="s3://lake/raw/x",
        inputs={"n": 6, "names": ["a", "b"], "more": {"path": "s3://lake/raw/y"}, "deep": {"value": {"x": 1}}},
    )
    assert isinstance(spec, DagSpec)
    assert spec.inputs == {
        "day": "today",
        "n": 6,
        "names": ["a", "b"],
        "more": "s3://lake/raw/y",
        "deep": {"x": 1},
        "input": "s3://lake/raw/x",
    }
    assert resolved(registry, "theirs", output="s3://lake/out/mine").inputs["output"] == "s3://lake/out/mine"
    with pytest.raises(ReachError, match="allowed_input_uris"):
        resolved(registry, "theirs", inputs={"more": {"type": "uri_folder", "path": "s3://elsewhere"}})
    with pytest.raises(DocumentError, match="settings of mini-batches belong to model deployments"):
        resolved(registry, "theirs", mini_batch_size=5)
