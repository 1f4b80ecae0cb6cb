"""The actor of one symbol: its feed, its engine, its answers.

    feed → ingest → engine → forecasts, encoded once and handed to whoever asks

A plain class; the supervisor wraps it with `ray.remote` where it starts one. Everything runs on one
event loop, so nothing here needs a lock; `status` runs on another thread (Ray's concurrency group
"control") and only reads. It starts ingesting by itself, also when Ray has restarted it.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import ray

from cluster import venues
from cluster.feed import Feed
from cluster.feed_policy import FeedPolicy
from cluster.ingest import Ingest
from cluster.latency import LatencyHistogram
from cluster.venues.base import Event
from features.engine import EngineSpec, Step, SymbolEngine
from features.errors import TickcastError

_HEARTBEAT_CHECK_S = 0.05
_LONG_POLL_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class SymbolSettings:
    """All that one symbol's actor needs to know."""

    engine: EngineSpec
    venue: str
    venue_options: dict[str, Any]
    websocket_url: str | None
    feed: FeedPolicy
    heartbeat_delay_ns: int | None
    """A time bar closes at latest so long after its end; None waits for the next tick."""


class SymbolActor:
    """Ingests one symbol and answers questions about it."""

    def __init__(self, settings: SymbolSettings) -> None:
        """Called by Ray on the actor's event loop, at the start and after every restart."""
        self._settings = settings
        self._symbol = settings.engine.symbol
        venue = venues.get(settings.venue, **settings.venue_options)
        self._engine = SymbolEngine(settings.engine)
        self._ingest = Ingest(self._engine, self._symbol, venue.facts.trade_ids)
        self._feed = Feed(
            venue,
            [self._symbol],
            settings.feed,
            settings.websocket_url,
            time.time_ns,
            random.Random(self._symbol),
        )
        self._latency = LatencyHistogram()
        self._sequence = 0
        self._encoded: dict[str, bytes] = {}
        self._known_ns = 0  # our clock when the newest event behind the forecasts was received
        self._features: dict[str, Any] | None = None
        self._renewed = asyncio.Event()
        self._failure = ""
        self._started_ns = time.time_ns()
        self._tasks = [asyncio.create_task(self._run())]
        if settings.heartbeat_delay_ns is not None:
            self._tasks.append(asyncio.create_task(self._beat(settings.heartbeat_delay_ns)))

    async def forecasts(self) -> dict[str, Any]:
        """The newest forecast of every horizon, each a JSON object as bytes."""
        return self._answer()

    async def next_forecasts(self, after: int, timeout_s: float) -> dict[str, Any]:
        """Like `forecasts`, but waits until there are newer ones than number `after`, or the time is up."""
        deadline = time.monotonic() + min(timeout_s, _LONG_POLL_LIMIT_S)
        while self._sequence <= after and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._renewed.wait(), left)
            except TimeoutError:
                break
        return self._answer()

    async def features(self) -> dict[str, Any]:
        """The features at the newest bar; a missing one is None."""
        return self._features or {
            "symbol": self._symbol,
            "at_ns": None,
            "session": None,
            "warm": False,
            "values": dict.fromkeys(self._engine.feature_set.columns),
        }

    async def scores(self) -> dict[str, Any]:
        """The ledger of all models, and their weights in the forecast."""
        return {
            "symbol": self._symbol,
            "scores": [score.as_dict() for score in self._engine.ledger.scores()],
            "weights": self._engine.weights(),
        }

    async def digest(self) -> str:
        """Hash of the engine's whole state, as `SymbolEngine.digest` gives it."""
        return self._engine.digest()

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    async def status(self) -> dict[str, Any]:
        """How this actor is doing. Answered on its own thread, also when the engine is busy."""
        feed = self._feed
        return {
            "symbol": self._symbol,
            "pid": os.getpid(),
            "started_ns": self._started_ns,
            "feed": feed.state.value,
            "failure": self._failure,
            "ready": bool(self._encoded),
            "received_ns": self._ingest.received_ns,
            "sequence": self._sequence,
            "open_questions": self._engine.open_questions,
            "events": self._engine.builder.counters,
            "continuity": self._ingest.continuity.report(),
            "messages": feed.counters.as_dict(),
            "tick_to_forecast": self._latency.report(),
        }

    async def stop(self) -> None:
        """Close the connection and end the tasks; what was received has been taken in."""
        self._feed.close()
        await asyncio.wait(self._tasks[:1], timeout=self._settings.feed.close_timeout_s)
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        try:
            await self._feed.run(self._consume)
        except asyncio.CancelledError:
            raise
        except TickcastError as error:
            self._failure = str(error)
        except Exception as error:
            # An unforeseen fault must be seen in `status`, not vanish with a task.
            self._failure = f"{type(error).__name__}: {error}"
            raise

    async def _consume(self, events: list[Event]) -> None:
        received_ns = getattr(events[0], "received_ns", 0)
        self._publish(self._ingest.feed(events), received_ns)

    async def _beat(self, delay_ns: int) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_CHECK_S)
            step = self._ingest.heartbeat(time.time_ns(), delay_ns)
            if step is not None:
                self._publish(step, 0)

    def _publish(self, step: Step, received_ns: int) -> None:
        if len(step.bars):
            self._remember_features(step)
        if not step.forecasts:
            return
        for forecast in step.forecasts[-len(self._engine.horizons) :]:
            self._encoded[forecast.horizon] = msgspec.json.encode(forecast)
        self._sequence += 1
        self._known_ns = self._ingest.received_ns
        self._renewed.set()
        self._renewed = asyncio.Event()
        if received_ns:
            self._latency.add(time.time_ns() - received_ns)

    def _remember_features(self, step: Step) -> None:
        row = step.features[-1].tolist()
        values = [value if math.isfinite(value) else None for value in row]
        self._features = {
            "symbol": self._symbol,
            "at_ns": int(step.bars.end_ns[-1]),
            "session": int(step.bars.session[-1]),
            "warm": None not in values,
            "values": dict(zip(self._engine.feature_set.columns, values, strict=True)),
        }

    def _answer(self) -> dict[str, Any]:
        ready = bool(self._encoded)
        return {
            "symbol": self._symbol,
            "ready": ready,
            "reason": "" if ready else self._reason(),
            "retry_after_s": 0.0 if ready else self._retry_after_s(),
            "received_ns": self._known_ns,
            "sequence": self._sequence,
            "by_horizon": self._encoded,
        }

    def _reason(self) -> str:
        if self._failure:
            return self._failure
        need, have = self._settings.engine.first_forecast_bars, self._engine.bars_seen
        if not self._ingest.received_ns:
            return f"no tick has come yet, the feed is {self._feed.state.value}"
        return f"{have} of the first {need} bars have closed"

    def _retry_after_s(self) -> float:
        left = self._settings.engine.first_forecast_bars - self._engine.bars_seen
        bar_s = self._settings.engine.bars.interval_ns / 1e9
        return min(max(1.0, math.ceil(left * bar_s)), 60.0)
