"""The body of an invocation as Azure ML's REST interface has it, read into the parameters of a run.

Names are taken in any case, for its documentation writes ``InputData`` and its SDK ``inputData``. Every parameter keeps the
path it was written at, so that what is wrong with it later can be told by the name its author knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem

SOURCE = "invocation"
INPUT_TYPES = {"urifolder": "uri_folder", "urifile": "uri_file"}
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
    """Read a body: ``properties`` with one data input, at most one output, and the overrides that a job may have.

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
        if self.problems:
            return
        if "input" not in self.found.conf and "replay_of" not in self.found.conf:
            self._fail("properties.InputData", "missing; give one data input with JobInputType and Uri")
        if "input" in self.found.conf and "replay_of" in self.found.conf:
            self._fail(self.found.places["replay_of"], "a replay has the input of its job; leave out the data input")

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
        if not isinstance(data, dict) or len(data) != 1:
            self._fail(path, "expected exactly one data input, under any name")
            return
        ((name, value),) = data.items()
        self._input(value, f"{path}.{name}")

    def _input(self, data: Any, path: str) -> None:
        known = {
            "jobinputtype": self._input_type,
            "uri": self._uri("input"),
            "mode": _ignore,
            "description": _ignore,
            "value": _ignore,
        }
        self._each(data, path, known, needs=("uri",) if not self._is_literal(data, path) else ())

    def _is_literal(self, data: Any, path: str) -> bool:
        found = isinstance(data, dict) and any(
            name.lower() == "jobinputtype" and str(value).lower() == "literal" for name, value in data.items()
        )
        if found:
            self._fail(path, "literal inputs belong to pipeline deployments; a model takes one data input")
        return found

    def _input_type(self, value: Any, path: str) -> None:
        kind = INPUT_TYPES.get(str(value).lower().replace("_", ""))
        if kind is not None:
            self._keep("input_type", kind, path)
        elif str(value).lower() != "literal":
            self._fail(path, f"found {shown(value)}, expected UriFolder or UriFile")

    def _uri(self, name: str) -> Callable[[Any, str], None]:
        def read(value: Any, path: str) -> None:
            if not isinstance(value, str) or not value.strip():
                self._fail(path, f"found {shown(value)}, expected a URI such as s3://bucket/folder")
            else:
                self._keep(name, value, path)

        return read

    def _outputs(self, data: Any, path: str) -> None:
        if not isinstance(data, dict) or len(data) > 1:
            self._fail(path, "expected at most one output, under any name")
            return
        for name, value in data.items():
            known = {
                "joboutputtype": self._output_type,
                "uri": self._uri("output"),
                "mode": _ignore,
                "description": _ignore,
            }
            self._each(value, f"{path}.{name}", known)

    def _output_type(self, value: Any, path: str) -> None:
        if str(value).lower().replace("_", "") not in INPUT_TYPES:
            self._fail(path, f"found {shown(value)}, expected UriFile or UriFolder")

    def _dataset(self, data: Any, path: str) -> None:
        """Azure ML's older form of the input."""
        self._each(data, path, {"datainputtype": self._dataset_type, "path": self._uri("input")}, needs=("path",))

    def _dataset_type(self, value: Any, path: str) -> None:
        if str(value).lower() != "dataurl":
            self._fail(
                path, f"found {shown(value)}, expected DataUrl: there are no registered data sets here, give a URI"
            )

    def _output_dataset(self, data: Any, path: str) -> None:
        def refuse(value: Any, place: str) -> None:
            self._fail(place, "there are no registered data stores here; give the whole URI as path")

        self._each(data, path, {"path": self._uri("output"), "datastoreid": refuse})

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


def _ignore(_: Any, __: str) -> None:
    """Take a field that changes nothing here."""
