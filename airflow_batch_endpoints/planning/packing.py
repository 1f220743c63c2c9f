"""From files to mini-batches and shards. Pure, and decided by the list and the settings alone."""

from __future__ import annotations

from collections.abc import Sequence

MAX_SHARDS = 10_000
"""Most shards of a job: each costs a claim and a commit, and every instance lists them."""
SHARDS_PER_SLOT = 32
"""As many shards are aimed at for every slot: enough that slots finish together, few enough that commits cost nothing."""
MAX_SHARD_BYTES = 64 * 2**20
"""Small mini-batches are put together up to this size: about what is lost when an instance dies."""


def pack(sizes: Sequence[int], *, mini_batch_size: int, slots: int) -> tuple[list[int], list[int]]:
    """Pack items, in their order, into mini-batches and those into shards.

    :param sizes: bytes of each item.
    :param mini_batch_size: most items of a mini-batch.
    :param slots: scoring processes of the whole job.
    :return: the first item of each mini-batch, and the first mini-batch of each shard.
    """
    mini_batches = list(range(0, len(sizes), mini_batch_size))
    target = sum(sizes) / max(1, slots * SHARDS_PER_SLOT)
    least = -(-len(mini_batches) // MAX_SHARDS)
    most = max(least, -(-len(mini_batches) // max(1, slots * SHARDS_PER_SLOT)))
    limit = min(max(target, 1), MAX_SHARD_BYTES)

    shards: list[int] = []
    filled, count = 0.0, 0
    for number, first in enumerate(mini_batches):
        size = sum(sizes[first : first + mini_batch_size])
        is_full = count >= most or (count >= least and filled + size > limit)
        if not shards or is_full:
            shards.append(number)
            filled, count = 0.0, 0
        filled += size
        count += 1
    return mini_batches, shards
