"""An Airflow that is reached over HTTP: the REST interface, with a token."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.cli.backend import PASSWORD, TOKEN, USERNAME
from airflow_batch_endpoints.documents.loading import load_with_components
from airflow_batch_endpoints.documents.paths import paths
from airflow_batch_endpoints.documents.references import is_reference
from airflow_batch_endpoints.exceptions import (
    BatchEndpointsError,
    ConflictError,
    DocumentError,
    ForbiddenError,
    InfrastructureError,
    NotFoundError,
    Problem,
    StaleError,
    UserError,
)
from airflow_batch_endpoints.jobs.states import JobState
from airflow_batch_endpoints.services.resources import (
    Applied,
    Asset,
    AssetKind,
    DryRun,
    Endpoint,
    Job,
    JobDetails,
    Kind,
    Page,
    Revision,
    StoredDocument,
)

PREFIX = "batch-endpoints/v1"
SECONDS = 60.0
TRIES = 5
_PAGE = 200
_ERRORS: dict[int, type[BatchEndpointsError]] = {
    400: UserError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: StaleError,
    413: UserError,
}
_SKIPPED = {"__pycache__", ".git", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".venv"}
Answer = TypeVar("Answer", bound=BaseModel)


class ServerBackend:
    """What commands need, of the REST interface: method by method what the Airflow of this machine answers, too.

    :param server: address of the Airflow server, with the path it is below, if any.
    :param token: what to present; without one, a user and a password of the environment get one.
    """

    def __init__(self, server: str, *, token: str | None) -> None:
        if not server.startswith(("http://", "https://")):
            raise UserError(f"server {server!r}: expected an address such as https://airflow.example")
        self._server = server.rstrip("/")
        self._client = httpx.Client(
            timeout=SECONDS, headers={"User-Agent": f"batch-endpoints/{__version__}"}, follow_redirects=False
        )
        self._client.headers["Authorization"] = f"Bearer {token or self._login()}"

    def _login(self) -> str:
        user, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
        if not user or not password:
            raise UserError(
                f"{self._server} needs a token; set {TOKEN}, give --token-file, or set {USERNAME} and {PASSWORD}"
            )
        answer = self._send("POST", f"{self._server}/auth/token", json={"username": user, "password": password})
        return str(self._json(answer)["access_token"])

    # -- documents ---------------------------------------------------------------------------------------------------

    def apply(self, files: Sequence[Path], *, set_default: bool) -> list[Applied]:
        """Upload documents with the files that they name by relative paths."""
        uploads = _uploads(files)
        with ExitStack() as stack:
            parts = [(kind, (name, stack.enter_context(path.open("rb")))) for kind, name, path in uploads]
            answer = self._call("POST", "apply", files=parts, data={"set_default": str(set_default).lower()})
        return TypeAdapter(list[Applied]).validate_python(answer)

    def not_invokable(self, endpoints: Sequence[str]) -> tuple[list[str], bool]:
        """Return which endpoints have no DAG yet; asking makes the server ask for them."""
        return [name for name in endpoints if not self.endpoint(name).is_invokable], True

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints."""
        found: list[Endpoint] = []
        while True:
            page = self._get(Page[Endpoint], "endpoints", limit=_PAGE, offset=len(found))
            found += page.items
            if not page.items or len(found) >= page.total:
                return found

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint."""
        return self._get(Endpoint, f"endpoints/{_part(name)}")

    def deployment(self, endpoint: str, name: str) -> StoredDocument:
        """Return a deployment."""
        return self._get(StoredDocument, f"endpoints/{_part(endpoint)}/deployments/{_part(name)}")

    def set_default(self, endpoint: str, deployment: str) -> None:
        """Choose the default deployment."""
        self._call("PUT", f"endpoints/{_part(endpoint)}/default", json={"deployment": deployment})

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint."""
        self._call("DELETE", f"endpoints/{_part(name)}")

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        self._call("DELETE", f"endpoints/{_part(endpoint)}/deployments/{_part(name)}")

    def computes(self) -> list[StoredDocument]:
        """Return all computes."""
        return TypeAdapter(list[StoredDocument]).validate_python(self._call("GET", "computes"))

    def compute(self, name: str) -> StoredDocument:
        """Return a compute."""
        return self._get(StoredDocument, f"computes/{_part(name)}")

    def delete_compute(self, name: str) -> None:
        """Delete a compute."""
        self._call("DELETE", f"computes/{_part(name)}")

    def datastores(self) -> list[StoredDocument]:
        """Return all data stores."""
        return TypeAdapter(list[StoredDocument]).validate_python(self._call("GET", "datastores"))

    def datastore(self, name: str) -> StoredDocument:
        """Return a data store."""
        return self._get(StoredDocument, f"datastores/{_part(name)}")

    def delete_datastore(self, name: str) -> None:
        """Delete a data store."""
        self._call("DELETE", f"datastores/{_part(name)}")

    def assets(self, kind: AssetKind) -> list[Asset]:
        """Return the assets of a kind."""
        return TypeAdapter(list[Asset]).validate_python(self._call("GET", f"assets/{kind}"))

    def asset_versions(self, kind: AssetKind, name: str) -> list[StoredDocument]:
        """Return the versions of an asset, newest first."""
        found = self._call("GET", f"assets/{kind}/{_part(name)}/versions")
        return TypeAdapter(list[StoredDocument]).validate_python(found)

    def asset(self, kind: AssetKind, name: str, version: str | None) -> StoredDocument:
        """Return a version of an asset, the newest by default."""
        return self._get(StoredDocument, _asset(kind, name, version))

    def archive_asset(self, kind: AssetKind, name: str, version: str, *, is_archived: bool) -> None:
        """Archive a version of an asset, or take that back."""
        self._call("POST", f"{_asset(kind, name, version)}/{'archive' if is_archived else 'restore'}")

    def delete_asset(self, kind: AssetKind, name: str, version: str) -> None:
        """Delete a version of an asset."""
        self._call("DELETE", _asset(kind, name, version))

    def revisions(self, kind: Kind, name: str, endpoint: str | None, *, limit: int) -> list[Revision]:
        """Return what a document was."""
        return self._get(Page[Revision], f"{_document(kind, name, endpoint)}/revisions", limit=limit).items

    def restore(self, kind: Kind, name: str, endpoint: str | None, revision: str) -> Applied:
        """Make a document again what it was."""
        path = f"{_document(kind, name, endpoint)}/revisions/{_part(revision)}/restore"
        return Applied.model_validate(self._call("POST", path))

    # -- jobs --------------------------------------------------------------------------------------------------------

    def invoke(self, endpoint: str, conf: dict[str, Any], *, name: str) -> tuple[Job, bool]:
        """Start a job, and tell whether it was started now. The name makes a repetition the same job."""
        answer = self._answer(
            "POST", f"endpoints/{_part(endpoint)}/jobs", json=_body(conf, name), headers=_deployment(conf), is_safe=True
        )
        return Job.model_validate(self._json(answer)), answer.status_code == httpx.codes.CREATED

    def dry_run(self, endpoint: str, conf: dict[str, Any], *, name: str) -> DryRun:
        """Return the job that would be started."""
        path = f"endpoints/{_part(endpoint)}/dry-run"
        return DryRun.model_validate(self._call("POST", path, json=_body(conf, name), headers=_deployment(conf)))

    def jobs(
        self,
        endpoint: str | None,
        *,
        limit: int,
        states: Sequence[JobState] | None = None,
        invoker: str | None = None,
        deployment: str | None = None,
    ) -> list[Job]:
        """Return the newest jobs."""
        path = "jobs" if endpoint is None else f"endpoints/{_part(endpoint)}/jobs"
        return self._get(Page[Job], path, limit=limit, state=states, invoker=invoker, deployment=deployment).items

    def job(self, endpoint: str, name: str) -> JobDetails:
        """Return a job."""
        return self._get(JobDetails, _job(endpoint, name))

    def cancel(self, endpoint: str, name: str) -> Job:
        """Cancel a job."""
        return Job.model_validate(self._call("POST", f"{_job(endpoint, name)}/cancel"))

    def logs(self, endpoint: str, name: str, *, task: str | None, instance: int | None) -> Iterator[str]:
        """Return the logs of a job."""
        wanted = {"task": task, "instance": instance}
        with self._stream(f"{_job(endpoint, name)}/logs", wanted) as answer:
            yield from answer.iter_lines()

    def published(self, endpoint: str, name: str) -> list[str]:
        """Return the names of the files a job published."""
        outputs = self._call("GET", f"{_job(endpoint, name)}/outputs")
        letters = [outputs["dead_letters"]["name"]] if outputs["dead_letters"] else []
        return [*(file["name"] for file in outputs["files"]), *letters, "manifest.json"]

    def content(self, endpoint: str, name: str, file: str) -> Iterator[bytes]:
        """Return a file that a job published."""
        with self._stream(f"{_job(endpoint, name)}/outputs/{quote(file)}", {}) as answer:
            yield from answer.iter_bytes()

    def sync(self) -> int:
        """Refuse: this is for who administers the Airflow."""
        raise UserError(
            "jobs sync works on the Airflow of this machine only; run it on a host of the Airflow, without --server"
        )

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _get(self, kind: type[Answer], path: str, **params: Any) -> Answer:
        wanted = {name: value for name, value in params.items() if value is not None}
        return kind.model_validate(self._call("GET", path, params=wanted))

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._answer(method, path, **options)
        return None if answer.status_code == httpx.codes.NO_CONTENT else self._json(answer)

    def _answer(self, method: str, path: str, *, is_safe: bool = False, **options: Any) -> httpx.Response:
        """Send a request; what changes nothing, or is the same job when repeated, is tried again."""
        url = f"{self._server}/{PREFIX}/{path}"
        if not (is_safe or method == "GET"):
            return self._send(method, url, **options)
        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            retry=retry_if_exception_type(InfrastructureError),
            reraise=True,
        )
        return retrying(self._send, method, url, **options)

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, url, **options)
        except httpx.HTTPError as error:
            raise InfrastructureError(f"{self._server} does not answer: {error}") from error
        self._check(answer)
        return answer

    def _stream(self, path: str, params: dict[str, Any]) -> _Stream:
        wanted = {name: value for name, value in params.items() if value is not None}
        request = self._client.build_request("GET", f"{self._server}/{PREFIX}/{path}", params=wanted)
        return _Stream(self, request)

    def _check(self, answer: httpx.Response) -> None:
        """Raise what an answer says went wrong, as the same error that the Airflow of this machine would raise."""
        if answer.is_success:
            return
        told = self._problem(answer)
        detail = str(told.get("detail") or f"it answered {answer.status_code}")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise UserError(f"{self._server} does not accept the token: {detail}; get a new one")
        errors = told.get("errors") or []
        if errors:
            raise DocumentError([Problem("server", str(entry["field"]), str(entry["message"])) for entry in errors])
        raise _ERRORS.get(answer.status_code, InfrastructureError)(detail)

    @staticmethod
    def _problem(answer: httpx.Response) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise UserError(
                f"{self._server} answers with a page and not with data: is that the address of an Airflow with batch endpoints?"
            ) from None


class _Stream:
    """An answer that is read while it arrives, within the context: it may break off."""

    def __init__(self, backend: ServerBackend, request: httpx.Request) -> None:
        self._backend, self._request = backend, request

    def __enter__(self) -> httpx.Response:
        try:
            self._answer = self._backend._client.send(self._request, stream=True)
            if not self._answer.is_success:
                self._answer.read()
        except httpx.HTTPError as error:
            raise InfrastructureError(f"{self._request.url} does not answer: {error}") from error
        self._backend._check(self._answer)
        return self._answer

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._answer.close()
        if isinstance(error, httpx.HTTPError):
            raise InfrastructureError(f"{self._request.url} broke off: {error}; try again") from error


def _part(name: str) -> str:
    return quote(name, safe="")


def _job(endpoint: str, name: str) -> str:
    return f"endpoints/{_part(endpoint)}/jobs/{_part(name)}"


def _asset(kind: AssetKind, name: str, version: str | None) -> str:
    path = f"assets/{kind}/{_part(name)}"
    return path if version is None else f"{path}/versions/{_part(version)}"


def _document(kind: Kind, name: str, endpoint: str | None) -> str:
    if kind == "deployment":
        return f"endpoints/{_part(endpoint or '')}/deployments/{_part(name)}"
    return f"{kind}s/{_part(name)}"


def _deployment(conf: dict[str, Any]) -> dict[str, str]:
    return {"azureml-model-deployment": conf["deployment"]} if conf.get("deployment") else {}


def _body(conf: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters of a job as the body of an invocation."""
    places = {f"--{what}": conf.get(what) for what in ("input", "output")}
    for group in ("inputs", "outputs"):
        for entry, value in (conf.get(group) or {}).items():
            places[f"{group}.{entry}.path"] = value.get("path") if isinstance(value, dict) else None
    for place, path in places.items():
        if path and not _is_anywhere(str(path)):
            raise UserError(f"{place} {path!r} is a path of this machine, relative; give a URI that the server reaches")
    properties: dict[str, Any] = {"name": name}
    if "replay_of" in conf:
        properties["replayOf"] = conf["replay_of"]
    given = {name: _given(value) for name, value in (conf.get("inputs") or {}).items()}
    if conf.get("input"):
        given["input"] = _given({"path": conf["input"], "type": conf.get("input_type")})
    made = {name: _made(value) for name, value in (conf.get("outputs") or {}).items()}
    if conf.get("output"):
        made["output"] = _made(conf["output"])
    properties |= {"InputData": given} if given else {}
    properties |= {"OutputData": made} if made else {}
    names = {
        "mini_batch_size": "miniBatchSize",
        "error_threshold": "errorThreshold",
        "output_file_name": "outputFileName",
    }
    properties |= {theirs: conf[ours] for ours, theirs in names.items() if ours in conf}
    if "instance_count" in conf:
        properties["compute"] = {"instanceCount": conf["instance_count"]}
    retries = {
        theirs: conf[ours]
        for ours, theirs in {"max_retries": "maxRetries", "timeout": "timeout"}.items()
        if ours in conf
    }
    if retries:
        properties["retrySettings"] = retries
    return {"properties": properties}


_TYPES = {
    "uri_folder": "UriFolder",
    "uri_file": "UriFile",
    "mlflow_model": "MLFlowModel",
    "custom_model": "CustomModel",
}


def _given(value: Any) -> dict[str, Any]:
    """Return an input as the body of an invocation has it."""
    if not isinstance(value, dict) or "path" not in value:
        found = value.get("value", value.get("default", value)) if isinstance(value, dict) else value
        return {"JobInputType": "Literal", "Value": found}
    kind = value.get("type")
    return {"Uri": value["path"], **({"JobInputType": _TYPES.get(kind, kind)} if kind else {})}


def _made(value: Any) -> dict[str, Any]:
    """Return an output as the body of an invocation has it."""
    entry = value if isinstance(value, dict) else {"path": value}
    names = {"path": "Uri", "name": "AssetName", "version": "AssetVersion"}
    return {"JobOutputType": "UriFolder", **{theirs: entry[ours] for ours, theirs in names.items() if entry.get(ours)}}


def _is_anywhere(uri: str) -> bool:
    return uri.startswith(("/", "models:/", "runs:/")) or "://" in uri or is_reference(uri)


# -- uploading -------------------------------------------------------------------------------------------------------


def _uploads(files: Sequence[Path]) -> list[tuple[str, str, Path]]:
    """Return what to upload: kind of part, path in the upload, path here.

    :raises DocumentError: with the problems of all documents, before anything is sent.
    """
    documents: list[Path] = []
    beside: list[Path] = []
    problems: list[Problem] = []
    for file in files:
        path = file.absolute()
        try:
            found, components = load_with_components(path)
        except DocumentError as error:
            problems += error.problems
            continue
        documents.append(path)
        beside += [*components, *(Path(os.path.normpath(path.parent / entry.path)) for entry in paths(found))]
    if problems:
        raise DocumentError(problems)
    root = Path(os.path.commonpath([*(document.parent for document in documents), *(path.parent for path in beside)]))
    uploads = [("document", document.relative_to(root).as_posix(), document) for document in documents]
    extra = {file for path in beside for file in _files(path)} - set(documents)
    return uploads + [("file", file.relative_to(root).as_posix(), file) for file in sorted(extra)]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        yield from (Path(folder, name) for name in names if Path(folder, name).is_file())
