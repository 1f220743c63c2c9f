"""One endpoint as a DAG: ``plan >> score (mapped) >> publish``, with the steps of its pipelines, and a form to invoke it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Param

from airflow_batch_endpoints.config import settings
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.operators.scoring import DeploymentTasks, scoring_tasks

START = datetime(2024, 1, 1)
OVERRIDES = "Overrides for this job"
TAG_LENGTH = 100
"""Most characters of a tag that a DAG may have; tags of documents are as long as one likes."""


def endpoint_dag(endpoint: str, entry: dict[str, Any]) -> DAG:
    """Return the DAG of an endpoint.

    :param endpoint: its name.
    :param entry: what the index says of it; may be empty.
    """
    options = settings()
    with DAG(
        dag_id=dag_id(endpoint),
        description=entry.get("description") or f"Batch endpoint {endpoint}",
        doc_md=_documentation(endpoint, entry),
        schedule=None,
        start_date=START,
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=options.max_active_runs,
        max_active_tasks=options.max_active_tasks,
        tags=["batch-endpoint", *(_tag(name, value) for name, value in sorted((entry.get("tags") or {}).items()))],
        render_template_as_native_obj=False,
        # One that fails half way would be registered as far as it came.
        auto_register=False,
    ) as dag:
        plan, publish = scoring_tasks(endpoint)
        for name, deployment in sorted((entry.get("deployments") or {}).items()):
            DeploymentTasks(endpoint, name, deployment).add(plan, publish)
    # Now and not above: every task would keep a copy of the form, most of what a DAG takes to parse and to store.
    dag.params = form(entry)  # type: ignore[assignment]
    return dag


def form(entry: dict[str, Any]) -> dict[str, Param]:
    """Return the form of an invocation: the main fields open, the overrides in a section of their own."""
    deployments = entry.get("deployments") or {}
    shown_default = f"`{entry['default']}`" if entry.get("default") else "which is not set"

    def override(title: str, description: str, *types: str, **rules: Any) -> Param:
        # null and not "": a field that must not be empty would disable the Trigger button.
        return Param(None, type=["null", *types], title=title, description_md=description, section=OVERRIDES, **rules)

    return {
        "input": Param(
            None,
            # Required, which the form cannot say without refusing to open: plan says it when it is missing.
            type=["null", "string"],
            title="Input",
            description_md="URI of a file, a folder or a pattern, such as `s3://lake/raw/2024-01-01/`, a data asset such as "
            "`azureml:flights@latest`, or a place in a data store. **Required** by models, unless a job is replayed; a pipeline "
            "takes it as its one data input.",
        ),
        "deployment": Param(
            None,
            type=["null", "string"],
            title="Deployment",
            description_md=f"Which deployment does the work. Empty: the endpoint's default, {shown_default}.",
            examples=sorted(deployments),
        ),
        "output": Param(
            None,
            type=["null", "string"],
            title="Output",
            description_md="URI of a folder for this job alone. Empty: `<endpoint>/<job>` below the default output.",
        ),
        "replay_of": Param(
            None,
            type=["null", "string"],
            title="Replay",
            description_md="Name of a completed job of this endpoint: instead of an input, its dead letters are scored again, by "
            "the deployment it had unless another is named.",
        ),
        "inputs": Param(
            None,
            type=["null", "object"],
            title="Named inputs",
            description_md="Of pipelines and other DAGs, by name: a value, or data as "
            f'`{{"type": "uri_folder", "path": "s3://lake/raw/"}}`.{_named("inputs", deployments)}',
        ),
        "outputs": Param(
            None,
            type=["null", "object"],
            title="Named outputs",
            description_md="Where outputs of pipelines go, by name. Empty: folders of their names in the job's folder."
            f"{_named('outputs', deployments)}",
        ),
        "instance_count": override(
            "Instances", "How many instances share the work. Empty: as deployed.", "integer", minimum=1, maximum=1000
        ),
        "mini_batch_size": override(
            "Mini-batch size",
            "Of one `run()` call: a number of files, a size such as `64MB`, or rows such as `50000 rows`. Empty: as deployed.",
            "integer",
            "string",
        ),
        "error_threshold": override(
            "Error threshold",
            "How many items may fail: a number, a share such as `5%`, or `-1` for any number. Empty: as deployed.",
            "integer",
            "string",
        ),
        "max_retries": override(
            "Retries",
            "How often a failing mini-batch is tried again. Empty: as deployed.",
            "integer",
            minimum=0,
            maximum=100,
        ),
        "timeout": override(
            "Timeout (seconds)", "For one `run()` call. Empty: as deployed.", "integer", minimum=1, maximum=259_200
        ),
        "output_file_name": override(
            "Output file",
            "Ends in `.csv`, `.parquet` or `.jsonl`, or in `/` for a folder of Parquet parts. Empty: as deployed.",
            "string",
        ),
    }


def _named(kind: str, deployments: dict[str, Any]) -> str:
    """Return a list of what deployments have by name: one form serves all of them, so it can only tell."""
    lines = []
    for deployment, found in sorted(deployments.items()):
        for name, port in (found.get(kind) or {}).items():
            facts = [port.get("type"), "**required**" if port.get("required") else None]
            if port.get("default") is not None:
                facts.append(f"default `{_quoted(port['default'])}`")
            if port.get("enum"):
                facts.append("one of " + ", ".join(f"`{_quoted(choice)}`" for choice in port["enum"]))
            told = ", ".join(str(fact) for fact in facts if fact)
            about = f": {_line(port['description'])}" if port.get("description") else ""
            lines.append(f"- `{name}` of `{deployment}`{f' ({told})' if told else ''}{about}")
    return "".join(f"\n{line}" for line in ["", *lines]) if lines else ""


def _quoted(value: Any) -> str:
    return _line(value).replace("`", "'")


def _line(value: Any) -> str:
    return " ".join(str(value).split())


def _tag(name: str, value: str) -> str:
    tag = f"{name}:{value}"
    return tag if len(tag) <= TAG_LENGTH else f"{tag[: TAG_LENGTH - 3]}..."


def _documentation(endpoint: str, entry: dict[str, Any]) -> str:
    lines = [f"# Batch endpoint `{endpoint}`", "", entry.get("description") or "", ""]
    deployments = entry.get("deployments") or {}
    if deployments:
        lines += ["| deployment | | compute | what it is |", "|---|---|---|---|"]
        for name, deployment in sorted(deployments.items()):
            mark = "default" if name == entry.get("default") else ""
            compute = deployment.get("compute") or "default"
            what = _line(deployment.get("description") or _kind(deployment)).replace("|", "\\|")
            lines.append(f"| `{name}` | {mark} | {compute} | {what} |")
    lines += [
        "",
        "Trigger this DAG to start a job: its run is the job. Clearing a failed run resumes it from what is finished; marking it "
        "failed cancels it.",
    ]
    return "\n".join(lines)


def _kind(deployment: dict[str, Any]) -> str:
    """Return what a deployment is that does not describe itself."""
    if deployment.get("dag_id"):
        return f"runs DAG `{deployment['dag_id']}`"
    steps = len(deployment.get("steps") or ())
    return f"a pipeline of {steps} {'step' if steps == 1 else 'steps'}" if steps else ""
