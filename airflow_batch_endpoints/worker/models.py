"""Models and code: which version, where its files are, and having them on this machine."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_batch_endpoints.exceptions import InfrastructureError, ModelError
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.uris import is_local, local_path, normalise, shown, without_credentials

log = logging.getLogger(__name__)

_REGISTRY_SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")
_DIRECT_SCHEMES = ("file:", "s3:", "gs:", "gcs:", "abfs:", "abfss:", "az:", "adl:")
_NO_MLFLOW = 77
REQUIREMENTS, CONDA = "requirements.txt", "conda.yaml"
"""Where a model of MLflow says what it needs; the first decides."""


def pin(spec: JobSpec) -> JobSpec:
    """Return the job with a concrete model version and the place of its files.

    MLflow is asked in a process of its own: importing it takes seconds and a hundred megabytes.

    :raises ModelError: no such model, or MLflow is needed and not installed.
    """
    if spec.model_uri is None:
        return spec
    if not is_registered(spec.model_uri):
        if is_local(spec.model_uri) and not os.path.exists(local_path(spec.model_uri)):
            raise ModelError(f"model {shown(spec.model_uri)} does not exist; apply the deployment again")
        return spec.model_copy(update={"model_artifact_uri": spec.model_uri})
    uri, artifacts = locate(spec.model_uri)
    return spec.model_copy(update={"model_uri": uri, "model_artifact_uri": artifacts})


def is_registered(uri: str) -> bool:
    """Tell whether MLflow has to be asked what a URI stands for."""
    return uri.startswith(_REGISTRY_SCHEMES)


@cache
def locate(uri: str) -> tuple[str, str]:
    """Return the concrete version that a URI of MLflow stands for, and the URI of its files.

    :raises ModelError: no such model, or MLflow is not installed.
    """
    answer = _ask_mlflow("resolve", uri)
    log.info("model %s is %s", uri, answer["model_uri"])
    return answer["model_uri"], answer["artifact_uri"]


def is_stored(uri: str) -> bool:
    """Tell whether files can be fetched from a URI without MLflow's help."""
    return uri.startswith(_DIRECT_SCHEMES)


def download(uri: str, folder: Path) -> Path:
    """Have MLflow download the files of a model; ``folder`` is made anew."""
    return Path(_ask_mlflow("download", uri, str(folder))["path"])


def requirements(spec: JobSpec) -> tuple[str, str] | None:
    """Return what the model says it needs: :data:`REQUIREMENTS` or :data:`CONDA`, and what is in it; ``None`` if it says nothing.

    :param spec: the job, with its model pinned.
    """
    uri = spec.model_artifact_uri or spec.model_uri
    if uri is None:
        return None
    if not is_stored(uri):
        answer = _ask_mlflow("requirements", uri)
        return (answer["name"], answer["text"]) if answer["name"] else None
    store = open_store(uri)
    for name in (REQUIREMENTS, CONDA):
        content = store.read(name)
        if content is not None:
            return name, content.decode("utf-8", "replace")
    return None


def fetch(spec: JobSpec, folder: Path) -> Path | None:
    """Return a local path with the model's files: in place when they are local, else downloaded once; ``None`` without a model.

    :param folder: where downloads go.
    """
    uri = spec.model_artifact_uri or spec.model_uri
    if uri is None:
        return None
    return fetch_files(uri, folder / "model") if is_stored(uri) else download(uri, folder / "model")


def fetch_code(spec: JobSpec, folder: Path) -> Path | None:
    """Return a local path with the scoring script's folder, ``None`` when there is no script."""
    return None if spec.code_uri is None else fetch_files(spec.code_uri, folder / "code")


def model_dir(spec: JobSpec, model: Path, folder: Path) -> Path:
    """Arrange what scripts find in ``AZUREML_MODEL_DIR``: the model's folder or file under its own name.

    The files are hard links where that is possible: MLflow refuses a model behind a symbolic link.

    :return: the folder to name there.
    """
    parent = folder / "model-dir"
    target = parent / spec.model_name
    if not target.exists():
        parent.mkdir(parents=True, exist_ok=True)
        if model.is_dir():
            shutil.copytree(model, target, copy_function=_link)
        else:
            _link(str(model), str(target))
    return parent


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def fetch_files(uri: str, target: Path) -> Path:
    """Return a local path with the files of a URI: in place when they are local, else below ``target``."""
    if is_local(uri):
        path = Path(local_path(uri))
        if not path.exists():
            raise ModelError(f"{shown(uri)} does not exist; apply the deployment again")
        return path
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, path_in_store = file_system(uri)
    name = path_in_store.rstrip("/").rsplit("/", 1)[-1]
    target.mkdir(parents=True, exist_ok=True)

    def get() -> None:
        # A folder that is there already, from a try that failed, would get the files into a folder of its own.
        shutil.rmtree(target / name, ignore_errors=True)
        fs.get(path_in_store, str(target / name), recursive=True)

    try:
        retrying(f"fetching {shown(uri)}", get)
    except FileNotFoundError:
        raise ModelError(f"{shown(uri)} does not exist; apply the deployment again") from None
    return target / name


def _ask_mlflow(*arguments: str) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-m", "airflow_batch_endpoints.worker.models", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = process.stdout.strip().splitlines()
    answer = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if process.returncode == _NO_MLFLOW:
        raise ModelError(
            f"{shown(arguments[1])} is a model of MLflow, which is not installed here; "
            "install it with: pip install 'airflow-batch-endpoints[mlflow]'"
        )
    if "missing" in answer:
        raise ModelError(f"model {shown(arguments[1])}: {without_credentials(answer['missing'])}")
    if process.returncode != 0 or not answer:
        last = answer.get("error") or (process.stderr.strip().splitlines() or ["no answer"])[-1]
        # MLflow tells where it was asked, and its address may hold a password.
        raise InfrastructureError(f"MLflow cannot say what {shown(arguments[1])} is: {without_credentials(last)}")
    return answer


# -- what runs in the other process -------------------------------------------------------------------------------


def _resolve(uri: str) -> dict[str, str]:
    import mlflow

    client = mlflow.MlflowClient()
    if uri.startswith("models:/"):
        name, _, version = uri.removeprefix("models:/").rpartition("/")
        if not name:
            name, _, alias = version.partition("@")
            if alias and alias != "latest":
                version = client.get_model_version_by_alias(name, alias).version
            else:
                version = "latest"
        if version == "latest":
            versions = client.search_model_versions(f"name='{name}'")
            if not versions:
                return {"missing": f"no version of {name!r} is registered"}
            version = str(max(int(found.version) for found in versions))
        artifacts = client.get_model_version_download_uri(name, str(version))
        uri = f"models:/{name}/{version}"
    else:
        from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

        artifacts = RunsArtifactRepository.get_underlying_uri(uri)
    if artifacts.startswith("models:/"):
        from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

        artifacts = ModelsArtifactRepository.get_underlying_uri(artifacts)
    # A server that keeps the files itself says ``mlflow-artifacts:/...``: MLflow fetches those.
    is_ours = urlsplit(artifacts).scheme in ("", "file")
    return {"model_uri": uri, "artifact_uri": normalise(artifacts) if is_ours else artifacts}


def _requirements(uri: str) -> dict[str, str]:
    import mlflow

    there = {Path(file.path).name for file in mlflow.artifacts.list_artifacts(artifact_uri=uri)}
    for name in (REQUIREMENTS, CONDA):
        if name in there:
            return {"name": name, "text": mlflow.artifacts.load_text(f"{uri.rstrip('/')}/{name}")}
    return {"name": "", "text": ""}


def _download(uri: str, folder: str) -> dict[str, str]:
    import mlflow

    if Path(folder).exists():
        shutil.rmtree(folder)
    Path(folder).mkdir(parents=True)
    return {"path": mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)}


_QUESTIONS: dict[str, Callable[..., dict[str, str]]] = {
    "resolve": _resolve,
    "requirements": _requirements,
    "download": _download,
}


def _answer(arguments: list[str]) -> int:
    try:
        from mlflow.exceptions import MlflowException
    except ImportError:
        return _NO_MLFLOW
    answer: dict[str, str]
    try:
        answer = _QUESTIONS[arguments[0]](*arguments[1:])
    except MlflowException as error:
        is_missing = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
        answer = {"missing" if is_missing else "error": str(error.message).splitlines()[0]}
    print(json.dumps(answer))  # noqa: T201 - the answer
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(_answer(sys.argv[1:]))
