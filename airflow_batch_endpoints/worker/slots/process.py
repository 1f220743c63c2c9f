"""What runs in a slot process, and in the nursery that slots are forked from."""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback as tracebacks
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.worker import scoring
from airflow_batch_endpoints.worker.processes import signal_when_parent_ends
from airflow_batch_endpoints.worker.scoring import provenance
from airflow_batch_endpoints.worker.scoring.base import Scorer, ScriptCall
from airflow_batch_endpoints.worker.slots import sealing
from airflow_batch_endpoints.worker.slots.channel import Channel

MAX_MESSAGE, MAX_TRACEBACK = 2_000, 4_000


def main() -> None:
    """Load, then serve one coordinator: as a nursery (``--descriptors``) or as a single slot."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--slot", type=int, default=0)
    arguments = parser.parse_args()

    setup = json.loads(os.environ.pop("BATCH_ENDPOINTS_SLOT"))
    die_with_parent(setup["parent"])
    channel = Channel(socket.socket(fileno=arguments.socket))
    is_nursery = arguments.descriptors is not None
    # Importing and loading make little garbage: looking for it takes a sixth of their time.
    gc.disable()
    try:
        scorer = scoring.create(
            JobSpec.model_validate(setup["spec"]),
            model_path=setup["model_path"],
            code_path=setup["code_path"],
            scratch=setup["scratch"],
            script=ScriptCall(**setup["script"]),
        )
        scorer.load()
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, and all of it ends as text
        channel.send({"failure" if is_nursery else "init_failed": describe(error)})
        return
    # What is loaded stays; a collector that never looks at it leaves its memory shared with the slots that are forked.
    gc.freeze()
    gc.enable()
    if is_nursery:
        channel.send({"ready": {}})
        nurse(channel, socket.socket(fileno=arguments.descriptors), scorer, setup)
    else:
        serve(channel, scorer, setup, arguments.slot)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends."""
    if not signal_when_parent_ends(signal.SIGKILL, parent):
        os._exit(1)


def nurse(channel: Channel, descriptors: socket.socket, scorer: Scorer, setup: dict[str, Any]) -> None:
    """Fork a slot whenever the coordinator asks, and report how slots end."""
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([channel.fileno(), wake_reader], [], [])
        if wake_reader in readable:
            os.read(wake_reader, 4096)
            _report_exits(channel)
        if channel.fileno() not in readable:
            continue
        messages, alive = channel.receive_ready()
        for message in messages:
            _, (connection, output), _, _ = socket.recv_fds(descriptors, 1, 2)
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.setsid()
                die_with_parent(parent)
                channel.close()
                descriptors.close()
                os.dup2(output, 1)
                os.dup2(output, 2)
                for descriptor in (output, wake_reader, wake_writer):
                    os.close(descriptor)
                serve(Channel(socket.socket(fileno=connection)), scorer, setup, int(message["fork"]))
                os._exit(0)
            os.close(connection)
            os.close(output)
            channel.send({"pid": pid})
        if not alive:
            return


def _report_exits(channel: Channel) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send({"exited": pid, "code": os.waitstatus_to_exitcode(status)})


def serve(channel: Channel, scorer: Scorer, setup: dict[str, Any], slot: int) -> None:
    """Be a slot: ``init()`` once, then do what the coordinator says until it goes away."""
    try:
        scorer.init(slot)
    except BaseException as error:  # noqa: BLE001 - see main()
        channel.send({"init_failed": describe(error)})
        return
    spec = JobSpec.model_validate(setup["spec"])
    scratch = Path(setup["scratch"])
    while (message := channel.receive_one()) is not None:
        try:
            if "score" in message:
                channel.send({"started": {}})
                work = message["score"]
                batch = scorer.score([Item.of_message(item) for item in work["items"]])
                if spec.settings.provenance:
                    batch.table = provenance.add(batch.table, spec, int(work["attempt"]))
                channel.send({"scored": sealing.keep(batch, scratch)})
            else:
                channel.send({"sealed": sealing.seal(message["seal"], spec, setup["incarnation"])})
        except BaseException as error:  # noqa: BLE001 - scripts raise SystemExit too; the slot lives on
            channel.send({"failed": describe(error)})
    scorer.close()


def describe(error: BaseException) -> dict[str, Any]:
    """Put an exception into words; what it is stays here, for it may not be picklable, or not printable."""
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - an exception whose __str__ raises is still a failure to report
        message = f"(its message cannot be printed: {type(broken).__name__})"
    return {
        "error_type": type(error).__name__,
        "message": message[:MAX_MESSAGE],
        "traceback": _trace(error)[-MAX_TRACEBACK:],
    }


def _trace(error: BaseException) -> str:
    """Where it happened, without our own frames: people look for theirs."""
    ours = str(Path(__file__).parents[2])
    frames = [frame for frame in tracebacks.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    return "".join(tracebacks.format_list(frames[-10:]))


if __name__ == "__main__":
    main()
    sys.exit(0)
