"""A Ray actor that waits for the forecasts of every symbol and notes how long they took.

In a process of its own, so that nothing else that a benchmark does delays it. It asks as a client does that
wants each forecast at once: by a long poll.
"""

from __future__ import annotations

import asyncio
import time

_LONG_POLL_S = 5.0
_LOOK_AGAIN_S = 1.0


class Onlooker:
    """Waits for forecasts from its making on. A plain class; the soak wraps it with `ray.remote`."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        """Called by Ray on the actor's event loop."""
        self._latencies_ms: list[float] = []
        self._problems: list[str] = []
        self._tasks = [asyncio.create_task(self._poll(symbol)) for symbol in symbols]

    async def take(self) -> tuple[list[float], list[str]]:
        """Remove and return the latencies in ms, and what went wrong, since the last call."""
        taken = self._latencies_ms, self._problems
        self._latencies_ms, self._problems = [], []
        for task in self._tasks:
            if task.done():
                task.result()
        return taken

    async def _poll(self, symbol: str) -> None:
        import ray

        while True:
            try:
                await self._watch(symbol)
            except (ValueError, ray.exceptions.RayError) as error:
                self._problems.append(f"{symbol} does not answer: {type(error).__name__}")
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _watch(self, symbol: str) -> None:
        """The time from the actor's receipt of the newest event behind a forecast to its being here."""
        import ray

        from cluster import names

        actor = await asyncio.to_thread(ray.get_actor, names.symbol_actor(symbol), names.NAMESPACE)
        after = (await actor.forecasts.remote())["sequence"]
        while True:
            answer = await actor.next_forecasts.remote(after, _LONG_POLL_S)
            now_ns = time.time_ns()
            # Of several at once only the newest is here, and after a restart they may be old.
            if answer["sequence"] == after + 1:
                self._latencies_ms.append(round((now_ns - answer["received_ns"]) / 1e6, 3))
            after = answer["sequence"]
