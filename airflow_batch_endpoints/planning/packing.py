"""From items to mini-batches and shards. Pure, and decided by the list and the settings alone."""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.int64]]

MAX_SHARDS = 10_000
"""Most shards of a job: each costs a claim and a commit, and every instance lists them."""
SHARDS_PER_SLOT = 32
"""As many shards are aimed at for every slot: enough that slots finish together, few enough that commits cost nothing."""
MAX_SHARD_BYTES = 64 * 2**20
"""Small mini-batches are put together up to this size: about what is lost when an instance dies."""


def group(weights: Numbers, limit: int) -> Numbers:
    """Group items, in their order, by weight.

    :param weights: of each item.
    :param limit: most weight of a group; what is heavier is a group by itself.
    :return: the first item of each group.
    """
    total = np.cumsum(weights)
    starts, first, before = [], 0, 0
    while first < len(total):
        starts.append(first)
        first = max(first + 1, int(np.searchsorted(total, before + limit, side="right")))
        before = int(total[first - 1])
    return np.array(starts, np.int64)


def shard(sizes: Numbers, *, slots: int) -> list[int]:
    """Pack mini-batches, in their order, into shards.

    :param sizes: bytes of each mini-batch.
    :param slots: scoring processes of the whole job.
    :return: the first mini-batch of each shard.
    """
    target = int(sizes.sum()) / max(1, slots * SHARDS_PER_SLOT)
    least = -(-len(sizes) // MAX_SHARDS)
    most = max(least, -(-len(sizes) // max(1, slots * SHARDS_PER_SLOT)))
    limit = min(max(target, 1), MAX_SHARD_BYTES)

    shards: list[int] = []
    filled, count = 0, 0
    for number, size in enumerate(sizes.tolist()):
        if not shards or count >= most or (count >= least and filled + size > limit):
            shards.append(number)
            filled, count = 0, 0
        filled += size
        count += 1
    return shards
