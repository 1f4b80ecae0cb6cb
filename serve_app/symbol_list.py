"""Which symbols are watched, as last told by the supervisor."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from features.errors import UnknownSymbol
from serve_app.errors import SupervisorUnreachable
from serve_app.shared_calls import SharedCalls

Entries = Mapping[str, Mapping[str, Any]]

_NEAREST = 20
_log = logging.getLogger(__name__)


class SymbolList:
    """A copy of the supervisor's list, fresh enough to route by. For one event loop.

    A look-up older than `fresh_s` starts a new look behind its back and goes on with what it has, so
    that forecasts are served on while the supervisor restarts. One look is under way at a time.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Entries]],
        now_s: Callable[[], float],
        fresh_s: float = 1.0,
        oldest_s: float = 5.0,
    ) -> None:
        self._read = read
        self._now_s = now_s
        self._fresh_s = fresh_s
        self._oldest_s = oldest_s
        self._looks: SharedCalls[None] = SharedCalls()
        self._entries: Entries = {}
        self._by_upper: dict[str, str] = {}
        self._read_at_s = -math.inf
        self._look_again_at_s = -math.inf
        self._reachable = True

    def find(self, symbol: str) -> str | None:
        """The name of a watched symbol as it is spelled here, None for any other. Never waits.

        Upper and lower case are the same where that leaves one symbol only.
        """
        if self._now_s() >= self._look_again_at_s:
            self._look_behind()
        if symbol in self._entries:
            return symbol
        return self._by_upper.get(symbol.upper()) if symbol.isascii() else None

    async def resolve(self, symbol: str) -> str:
        """As `find`, after a new look if the symbol was not in the list: it may have just been added.

        Raises UnknownSymbol with the nearest known ones, or SupervisorUnreachable.
        """
        name = self.find(symbol)
        if name is None:
            await self._look()
            name = self.find(symbol)
        if name is None:
            raise UnknownSymbol(symbol, nearest(symbol, self._entries))
        return name

    def entry(self, name: str) -> Mapping[str, Any]:
        """What the supervisor last said of a symbol; empty for one that it did not name."""
        return self._entries.get(name, {})

    async def entries(self) -> Entries:
        """The whole list, at most `oldest_s` old. Raises SupervisorUnreachable."""
        if self._now_s() - self._read_at_s > self._oldest_s:
            await self._look()
        elif self._now_s() >= self._look_again_at_s:
            self._look_behind()
        return self._entries

    def _look_behind(self) -> None:
        # The time is set before the answer is there: a supervisor that is down is asked once per `fresh_s`.
        self._look_again_at_s = self._now_s() + self._fresh_s
        waiting = asyncio.ensure_future(self._look())
        waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def _look(self) -> Awaitable[None]:
        return self._looks.join("symbols", self._read_once)

    async def _read_once(self) -> None:
        started_s = self._now_s()
        try:
            entries = await self._read()
        except SupervisorUnreachable as error:
            if self._reachable:
                _log.warning("%s; the last list of symbols stays in use", error)
            self._reachable = False
            raise
        self._reachable = True
        self._read_at_s = started_s
        self._look_again_at_s = started_s + self._fresh_s
        if entries != self._entries:
            self._entries, self._by_upper = entries, _by_upper(entries)


def _by_upper(entries: Entries) -> dict[str, str]:
    """The symbols by their names in upper case, without those that differ in nothing but case."""
    same: dict[str, list[str]] = {}
    for name in entries:
        same.setdefault(name.upper(), []).append(name)
    return {upper: names[0] for upper, names in same.items() if len(names) == 1}


def nearest(symbol: str, known: Entries, most: int = _NEAREST) -> tuple[str, ...]:
    """At most `most` of the known symbols, those that look most like `symbol` first.

    Likeness is the Dice coefficient of the letter pairs: cheap enough to ask for thousands.
    """
    asked = _pairs(symbol)

    def unlikeness(name: str) -> tuple[float, str]:
        pairs = _pairs(name)
        return -2.0 * len(asked & pairs) / (len(asked) + len(pairs)), name

    return tuple(heapq.nsmallest(most, known, key=unlikeness))


def _pairs(symbol: str) -> set[str]:
    # The mark at the start makes the first letter count, and leaves no symbol without a pair.
    marked = f"^{symbol.upper()}$"
    return {marked[i : i + 2] for i in range(len(marked) - 1)}
