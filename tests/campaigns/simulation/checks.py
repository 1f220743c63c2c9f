"""What must hold for every job, whatever happened to it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from airflow_batch_endpoints.exceptions import ModelError, StoppedError, ThresholdExceededError
from airflow_batch_endpoints.jobs.threshold import is_threshold_exceeded
from airflow_batch_endpoints.jobs.timeline import Timeline
from tests.campaigns.simulation.airflow import JOB, History, readable
from tests.campaigns.simulation.schedules import Schedule
from tests.campaigns.simulation.slots import rows_of


def expected_predictions(schedule: Schedule) -> bytes:
    """Return what an undisturbed run publishes."""
    rows = [row for item in range(schedule.items) if item not in schedule.behaviour for row in rows_of(item)]
    return "".join(["prediction\n", *(f'"{row}"\n' for row in rows)]).encode()


def check(history: History) -> None:
    """Raise ``AssertionError`` with a sentence when a promise is broken."""
    schedule, model = history.schedule, history.model
    bad = set(schedule.behaviour)
    _check_errors(history)
    # Who was hit three times from outside while it was tried alone, or its slot that often, may be taken for poison.
    suspects = {item for item, deaths in (model.deaths_alone + model.deaths_in_slot).items() if deaths >= 3} - bad
    if suspects:
        return
    is_exceeded = is_threshold_exceeded(schedule.error_threshold, failed=len(bad), listed=schedule.items)
    if is_exceeded or len(bad) == schedule.items:
        assert history.published is None, "published, though too many items failed"
        assert "manifest.json" not in history.bucket.objects or schedule.replaces
        return
    result = history.published
    assert result is not None, f"the job never completed: {history.errors}"
    assert (result["listed"], result["succeeded"], result["failed"]) == (
        schedule.items, schedule.items - len(bad), len(bad),
    ), result  # fmt: skip
    objects = history.bucket.objects
    assert objects["predictions.csv"] == expected_predictions(schedule), "predictions differ from an undisturbed run's"
    letters = [json.loads(line)["item"] for line in objects.get("dead_letters.jsonl", b"").splitlines()]
    assert letters == [f"{item:03}.csv" for item in sorted(bad)], f"dead letters {letters}, expected {sorted(bad)}"
    manifest = json.loads(objects["manifest.json"])
    assert manifest["job"] == JOB
    for file in [*manifest["files"], *([manifest["dead_letters"]] if manifest["dead_letters"] else [])]:
        assert len(objects[file["name"]]) == file["bytes"], f"{file} is not what the manifest says"
    assert readable(history.bucket) == history.at_publication, "a late process changed what was published"
    assert set(readable(history.bucket)) <= {"manifest.json", "predictions.csv", "dead_letters.jsonl"}
    assert ("dead_letters.jsonl" in objects) == bool(bad)
    _check_timeline(Timeline.model_validate_json(objects["_timeline.json"]), manifest)


def _check_timeline(timeline: Timeline, manifest: dict[str, Any]) -> None:
    """What stays of the working state is whole, though another publisher may have removed it meanwhile."""
    assert timeline.job == JOB
    committed = [span for span in timeline.spans if span.state == "committed"]
    assert sorted(span.shard for span in committed) == list(range(manifest["plan"]["shards"])), timeline
    assert all(span.started and span.ended and span.incarnation for span in committed), timeline
    done = Counter(span.incarnation for span in committed)
    assert done == Counter({one.incarnation: one.shards_done for one in timeline.instances if one.shards_done})
    for name in ("succeeded", "failed", "rows"):
        assert sum(getattr(one, name) for one in timeline.instances) == manifest["counts"][name], name


def _check_errors(history: History) -> None:
    """A submission may fail, but only for a reason that there was."""
    schedule = history.schedule
    for error in history.errors:
        if isinstance(error, ModelError):
            assert schedule.is_broken or schedule.init_failures >= 2, error
        if isinstance(error, StoppedError):
            assert schedule.cancel_after is not None, error
        if isinstance(error, ThresholdExceededError):
            assert schedule.error_threshold != -1, error
