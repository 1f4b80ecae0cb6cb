"""Stores for tests of the lake: in memory, one that dies, and several whose calls take turns."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem

from cluster.errors import ObjectMissing
from cluster.storage.objects import ObjectInfo, check_key


class MemoryStore:
    """An object store in a dictionary. Its file system is empty: small files are not read through it."""

    uri = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def prepare(self) -> None:
        pass

    def put(self, key: str, data: bytes) -> None:
        check_key(key)
        self.objects[key] = data

    def put_new(self, key: str, data: bytes) -> bool:
        check_key(key)
        return self.objects.setdefault(key, data) == data

    def put_file(self, key: str, path: Path) -> None:
        self.put(key, path.read_bytes())

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectMissing("there is no such object", key) from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and key in self.objects:
                yield ObjectInfo(key, len(self.objects[key]), 0)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def move(self, key: str, to: str) -> None:
        self.objects[to] = self.get(key)
        del self.objects[key]

    def filesystem(self) -> tuple[Any, str]:
        return LocalFileSystem(), "/nowhere"


class Killed(BaseException):
    """The process ends here: nothing catches it."""


class StepStore:
    """Calls `step` before every single thing that is asked of the store beneath.

    Deleting goes key by key. Listing goes in pages of two keys, as a bucket does it, or finds all names
    first and then leaves out those that are gone, as a folder does: what others do meanwhile is seen in part.
    """

    def __init__(self, below: MemoryStore, step: Any, snapshot: bool = False) -> None:
        self._below = below
        self._step = step
        self._snapshot = snapshot
        self.uri = below.uri

    def prepare(self) -> None:
        self._below.prepare()

    def put(self, key: str, data: bytes) -> None:
        self._step()
        self._below.put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        self._step()
        return self._below.put_new(key, data)

    def put_file(self, key: str, path: Path) -> None:
        self._step()
        self._below.put_file(key, path)

    def get(self, key: str) -> bytes:
        self._step()
        return self._below.get(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if self._snapshot:
            self._step()
            for one in list(self._below.list(prefix)):
                self._step()
                if one.key in self._below.objects:
                    yield one
            return
        last = ""
        while True:
            self._step()
            page = [one for one in self._below.list(prefix) if one.key > last][:2]
            if not page:
                return
            yield from page
            last = page[-1].key

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step()
            self._below.delete([key])

    def move(self, key: str, to: str) -> None:
        data = self._below.get(key)
        self._step()
        self._below.put(to, data)
        self._step()
        self._below.delete([key])

    def filesystem(self) -> tuple[Any, str]:
        return self._below.filesystem()


def dying(below: MemoryStore, after: int) -> StepStore:
    """A store whose user is killed at its call number `after`."""
    calls = iter(range(after))

    def step() -> None:
        if next(calls, None) is None:
            raise Killed

    return StepStore(below, step)


def random_schedule(seed: int, parties: int) -> list[int]:
    """Whose turn it is, in runs of any length."""
    draw = random.Random(seed)
    return [
        party for _ in range(150) for party in [draw.randrange(parties)] * draw.choice([1, 1, 2, 3, 9, 50])
    ]


class Turns:
    """Lets several threads go one step at a time, in the order of a schedule; then as they like."""

    def __init__(self, schedule: list[int]) -> None:
        self._schedule = list(reversed(schedule))
        self._changed = threading.Condition()
        self._gone: set[int] = set()

    def step(self, party: int) -> None:
        """Wait for the turn of this party and take it."""
        with self._changed:
            self._changed.wait_for(lambda: self._whose() in (party, None), timeout=60)
            if self._schedule:
                self._schedule.pop()
            self._changed.notify_all()

    def leave(self, party: int) -> None:
        """This party takes no more turns."""
        with self._changed:
            self._gone.add(party)
            self._changed.notify_all()

    def _whose(self) -> int | None:
        while self._schedule and self._schedule[-1] in self._gone:
            self._schedule.pop()
        return self._schedule[-1] if self._schedule else None
