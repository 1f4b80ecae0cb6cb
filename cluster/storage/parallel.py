"""Several calls at once: a store answers slowly, but many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_THREADS = 8

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def at_once(work: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
    """What `work` gives for each item, in their order. The first error is raised once all are done."""
    listed = list(items)
    if len(listed) < 2:
        return [work(item) for item in listed]
    with ThreadPoolExecutor(min(_THREADS, len(listed))) as pool:
        return list(pool.map(work, listed))
