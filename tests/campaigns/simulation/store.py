"""One object store, and connections to it that are slow, fail, or lose the answer."""

from __future__ import annotations

import io
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, TypeVar

from airflow_batch_endpoints.exceptions import InfrastructureError
from tests.campaigns.simulation.world import Process, World

Result = TypeVar("Result")

KEYS_PER_PAGE = 1000
"""Keys that an object store gives for one request to list."""


@dataclass
class StoreFaults:
    """How a store misbehaves, while it does."""

    seconds: tuple[float, float] = (0.005, 0.05)
    """A request takes between these."""
    rate: float = 0.0
    """Share of the requests that go wrong."""
    left: int = 0
    """How many more may go wrong: then the store is well for good."""
    longest: float = 200.0
    """A delayed request lands within these seconds: more than a lease."""


KINDS = ("refused", "unanswered", "repeated", "late", "slow")
"""An error before the effect; an error after it; a lost answer and a second try by the library; an error, and the
effect comes later all the same; an answer that takes longer than a lease."""


@dataclass
class Bucket:
    """The objects, and how often what was asked."""

    objects: dict[str, bytes] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    times: dict[str, datetime] = field(default_factory=dict)
    """When each object was last written."""
    folders: dict[str, list[str]] = field(default_factory=dict)
    """Keys directly below each folder, sorted, to list without looking at every object."""

    def put(self, key: str, content: bytes, now: float = 0.0) -> None:
        """Set an object."""
        self.objects[key] = content
        self.times[key] = datetime.fromtimestamp(now, UTC)
        while key:
            folder = key.rpartition("/")[0]
            keys = self.folders.setdefault(folder, [])
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                return
            keys.insert(place, key)
            key = folder

    def remove(self, key: str) -> None:
        """Remove an object, and the folders that are then empty."""
        if self.objects.pop(key, None) is None:
            return
        while key:
            folder = key.rpartition("/")[0]
            self.folders[folder].remove(key)
            if self.folders[folder]:
                return
            key = folder


class Connection:
    """A process's way to the bucket. Implements :class:`~airflow_batch_endpoints.storage.store.Store`."""

    def __init__(
        self, world: World, bucket: Bucket, process: Process, faults: StoreFaults, dice: random.Random
    ) -> None:
        self._world = world
        self._bucket = bucket
        self._objects = bucket.objects
        self._process = process
        self._faults = faults
        self._dice = dice

    def _request(self, operation: str, effect: Callable[[], Result]) -> Result:
        """Travel there, take effect, travel back; anything may happen between any two of these."""
        process, world = self._process, self._world
        process.step()
        self._bucket.requests[operation] += 1
        world.sleep(self._dice.uniform(*self._faults.seconds))
        fault = self._fault()
        if fault == "refused":
            raise InfrastructureError(f"simulated: {operation} was refused")
        if fault == "late":
            world.start(lambda: effect() and None, delay=self._dice.uniform(0, self._faults.longest))
            raise InfrastructureError(f"simulated: {operation} timed out")
        if fault == "slow":
            world.sleep(self._dice.uniform(0, self._faults.longest))
        process.step()
        result = effect()
        process.step()
        world.sleep(self._dice.uniform(*self._faults.seconds))
        if fault == "unanswered":
            raise InfrastructureError(f"simulated: the answer to {operation} was lost")
        if fault == "repeated":
            result = effect()
        process.step()
        return result

    def _fault(self) -> str | None:
        faults = self._faults
        if faults.left <= 0 or self._dice.random() >= faults.rate:
            return None
        faults.left -= 1
        return self._dice.choice(KINDS)

    # -- what a store does --------------------------------------------------------------------------------------

    def create(self, key: str, content: bytes) -> bool:
        assert content, "some stores overwrite when asked to create an empty object"

        def effect() -> bool:
            if key not in self._objects:
                self._bucket.put(key, content, self._world.now)
            won = self._objects[key] == content
            self._bucket.requests["created" if won else "lost"] += 1
            return won

        return self._request("create", effect)

    def write(self, key: str, content: bytes) -> None:
        self._request("write", lambda: self._bucket.put(key, content, self._world.now))

    def read(self, key: str) -> bytes | None:
        return self._request("read", lambda: self._objects.get(key))

    def list(self, prefix: str) -> list[str]:
        def effect() -> list[str]:
            keys = self._bucket.folders.get(prefix, [])
            self._bucket.requests["further pages"] += len(keys) // KEYS_PER_PAGE
            return list(keys)

        return self._request("list", effect)

    def times(self, prefix: str) -> dict[str, datetime | None]:
        return {key: self._bucket.times.get(key) for key in self.list(prefix)}

    def delete(self, key: str) -> None:
        """Object by object: no store deletes a folder at once."""
        names = self._request("list", lambda: [n for n in self._objects if n == key or n.startswith(f"{key}/")])
        for name in names:
            self._request("delete", lambda name=name: self._bucket.remove(name))

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        buffer = io.BytesIO()
        yield buffer
        self.write(key, buffer.getvalue())

    @contextmanager
    def reader(self, key: str) -> Iterator[BinaryIO]:
        content = self.read(key)
        if content is None:
            raise FileNotFoundError(key)
        yield io.BytesIO(content)

    def copy(self, source: str, target: str) -> None:
        def effect() -> None:
            if source not in self._objects:
                raise FileNotFoundError(source)
            self._bucket.put(target, self._objects[source], self._world.now)

        self._request("copy", effect)

    def walk(self, prefix: str) -> Iterator[str]:
        yield from self._request("list", lambda: sorted(n for n in self._objects if n.startswith(f"{prefix}/")))
