"""The body of an invocation as Azure ML's REST interface has it, read into the parameters of a run.

Names are taken in any case, for its documentation writes ``InputData`` and its SDK ``inputData``. Every parameter keeps the
path it was written at, so that what is wrong with it later can be told by the name its author knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem

SOURCE = "invocation"
DATA_TYPES = {
    "urifolder": "uri_folder",
    "urifile": "uri_file",
    "mlflowmodel": "mlflow_model",
    "custommodel": "custom_model",
}
UNNAMED = ("input", "urifolder", "urifile")
"""Names, in any case, of an input that its author did not name: ours, and those that Azure ML's SDK gives it."""
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?\Z", re.IGNORECASE)
_FIXED = ("model", "code", "codeconfiguration", "environment", "environmentid", "environmentvariables", "outputaction",
          "maxconcurrencyperinstance", "logginglevel")  # fmt: skip
"""What Azure ML lets nobody change for one job."""


@dataclass
class Invocation:
    """What a body asks for."""

    conf: dict[str, Any] = field(default_factory=dict)
    """Parameters of the run."""
    name: str | None = None
    """Name of the job, when the body gives one."""
    places: dict[str, str] = field(default_factory=dict)
    """Where in the body each parameter stands."""


def seconds_of(duration: str) -> int:
    """Return the seconds of an ISO 8601 duration such as ``PT5M``. :raises ValueError: when it is none."""
    match = _DURATION.match(duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"found {shown(duration)}, expected seconds, or a duration such as PT300S")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def read_invocation(body: Any) -> Invocation:
    """Read a body: ``properties`` with inputs, outputs, and the overrides that a job may have.

    :param body: plain data.
    :raises DocumentError: with every problem.
    """
    reader = _Reader()
    reader.read(body)
    if reader.problems:
        raise DocumentError(reader.problems)
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found = Invocation()
        self.problems: list[Problem] = []

    def read(self, body: Any) -> None:
        self._each(body, "", {"properties": self._properties}, needs=("properties",))
        if "replay_of" in self.found.conf and ("input" in self.found.conf or "inputs" in self.found.conf):
            self._fail(self.found.places["replay_of"], "a replay has the input of its job; leave out the data input")
        # What is missing is told by where it should be.
        self.found.places.setdefault("input", "properties.InputData")
        self.found.places.setdefault("inputs", "properties.InputData")
        self.found.places.setdefault("outputs", "properties.OutputData")

    def _fail(self, path: str, message: str) -> None:
        self.problems.append(Problem(SOURCE, path or "(body)", message))

    def _keep(self, name: str, value: Any, path: str) -> None:
        if name in self.found.conf:
            self._fail(path, f"stands also at {self.found.places[name]}; keep one of the two")
        self.found.conf[name], self.found.places[name] = value, path

    def _keeper(self, name: str) -> Callable[[Any, str], None]:
        return lambda value, path: self._keep(name, value, path) if value is not None else None

    def _each(
        self, data: Any, path: str, known: dict[str, Callable[[Any, str], None]], *, needs: tuple[str, ...] = ()
    ) -> None:
        """Call the reader of each field of an object, whatever the case of its name."""
        if not isinstance(data, dict):
            self._fail(path, f"found {shown(data)}, expected fields and values")
            return
        seen: set[str] = set()
        for name, value in data.items():
            place, lower = f"{path}.{name}".lstrip("."), name.lower()
            if lower in seen:
                self._fail(place, "stands twice, in different case; keep one of the two")
            elif lower in known:
                known[lower](value, place)
            elif lower in _FIXED:
                self._fail(place, "is the deployment's, and no job can change it")
            else:
                self._fail(place, f"no such field; known are {', '.join(known)}")
            seen.add(lower)
        for name in needs:
            if name not in seen:
                self._fail(f"{path}.{name}".lstrip("."), "missing; it is required")

    def _properties(self, data: Any, path: str) -> None:
        self._each(
            data,
            path,
            {
                "inputdata": self._inputs,
                "outputdata": self._outputs,
                "dataset": self._dataset,
                "outputdataset": self._output_dataset,
                "replayof": self._replay_of,
                "minibatchsize": self._keeper("mini_batch_size"),
                "errorthreshold": self._keeper("error_threshold"),
                "outputfilename": self._keeper("output_file_name"),
                "retrysettings": self._retries,
                "compute": self._compute,
                "name": self._name,
                "properties": _ignore,
                "description": _ignore,
                "tags": _ignore,
            },
        )

    # -- data --------------------------------------------------------------------------------------------------------

    def _inputs(self, data: Any, path: str) -> None:
        for name, place, entry in self._entries("inputs", data, path):
            if name.lower() in UNNAMED and len(data) == 1 and "path" in entry:
                self._keep("input", entry["path"], self.found.places[f"inputs.{name}.path"])
                if "type" in entry:
                    self._keep("input_type", entry["type"], f"{place}.JobInputType")
            else:
                self.found.conf.setdefault("inputs", {})[name] = entry

    def _outputs(self, data: Any, path: str) -> None:
        for name, _, entry in self._entries("outputs", data, path):
            # The type is the deployment's to say: Azure ML's SDK sends UriFile for any output.
            entry.pop("type", None)
            self.found.conf.setdefault("outputs", {})[name] = entry

    def _entries(self, group: str, data: Any, path: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Return inputs or outputs by their names, each with its place: ``{"path": ..., "type": ...}`` or ``{"value": ...}``."""
        if not isinstance(data, dict):
            self._fail(path, f"found {shown(data)}, expected {group} by their names")
            return
        for name, value in data.items():
            place = f"{path}.{name}"
            self.found.places[f"{group}.{name}"] = place
            entry = _Entry(self, f"{group}.{name}")
            before = len(self.problems)
            self._each(value, place, entry.known(is_input=group == "inputs"))
            if len(self.problems) == before and (group == "outputs" or entry.is_complete(place)):
                yield name, place, entry.found

    def _uri(self, name: str) -> Callable[[Any, str], None]:
        def read(value: Any, path: str) -> None:
            if not isinstance(value, str) or not value.strip():
                self._fail(path, f"found {shown(value)}, expected a URI such as s3://bucket/folder")
            else:
                self._keep(name, value, path)

        return read

    def _dataset(self, data: Any, path: str) -> None:
        """Azure ML's older form of the input."""
        self._each(data, path, {"datainputtype": self._dataset_type, "path": self._uri("input")}, needs=("path",))

    def _dataset_type(self, value: Any, path: str) -> None:
        if str(value).lower() != "dataurl":
            self._fail(
                path, f"found {shown(value)}, expected DataUrl; its path may be a data asset, azureml:<name>@latest"
            )

    def _output_dataset(self, data: Any, path: str) -> None:
        """Azure ML's older form of the output: a URI, or a path in a data store."""
        store: list[str] = []

        def datastore(value: Any, place: str) -> None:
            if isinstance(value, str) and value:
                store.append(value.rpartition("/")[2].removeprefix("azureml:"))
            elif value is not None:
                self._fail(place, f"found {shown(value)}, expected the name of a data store")

        self._each(data, path, {"path": self._uri("output"), "datastoreid": datastore}, needs=("path",))
        if store and "output" in self.found.conf:
            inside = str(self.found.conf["output"]).strip("/")
            self.found.conf["output"] = f"azureml://datastores/{store[0]}/paths/{inside}"

    def _replay_of(self, value: Any, path: str) -> None:
        """Ours: the name of a job whose dead letters are the input."""
        if isinstance(value, str) and value:
            self._keep("replay_of", value, path)
        elif value is not None:
            self._fail(path, f"found {shown(value)}, expected the name of a completed job")

    # -- overrides ---------------------------------------------------------------------------------------------------

    def _retries(self, data: Any, path: str) -> None:
        self._each(data, path, {"maxretries": self._keeper("max_retries"), "timeout": self._timeout})

    def _timeout(self, value: Any, path: str) -> None:
        if isinstance(value, str):
            try:
                value = seconds_of(value)
            except ValueError as error:
                self._fail(path, str(error))
                return
        self._keeper("timeout")(value, path)

    def _compute(self, data: Any, path: str) -> None:
        def target(value: Any, place: str) -> None:
            if value is not None:
                self._fail(place, "is the deployment's, and no job can change it")

        known = {"instancecount": self._keeper("instance_count"), "islocal": _ignore, "target": target}
        self._each(data, path, known)

    def _name(self, value: Any, path: str) -> None:
        if value is not None and not isinstance(value, str):
            self._fail(path, f"found {shown(value)}, expected text")
        elif value:
            self.found.name, self.found.places["name"] = value, path


class _Entry:
    """One input or output, while it is read."""

    def __init__(self, reader: _Reader, name: str) -> None:
        self._reader, self._name = reader, name
        self._is_literal = False
        self.found: dict[str, Any] = {}

    def known(self, *, is_input: bool) -> dict[str, Callable[[Any, str], None]]:
        """Return what reads each of its fields."""
        known = {"uri": self._uri, "mode": _ignore, "description": _ignore}
        if is_input:
            return {"jobinputtype": self._input_type, "value": self._value, **known}
        return {
            "joboutputtype": self._data_type,
            "assetname": self._kept("name"),
            "assetversion": self._kept("version"),
            **known,
        }

    def _kept(self, name: str) -> Callable[[Any, str], None]:
        """Return what keeps a field as it is; it is looked at with the request."""

        def keep(value: Any, place: str) -> None:
            if value is not None:
                self.found[name], self._reader.found.places[f"{self._name}.{name}"] = value, place

        return keep

    def is_complete(self, place: str) -> bool:
        """Tell whether it is data with a URI or a literal with a value, and nothing of both."""
        wanted = "value" if self._is_literal else "path" if "type" in self.found else None
        if len(self.found.keys() & {"value", "path"}) != 1 or (wanted is not None and wanted not in self.found):
            self._reader._fail(place, "expected data with JobInputType and Uri, or a Literal with a Value")
            return False
        return True

    def _input_type(self, value: Any, place: str) -> None:
        if str(value).lower() == "literal":
            self._is_literal = True
        else:
            self._data_type(value, place, ", or Literal")

    def _data_type(self, value: Any, place: str, more: str = "") -> None:
        kind = DATA_TYPES.get(str(value).lower().replace("_", ""))
        if kind is None:
            message = f"found {shown(value)}, expected UriFolder, UriFile, MLFlowModel or CustomModel{more}"
            self._reader._fail(place, message)
        else:
            self.found["type"] = kind

    def _uri(self, value: Any, place: str) -> None:
        if value is None:
            return
        if not isinstance(value, str) or not value.strip():
            self._reader._fail(place, f"found {shown(value)}, expected a URI such as s3://bucket/folder")
            return
        self.found["path"], self._reader.found.places[f"{self._name}.path"] = value, place

    def _value(self, value: Any, place: str) -> None:
        if value is None:
            return
        # What it may be is the deployment's to say: a DAG's parameter can be anything.
        self.found["value"], self._reader.found.places[f"{self._name}.value"] = value, place


def _ignore(_: Any, __: str) -> None:
    """Take a field that changes nothing here."""
