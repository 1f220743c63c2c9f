"""The simulated machine below the real commands: their store, slots, clock, signals, process table and dice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning import packing
from airflow_batch_endpoints.planning.listing import Listing
from airflow_batch_endpoints.worker.commands import plan, publish, score
from airflow_batch_endpoints.worker.ledger import ProcessIdentity
from airflow_batch_endpoints.worker.slots import sealing
from tests.campaigns.simulation.schedules import LEASE
from tests.campaigns.simulation.slots import SimulatedSlots
from tests.campaigns.simulation.store import Connection
from tests.campaigns.simulation.world import Process, current

if TYPE_CHECKING:
    from tests.campaigns.simulation.airflow import Job

OUTPUT = "s3://bucket/out"


class Machine:
    """What the commands find instead of a computer. Whose it is depends on the process that asks.

    :param job: the job all of it is for.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    @staticmethod
    def store(uri: str) -> Connection:
        assert uri == OUTPUT
        return _process().state["store"]  # type: ignore[no-any-return]

    @contextmanager
    def slots(self, spec: JobSpec, scratch: Path, incarnation: str, script: object) -> Iterator[SimulatedSlots]:
        me, count = _process(), spec.settings.max_concurrency_per_instance
        me.step()
        slots = me.state["slots"] = SimulatedSlots(me, count, self._job.model, spec, incarnation, scratch)
        yield slots
        for slot in range(count):
            slots.kill(slot)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        yield self._job.scratch

    @staticmethod
    @contextmanager
    def signals(request_stop: Callable[[], None]) -> Iterator[None]:
        _process().request_stop = request_stop
        yield

    @staticmethod
    def clock() -> Process:
        return _process()

    def identify(self) -> ProcessIdentity | None:
        if not self._job.schedule.one_host:
            return None
        return ProcessIdentity(boot="b", pid_namespace=1, pid=_process().number, start_ticks=1)

    def is_gone(self, identity: ProcessIdentity) -> bool:
        return self._job.world.processes[identity.pid].exit_code is not None

    def token(self, length: int = 8) -> str:
        return f"{self._job.dice.getrandbits(length * 8):0{length * 2}x}"

    def listing(self, *_: object) -> Listing:
        listing = Listing("s3://bucket/in")
        for path, size in self._job.files:
            listing.add(path.encode(), size)
        return listing


class _Silent:
    """Takes progress, and says nothing."""

    def __init__(self, *_: object) -> None: ...
    def __call__(self, *_: object) -> None: ...
    def say(self, *_: object) -> None: ...


def _process() -> Process:
    found = current().process
    assert found is not None
    return found


@contextmanager
def installed(job: Job) -> Iterator[None]:
    """Put the machine below the real commands."""
    machine = Machine(job)
    with ExitStack() as patches:
        for target, name, value in (
            (plan, "open_store", machine.store),
            (plan, "list_input", machine.listing),
            (packing, "SHARDS_PER_SLOT", job.schedule.shards_per_slot),
            (score, "open_store", machine.store),
            (score, "scratch", machine.scratch),
            (score, "_slots", machine.slots),
            (score, "_stopping_on_sigterm", machine.signals),
            (score, "_Clock", machine.clock),
            (score, "ProgressLines", _Silent),
            (score.processes, "identify", machine.identify),
            (score.processes, "is_gone", machine.is_gone),
            (score.secrets, "token_hex", machine.token),
            (sealing, "open_store", machine.store),
            (publish, "open_store", machine.store),
        ):
            patches.enter_context(patch.object(target, name, value))
        patches.enter_context(patch.dict("os.environ", {"BATCH_ENDPOINTS_LEASE_SECONDS": str(LEASE)}))
        yield
