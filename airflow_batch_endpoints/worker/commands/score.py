"""``score``: one instance at work, from fetching the model to the last shard."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_batch_endpoints.jobs import environment, layout, lines
from airflow_batch_endpoints.jobs.pinned import PinnedJob
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning import plan as plans
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.worker import models, processes
from airflow_batch_endpoints.worker.directory import pinned_job
from airflow_batch_endpoints.worker.environments import building
from airflow_batch_endpoints.worker.ledger import Ledger
from airflow_batch_endpoints.worker.protocol.coordinator import Coordinator, Progress
from airflow_batch_endpoints.worker.protocol.rules import Rules
from airflow_batch_endpoints.worker.scoring.base import ScriptCall
from airflow_batch_endpoints.worker.scratch import scratch
from airflow_batch_endpoints.worker.slots.pool import SlotPool, SlotSetup

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0
"""Least seconds between two progress lines."""
DEFAULT_LEASE_SECONDS = 60.0
LEAST_INIT_SECONDS = 600.0
"""A model may take this long to load, whatever the timeout of a ``run()``."""
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
"""Has the C library keep the memory of one mini-batch for the next.

By its own rules it gives matrices of some megabytes back to the kernel, which clears every page again before the next use: a fifth
of the work of a cheap model.
"""


def run(
    output_uri: str,
    job: str,
    submission: str,
    *,
    instance: int,
    script: Callable[[Path], ScriptCall] = lambda _: ScriptCall(),
) -> dict[str, Any]:
    """Score shards of a planned job until none is left.

    :param output_uri: folder of the job.
    :param job: name of the job.
    :param submission: which submission of the job this is.
    :param instance: number of this instance, from 0.
    :param script: returns how the scoring script is called, given a folder for what it needs.
    :return: ``outcome`` (``done``, or ``nothing_left`` when the others had done it all) and the counts of this instance.
    """
    store = open_store(output_uri)
    incarnation = f"{instance}-{secrets.token_hex(4)}"
    ledger = Ledger(store, job=job, incarnation=incarnation, submission=submission)
    if ledger.is_published():
        log.info("the predictions of %s are published already; nothing is left to do", job)
        return _result("nothing_left", Progress(shards=0))
    pinned = pinned_job(store, job)
    spec = pinned.spec
    logging.getLogger().setLevel(spec.settings.logging_level.upper())
    is_static = spec.settings.distribution == "static"
    ledger = Ledger(store, job=job, incarnation=incarnation, submission=submission, exclusive=not is_static)
    if not is_static and len(ledger.committed()) == pinned.summary.shards:
        log.info("all %d shards are committed already; nothing is left to do", pinned.summary.shards)
        return _result("nothing_left", Progress(shards=pinned.summary.shards))

    report = ProgressLines(pinned)
    with scratch() as folder, _slots(spec, folder, incarnation, script) as slots:
        coordinator = Coordinator(
            plan=plans.read(store, f"{layout.WORKING}/{pinned.plan}"),
            ledger=ledger,
            slots=slots,
            clock=_Clock(),
            rules=_rules(pinned, instance),
            report=report,
            process=processes.identify(),
            is_gone=processes.is_gone,
        )
        with _stopping_on_sigterm(coordinator.request_stop):
            log.info("instance %d starts with %d slots as %s", instance, slots.count, incarnation)
            progress = coordinator.run()
    report.say(progress)
    if ledger.is_published():
        ledger.sweep()
    return _result("done" if progress.shards_done else "nothing_left", progress)


def _rules(pinned: PinnedJob, instance: int) -> Rules:
    settings = pinned.spec.settings
    timeout = float(settings.retry_settings.timeout)
    return Rules(
        instance=instance,
        instances=pinned.summary.instances,
        listed=pinned.summary.items,
        max_retries=settings.retry_settings.max_retries,
        timeout=timeout,
        init_timeout=max(LEAST_INIT_SECONDS, timeout),
        error_threshold=settings.error_threshold,
        lease=float(os.environ.get("BATCH_ENDPOINTS_LEASE_SECONDS", DEFAULT_LEASE_SECONDS)),
        static=settings.distribution == "static",
    )


@contextmanager
def _slots(spec: JobSpec, scratch: Path, incarnation: str, script: Callable[[Path], ScriptCall]) -> Iterator[SlotPool]:
    """Fetch model and code once for the instance, and offer slots that use them."""
    model = models.fetch(spec, scratch / "fetched")
    code = models.fetch_code(spec, scratch / "fetched")
    python, variables = [sys.executable], slot_environment(spec, model and models.model_dir(spec, model, scratch))
    if spec.environment is not None:
        built = building.interpreter(spec.environment)
        package = building.expose_package(scratch / "package")
        # -P: nothing is imported from the folder that the coordinator happens to be in.
        python, variables = [str(built), "-P"], building.variables(variables, built, package)
    pool = SlotPool(
        count=spec.settings.max_concurrency_per_instance,
        setup=SlotSetup(
            spec=spec.model_dump(mode="json"),
            model_path=None if model is None else str(model),
            code_path=None if code is None else str(code),
            scratch=str(scratch),
            incarnation=incarnation,
            parent=os.getpid(),
            script=script(scratch),
        ),
        python=python,
        environment=variables,
        start_method=spec.settings.slot_start_method,
        memory_bytes=spec.memory_bytes,
        devices=devices(spec.launch.gpus, os.environ.get("CUDA_VISIBLE_DEVICES")),
    )
    try:
        yield pool
    finally:
        pool.close()


def devices(count: int, visible: str | None) -> list[str]:
    """Return an accelerator for each slot, as ``CUDA_VISIBLE_DEVICES`` names it.

    :param count: how many the instance asked for.
    :param visible: what the container runtime says is there; it numbers them from 0 when it says nothing.
    """
    named = [name.strip() for name in (visible or "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def slot_environment(spec: JobSpec, model_dir: Path | None) -> dict[str, str]:
    """Return the whole environment of a slot: what its worker lets it see, and what the deployment sets."""
    threads = max(1, len(os.sched_getaffinity(0)) // spec.settings.max_concurrency_per_instance)
    return {
        # Slots share the processors; a numeric library that takes all of them in each slot only gets in the way.
        "OMP_NUM_THREADS": str(threads),
        **ALLOCATOR,
        **environment.for_scripts(os.environ, is_pod=spec.launch.is_pod),
        **spec.settings.environment_variables,
        **({} if model_dir is None else {"AZUREML_MODEL_DIR": str(model_dir)}),
    }


@contextmanager
def _stopping_on_sigterm(request_stop: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: request_stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class ProgressLines:
    """Says, at most once a second, how far this instance is; the launcher reads these lines."""

    def __init__(self, pinned: PinnedJob) -> None:
        self._shards = pinned.summary.shards
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Say it unless it was said a moment ago."""
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self.say(progress)

    def say(self, progress: Progress) -> None:
        """Say it."""
        print(lines.PROGRESS_PREFIX + json.dumps(asdict(progress)), flush=True)  # noqa: T201 - the launcher's protocol


class _Clock:
    def monotonic(self) -> float:
        return time.monotonic()


def _result(outcome: str, progress: Progress) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "shards": progress.shards_done,
        "items": progress.items,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "rows": progress.rows,
    }
