"""One call under way per question, shared by everyone who asks it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SharedCalls(Generic[Answer]):
    """Starts a call when nobody is waiting for the same one, joins it otherwise. For one event loop.

    Nothing is kept once a call has ended: an answer is never older than the call that fetched it, and an
    error is told to those who waited for it and then forgotten.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Answer]] = {}

    def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, Answer]]) -> Awaitable[Answer]:
        """The answer of the call under `key`, which `start` begins if there is none under way.

        Whoever stops waiting leaves the call running for the others.
        """
        call = self._under_way.get(key)
        if call is None:
            call = self._under_way[key] = asyncio.create_task(start())
            call.add_done_callback(lambda ended: self._forget(key, ended))
        return asyncio.shield(call)

    def __len__(self) -> int:
        return len(self._under_way)

    def _forget(self, key: Hashable, ended: asyncio.Task[Answer]) -> None:
        del self._under_way[key]
        if not ended.cancelled():
            # Read, so that asyncio does not report an error that nobody waited for any more.
            ended.exception()
