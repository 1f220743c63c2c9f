"""What every document store must do; run against each of them, in a test process, a database process and a task."""

from __future__ import annotations

from airflow_batch_endpoints.exceptions import ConflictError
from airflow_batch_endpoints.registry.store import DocumentStore

KEY = "batch_endpoints.contract."


def missing_is_none(store: DocumentStore) -> None:
    assert store.get(f"{KEY}missing") is None
    assert store.keys(f"{KEY}missing") == []


def what_is_set_is_got(store: DocumentStore) -> None:
    store.write({f"{KEY}a": "1", f"{KEY}b": '{"ü": "%"}'}, {})
    assert store.get(f"{KEY}a") == "1"
    assert store.get(f"{KEY}b") == '{"ü": "%"}'
    store.write({f"{KEY}a": "2"}, {f"{KEY}a": "1"})
    assert store.get(f"{KEY}a") == "2"


def keys_are_those_with_the_prefix(store: DocumentStore) -> None:
    store.write(
        {f"{KEY}x.b": "1", f"{KEY}x.a": "1", f"{KEY}xy": "1", "batch_endpoints.other": "1", f"{KEY}x_b": "1"}, {}
    )
    assert store.keys(f"{KEY}x.") == [f"{KEY}x.a", f"{KEY}x.b"]


def deleting(store: DocumentStore) -> None:
    store.write({f"{KEY}gone": "1"}, {})
    store.write({f"{KEY}gone": None}, {f"{KEY}gone": "1"})
    assert store.get(f"{KEY}gone") is None
    store.write({f"{KEY}gone": None}, {})


def stale_writes_change_nothing(store: DocumentStore) -> None:
    store.write({f"{KEY}s": "new", f"{KEY}t": "old"}, {})
    for expected in ({f"{KEY}s": "old"}, {f"{KEY}s": None}, {f"{KEY}never": "1"}):
        try:
            store.write({f"{KEY}s": "mine", f"{KEY}t": "mine"}, expected)
        except ConflictError as error:
            assert "changed by somebody else" in str(error)
        else:
            raise AssertionError(expected)
    assert (store.get(f"{KEY}s"), store.get(f"{KEY}t")) == ("new", "old")


CHECKS = (missing_is_none, what_is_set_is_got, keys_are_those_with_the_prefix, deleting, stale_writes_change_nothing)
