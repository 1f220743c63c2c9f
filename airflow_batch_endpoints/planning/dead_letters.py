"""The dead letters of a published job, as the work of another one.

The rule: the input of the old job is listed again, and of it what its dead letters name. So paths, URIs and limits are those of any
job, and what has left the input since is not scored. Where only the number of failed items is known, all that may be meant are
scored: better twice in two jobs than never.
"""

from __future__ import annotations

import json
import logging
import os

from airflow_batch_endpoints.exceptions import InputError
from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.jobs.spec import Replay
from airflow_batch_endpoints.planning.items import RowRange
from airflow_batch_endpoints.planning.listing import Listing
from airflow_batch_endpoints.storage import open_store
from airflow_batch_endpoints.storage.store import Store
from airflow_batch_endpoints.storage.uris import shown_path

log = logging.getLogger(__name__)


def select(listing: Listing, replay: Replay) -> Listing:
    """Return what of an input the dead letters of a job name.

    :param listing: the input of that job, as it is now.
    :param replay: which job, and where its output is.
    :raises InputError: it has no dead letters, or nothing of them is left.
    """
    named = read(open_store(replay.output_uri), replay)
    selected, found = Listing(listing.root), 0
    paths, sizes = listing.sorted()
    for path, size in zip(paths.to_pylist(), sizes.to_pylist(), strict=True):
        name = shown_path(os.fsdecode(path))
        if name in named:
            selected.add(path, size)
            found += 1
            if named[name]:
                selected.ranges[path] = named[name]
    if not found:
        raise InputError(f"none of the {len(named)} dead letters of job {replay.job!r} is in its input any more")
    log.info("scoring the dead letters of job %s again: %d files, whole or in part", replay.job, found)
    if found < len(named):
        log.warning("%d skipped: they are not in the input any more", len(named) - found)
    return selected


def read(store: Store, replay: Replay) -> dict[str, tuple[RowRange, ...]]:
    """Return the paths that the dead letters of a job name, as they are shown, with the row ranges; without any for whole files.

    :param store: the output of that job.
    :raises InputError: it has published nothing, or no dead letters.
    """
    content = store.read(layout.MANIFEST)
    manifest = {} if content is None else json.loads(content)
    if manifest.get("job") != replay.job:
        there = f"the output of job {manifest['job']!r} is there" if manifest else "there is no manifest"
        raise InputError(
            f"job {replay.job!r} has published nothing at {replay.output_uri} ({there}); only a completed job can be replayed"
        )
    if not manifest.get("dead_letters"):
        raise InputError(
            f"job {replay.job!r} has no dead letters: all of its items succeeded, so there is nothing to replay"
        )
    named: dict[str, set[RowRange]] = {}
    whole: set[str] = set()
    try:
        with store.reader(layout.DEAD_LETTERS) as lines:
            for line in lines:
                letter = json.loads(line)
                if "range" in letter:
                    named.setdefault(letter["item"], set()).add(RowRange.of_message(letter["range"]))
                else:
                    # Of letters that nothing is known of but their number, the first has the candidates of all.
                    whole.update(letter.get("candidates", ()) if letter["item"] is None else [letter["item"]])
    except FileNotFoundError:
        raise InputError(f"the dead letters of job {replay.job!r} are gone from {replay.output_uri}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{layout.DEAD_LETTERS} of job {replay.job!r} holds what is no dead letter; was it changed?"
        ) from None
    ranges = {name: tuple(sorted(found, key=lambda span: span.start)) for name, found in named.items()}
    return {**ranges, **dict.fromkeys(whole, ())}
