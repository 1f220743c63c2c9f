"""Models: registered in MLflow, which keeps them and their versions. MLflow is asked in a process of its own.

Importing it takes seconds and a hundred megabytes, and its tracking URI belongs to no other thread of an API server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.assets import ModelAsset
from airflow_batch_endpoints.exceptions import ConflictError, InfrastructureError, UserError
from airflow_batch_endpoints.storage.uris import without_credentials

SOURCE = "batch_endpoints.source"
"""Tag of a model version: what was registered, as it was named. It tells a repetition from another model."""
SECONDS = 300
_NO_MLFLOW = 77


def register(document: ModelAsset, uri: str, settings: Settings, *, is_output: bool = False) -> tuple[str, ModelAsset]:
    """Register a model, unless the same is registered.

    :param uri: where its files are: normalised, or ``runs:/...``.
    :param is_output: whether it is the output of a job, which is the version it became however many there are since.
    :return: ``created`` or ``unchanged``, and the document with its version.
    :raises ConflictError: the version is there with another source, or is not the next one.
    :raises UserError: MLflow is not installed, or does not take the source.
    """
    request = {
        "name": document.name,
        "version": document.version,
        "uri": uri,
        "description": document.description,
        "tags": document.tags,
        "is_output": is_output,
    }
    environment = dict(os.environ)
    if settings.mlflow_tracking_uri:
        environment["MLFLOW_TRACKING_URI"] = settings.mlflow_tracking_uri
    answer = _ask(request, environment)
    return answer["result"], document.model_copy(update={"version": answer["version"]})


def _ask(request: dict[str, Any], environment: dict[str, str]) -> dict[str, str]:
    try:
        process = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"model {request['name']!r}: MLflow did not answer in {SECONDS} s") from None
    return read(request["name"], process.returncode, process.stdout, process.stderr)


def read(name: str, code: int, out: str, err: str) -> dict[str, str]:
    """Return the answer that a process gave about a model; raise what it says went wrong.

    MLflow tells where it was asked, and its address may hold a password: nothing of that is passed on.
    """
    model = f"model {name!r}"
    if code == _NO_MLFLOW:
        raise UserError(
            f"{model} is to be registered in MLflow, which is not installed here; install it with: "
            "pip install 'airflow-batch-endpoints[mlflow]'"
        )
    lines = out.strip().splitlines()
    answer: dict[str, str] = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if "conflict" in answer:
        raise ConflictError(f"{model}: {without_credentials(answer['conflict'])}")
    if "refused" in answer:
        raise UserError(f"{model}: MLflow does not register it: {without_credentials(answer['refused'])}")
    if code != 0 or "version" not in answer:
        last = answer.get("error") or (err.strip().splitlines() or ["no answer"])[-1]
        raise InfrastructureError(f"{model}: MLflow cannot register it: {without_credentials(last)}")
    return answer


# -- what runs in the other process ----------------------------------------------------------------------------------


def _register(request: dict[str, Any]) -> dict[str, str]:
    import mlflow
    from mlflow.exceptions import MlflowException

    client, name, uri = mlflow.MlflowClient(), request["name"], request["uri"]
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = {int(found.version): found for found in client.search_model_versions(f"name='{name}'")}
    latest = max(known, default=0)
    before = [found for found in known.values() if found.tags.get(SOURCE) == uri]
    if request["is_output"] and request["version"] is None and before:
        return {"result": "unchanged", "version": str(before[0].version)}
    wanted = latest if request["version"] is None else request["version"]
    found = known.get(int(wanted)) if str(wanted).isdecimal() else None
    if found is not None and found.tags.get(SOURCE) == uri:
        return {"result": "unchanged", "version": str(found.version)}
    if request["version"] is not None and found is not None:
        return {
            "conflict": f"version {wanted} is another one, from {found.tags.get(SOURCE) or found.source}; leave the version out"
        }
    if request["version"] not in (None, str(latest + 1)):
        return {
            "conflict": f"MLflow numbers versions itself, and the next is {latest + 1}, not {wanted}; leave the version out"
        }
    source, run = uri, None
    if uri.startswith("runs:/"):
        from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

        run = uri.removeprefix("runs:/").partition("/")[0]
        source = RunsArtifactRepository.get_underlying_uri(uri)
    made = client.create_model_version(
        name, source, run_id=run, tags={**request["tags"], SOURCE: uri}, description=request["description"]
    )
    return {"result": "created", "version": str(made.version)}


def _answer() -> int:
    try:
        from mlflow.exceptions import MlflowException
    except ImportError:
        return _NO_MLFLOW
    try:
        answer = _register(json.loads(sys.stdin.read()))
    except MlflowException as error:
        theirs = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "BAD_REQUEST")
        answer = {"refused" if error.error_code in theirs else "error": str(error.message).splitlines()[0]}
    print(json.dumps(answer))  # noqa: T201 - the answer
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(_answer())
