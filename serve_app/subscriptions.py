"""The newest forecasts of the symbols that people ask for, brought here by the actors.

A Ray actor call costs about a millisecond, a hundred times what answering from memory does. So for each
symbol that is asked for, one long poll waits at its actor for the next forecasts; until they come,
those at hand are the newest there are. They get here about a millisecond after they were made.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.errors import TickcastError
from serve_app.forecast_set import ForecastSet

if TYPE_CHECKING:
    from serve_app.directory import SymbolDirectory

POLL_S = 2.0
"""How long a poll waits at the actor: so long a hung actor's last forecasts may be served at most."""
UNUSED_S = 30.0
"""A symbol that nobody has asked for so long is not followed any more."""

Read = Callable[[str, Any], ForecastSet]


@dataclass(slots=True)
class _Followed:
    """One symbol that is followed."""

    used_s: float
    newest: ForecastSet | None = None
    task: asyncio.Task[None] | None = None


class Subscriptions:
    """Follows symbols on demand. For one event loop.

    `newest` never waits. It knows nothing while a symbol's first forecasts are on their way, while the
    symbol is not ready, and from the moment its actor is found dead, restarting or silent: then whoever
    asked goes to the actor itself and gets its reasons, or its answer once it is ready: an actor that is
    ready again with the forecasts of before is asked itself for `POLL_S` at most.
    """

    def __init__(
        self, directory: SymbolDirectory, read: Read, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._read = read
        self._now_s = now_s
        self._followed: dict[str, _Followed] = {}

    def newest(self, symbol: str) -> ForecastSet | None:
        """The newest forecasts of a symbol, if they are at hand; it is followed from now on."""
        followed = self._followed.get(symbol)
        if followed is None:
            followed = self._followed[symbol] = _Followed(self._now_s())
            followed.task = asyncio.create_task(self._follow(symbol, followed))
        followed.used_s = self._now_s()
        return followed.newest

    def __len__(self) -> int:
        return len(self._followed)

    async def _follow(self, symbol: str, followed: _Followed) -> None:
        sequence = -1
        try:
            with contextlib.suppress(TickcastError):
                while self._now_s() - followed.used_s < UNUSED_S:
                    answer = await self._directory.ask(symbol, "next_forecasts", sequence, POLL_S)
                    # A symbol that was catching up is ready without a newer forecast than before.
                    if answer["sequence"] != sequence or followed.newest is None:
                        followed.newest = self._read(symbol, answer) if answer["ready"] else None
                    sequence = answer["sequence"]
        finally:
            del self._followed[symbol]
