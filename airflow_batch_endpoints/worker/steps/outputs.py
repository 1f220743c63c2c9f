"""What a step makes: where its command writes, how that becomes an output, and whether an output is still what it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from airflow_batch_endpoints.exceptions import InfrastructureError, InputError, UserError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.pipeline import StepOutput, StepSpec
from airflow_batch_endpoints.jobs.steps import PublishedFile, PublishedOutput
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.contents import Contents, contents
from airflow_batch_endpoints.storage.uris import is_local, join, local_path, shown
from airflow_batch_endpoints.worker.steps import transfer

MLMODEL = "MLmodel"


class Outputs:
    """The outputs of one incarnation of a step. Nobody reads them before the step's ``done.json`` names them.

    In a local job folder the command writes where its outputs stay; elsewhere into a folder of this machine, and in the end
    what is there is uploaded.

    :param output_uri: folder of the job.
    :param scratch: folder of this machine.
    """

    def __init__(self, step: StepSpec, output_uri: str, incarnation: str, scratch: Path) -> None:
        self._step = step
        self._store = open_store(output_uri)
        self._incarnation = incarnation
        self._output_uri = output_uri
        self._is_here = is_local(output_uri)
        self._folder = scratch
        if self._is_here:
            self._folder = Path(local_path(join(output_uri, layout.step_outputs(step.name, incarnation))))

    def prepare(self) -> dict[str, str]:
        """Make the folders, and return what the command is told of each output: a local path, or the URI."""
        self._folder.mkdir(parents=True, exist_ok=True)
        told = {}
        for name, output in self._step.outputs.items():
            if output.type != "uri_file" and output.mode != "direct":
                (self._folder / name).mkdir()
            told[name] = self._uri(name) if output.mode == "direct" else str(self._folder / name)
        return told

    def keep(self) -> dict[str, PublishedOutput]:
        """Return the outputs, stored. :raises UserError: one is missing, of another type, or holds a link that leads outside."""
        return {name: self._keep(name, output) for name, output in self._step.outputs.items()}

    def _keep(self, name: str, output: StepOutput) -> PublishedOutput:
        if output.mode == "direct":
            files = [PublishedFile(name=file.path, bytes=file.size) for file in _look(self._uri(name), name).files]
        else:
            found = dict(_files(self._folder / name, name))
            for file in found:
                if not file.isprintable():
                    raise UserError(
                        f"output {name} holds a file whose name not every store can take: {shown(file)}; give it another"
                    )
            _require_type(name, output, set(found))
            calls = [partial(self._store_file, name, file, path) for file, path in found.items()]
            files = transfer.in_threads(calls)
        return identified(PublishedOutput(type=output.type, uri=self._uri(name), files=tuple(files)))

    def _store_file(self, name: str, file: str, path: Path) -> PublishedFile:
        if self._is_here:
            return transfer.digest(path, file)
        key = layout.step_output(self._step.name, self._incarnation, name)
        return transfer.keep(self._store, f"{key}/{file}" if file else key, path, file)

    def _uri(self, name: str) -> str:
        return join(self._output_uri, layout.step_output(self._step.name, self._incarnation, name))


def _files(path: Path, output: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of an output with their names in it. A link within the output becomes a file of its own."""
    if not path.is_dir() or path.is_symlink():
        if os.path.lexists(path):
            _replace_link(path, path, output)
            yield "", path
        return
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            _replace_link(Path(folder, name), path, output)
        # What was a link to a folder is walked through as the folder that it is now.
        folders[:] = [name for name in folders if Path(folder, name).is_dir()]
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                yield file.relative_to(path).as_posix(), file


def _replace_link(path: Path, top: Path, output: str) -> None:
    """Put a copy in the place of a link. :raises UserError: it leads outside of the output, or to nothing."""
    if not path.is_symlink():
        return
    target, within = Path(os.path.realpath(path)), os.path.realpath(top.parent if path == top else top)
    if not target.exists() or not target.is_relative_to(within):
        raise UserError(
            f"output {output}: {shown(path.name)} is a link to {shown(os.readlink(path))}, which is not in the output; let the "
            "command copy it"
        )
    if path.is_relative_to(target):
        raise UserError(f"output {output}: {shown(path.name)} is a link to a folder that it is in")
    path.unlink()
    if target.is_dir():
        shutil.copytree(target, path, symlinks=True)
    else:
        shutil.copy2(target, path)


def _require_type(name: str, output: StepOutput, files: set[str]) -> None:
    is_file = files == {""}
    if output.type == "uri_file" and not is_file:
        found = "a folder is there" if files else "nothing is there"
        raise UserError(
            f"output {name} is a uri_file, and {found} after the command: let it write one file, by the name that "
            f"${{{{outputs.{name}}}}} stands for"
        )
    if output.type in ("uri_folder", "mlflow_model") and is_file:
        raise UserError(f"output {name} is a {output.type}, and the command has left a file there instead of a folder")
    if output.type == "mlflow_model" and MLMODEL not in files:
        raise UserError(f"output {name} is an mlflow_model, and the command has left no file {MLMODEL} in its folder")


def identified(output: PublishedOutput) -> PublishedOutput:
    """Return an output whose files have the identity that their store gives them.

    :raises InfrastructureError: the store holds something else than was put there.
    """
    if not output.files:
        return output
    there = {file.path: file for file in contents(output.uri, (output.uri,)).files}
    if {name: file.size for name, file in there.items()} != {file.name: file.bytes for file in output.files}:
        raise InfrastructureError(
            f"{shown(output.uri)} does not hold what was just written there; something else writes there"
        )
    files = [file.model_copy(update={"identity": there[file.name].identity}) for file in output.files]
    return output.model_copy(update={"files": tuple(files)})


def verify(output: PublishedOutput) -> None:
    """Make sure that an output is what it was when it was published.

    :raises InputError: it is not, or it is gone.
    """
    found = {file.path: file.identity for file in _look(output.uri).files}
    known = {file.name: file.identity for file in output.files}
    if found == known:
        return
    odd = sorted(name for name in {*found, *known} if found.get(name) != known.get(name))
    raise InputError(
        f"{shown(output.uri)} is not what its step published: {shown(odd[0] or output.uri.rpartition('/')[2])} was changed, "
        "added or removed since; start a new job"
    )


def is_unchanged(outputs: Mapping[str, PublishedOutput]) -> bool:
    """Tell whether outputs are what they were when they were published."""
    try:
        for output in outputs.values():
            verify(output)
    except InputError:
        return False
    return True


def _look(uri: str, output: str | None = None) -> Contents:
    """Return what is there; nothing is an empty folder."""
    try:
        return contents(uri, (uri,))
    except InputError:
        if output is not None:
            raise UserError(
                f"output {output}: the command was to write to {shown(uri)}, and nothing is there"
            ) from None
        return Contents(uri, is_file=False, files=())
