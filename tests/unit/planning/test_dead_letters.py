from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.documents.sizes import Size
from airflow_batch_endpoints.exceptions import InputError
from airflow_batch_endpoints.jobs.spec import Replay
from airflow_batch_endpoints.planning import dead_letters
from airflow_batch_endpoints.planning import plan as plans
from airflow_batch_endpoints.planning.items import RowRange
from airflow_batch_endpoints.planning.listing import Listing
from airflow_batch_endpoints.storage.uris import shown_path


def letter(item: str | None, *candidates: str, **more: Any) -> str:
    named: dict[str, Any] = {"item": item} if item is not None else {"item": None, "candidates": candidates}
    content = {**named, "mini_batch": 0, "attempts": 1, "error_type": "E", "message": "", "traceback": "", **more}
    return json.dumps(content) + "\n"


def alike(first: str) -> str:
    """A letter beyond the first of those that nothing is known of but their number."""
    return json.dumps({key: value for key, value in json.loads(first).items() if key != "candidates"}) + "\n"


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    return Replay(job="old", output_uri=tmp_path.as_uri())


def listing_of(files: dict[str, int], root: str = "file:///in") -> Listing:
    listing = Listing(root)
    for path, size in files.items():
        listing.add(os.fsencode(path), size)
    return listing


def files_of(listing: Listing) -> dict[str, int]:
    paths, sizes = listing.sorted()
    return {os.fsdecode(path): size for path, size in zip(paths.to_pylist(), sizes.to_pylist(), strict=True)}


def publish(replay: Replay, *letters: str, job: str = "old") -> None:
    folder = Path(replay.output_uri.removeprefix("file://"))
    described = {"name": "dead_letters.jsonl", "rows": len(letters)} if letters else None
    (folder / "manifest.json").write_text(json.dumps({"job": job, "dead_letters": described}))
    (folder / "dead_letters.jsonl").write_text("".join(letters))


def test_what_the_letters_name_is_selected_in_the_inputs_order(replay: Replay) -> None:
    odd = os.fsdecode(b"odd-\xff.csv")
    listing = listing_of({"a": 1, "b/c": 2, "d": 3, "e": 4, odd: 5}, "s3://lake/raw")
    publish(replay, letter(shown_path(odd)), letter("b/c"), letter(None, "d", "a"), alike(letter(None, "d", "a")))
    selected = dead_letters.select(listing, replay)
    assert selected.root == "s3://lake/raw"
    assert files_of(selected) == {"a": 1, "b/c": 2, "d": 3, odd: 5}, (
        "where only a number is known, all that may be meant"
    )
    assert selected.ranges == {}


SPAN = {"start": 10, "end": 20, "first_row": 5, "rows": 2, "header": 4, "file_size": 100}


def test_of_a_file_only_the_rows_that_failed_are_scored_again(replay: Replay) -> None:
    last = {**SPAN, "start": 90, "end": 100, "first_row": 45}
    publish(
        replay, letter("a.csv", range=last), letter("a.csv", range=SPAN), letter("b.csv"), letter("b.csv", range=SPAN)
    )
    selected = dead_letters.select(listing_of({"a.csv": 100, "b.csv": 100}), replay)
    for amount in (1, 10):
        plan = plans.make(selected, size=Size(amount, "files"), slots=1)
        items = [
            item
            for number in range(plan.shard_count)
            for batch in plan.shard(number).mini_batches
            for item in batch.items
        ]
        assert [(item.path, item.range) for item in items] == [
            ("a.csv", RowRange(**SPAN)), ("a.csv", RowRange(**last)), ("b.csv", None)
        ]  # fmt: skip
    whole = plans.make(selected, size=Size(1, "files"), slots=1, cut_files=False)
    assert whole.items == 2, "a script gets whole files"


def test_only_what_is_in_the_input_is_selected(replay: Replay, caplog: pytest.LogCaptureFixture) -> None:
    publish(replay, letter("gone"), letter("../../etc/passwd"), letter("a"))
    assert files_of(dead_letters.select(listing_of({"a": 1, "b": 2}), replay)) == {"a": 1}
    assert "2 skipped" in caplog.text
    with pytest.raises(InputError, match="none of the 3 dead letters"):
        dead_letters.select(listing_of({"b": 2}), replay)


@pytest.mark.parametrize(
    ("letters", "job", "sentence"),
    [
        ([], "old", "has no dead letters"),
        ([letter("a")], "other", "the output of job 'other' is there"),
        (["{\n"], "old", "no dead letter"),
        (["{}\n"], "old", "no dead letter"),
        (["[]\n"], "old", "no dead letter"),
        ([letter("a", range={**SPAN, "rows": -1})], "old", "no dead letter"),
        ([letter("a", range={**SPAN, "more": 1})], "old", "no dead letter"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_a_sentence(
    replay: Replay, letters: list[str], job: str, sentence: str
) -> None:
    publish(replay, *letters, job=job)
    with pytest.raises(InputError, match=sentence):
        dead_letters.select(listing_of({"a": 1}), replay)


def test_a_job_that_is_not_complete_cannot_be_replayed(replay: Replay) -> None:
    with pytest.raises(InputError, match="published nothing"):
        dead_letters.select(listing_of({"a": 1}), replay)
    publish(replay, letter("a"))
    Path(replay.output_uri.removeprefix("file://"), "dead_letters.jsonl").unlink()
    with pytest.raises(InputError, match="are gone"):
        dead_letters.select(listing_of({"a": 1}), replay)
