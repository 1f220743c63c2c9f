"""Finding out whether a store keeps the one promise that everything rests on."""

from __future__ import annotations

import secrets

from airflow_batch_endpoints.jobs import layout
from airflow_batch_endpoints.storage.store import Store


def creates_exclusively(store: Store) -> bool:
    """Create one key twice: the second must fail, or two workers could both believe that a shard is theirs."""
    key = f"{layout.WORKING}/probe-{secrets.token_hex(6)}"
    try:
        return store.create(key, b"first") and not store.create(key, b"second")
    finally:
        store.delete(key)
