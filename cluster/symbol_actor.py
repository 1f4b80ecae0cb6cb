"""The actor of one symbol: its feed, its stream, its answers.

    feed → stream (order → tick log → engine) → answers → whoever asks

A plain class; the supervisor wraps it with `ray.remote` where it starts one. Everything runs on one
event loop, so nothing here needs a lock; `status` runs on another thread (Ray's concurrency group
"control") and only reads. It starts by itself, and goes on where the actor before it stopped.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from dataclasses import dataclass
from typing import Any

import ray

from cluster import node_agent, venues
from cluster.answers import Answers
from cluster.config import on_this_machine
from cluster.feed import Feed
from cluster.feed_policy import FeedPolicy
from cluster.latency import LatencyHistogram
from cluster.model_keeper import ModelKeeper
from cluster.registry import Registry, RegistryShelf
from cluster.storage import segments
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from cluster.symbol_stream import StreamSettings, SymbolStream
from features.engine import Step
from features.errors import TickcastError
from features.model_slots import as_plain

_HEARTBEAT_CHECK_S = 0.05
_RECOVERY_RETRY_S = 1.0
_TURN_S = 0.25


@dataclass(frozen=True, slots=True)
class SymbolSettings:
    """All that one symbol's actor needs to know."""

    stream: StreamSettings
    venue_options: dict[str, Any]
    websocket_url: str | None
    feed: FeedPolicy
    heartbeat_delay_ns: int | None
    """A time bar closes at latest so long after its end; None waits for the next tick."""
    lake: StoreSpec
    """Where the registry of models is."""


class SymbolActor:
    """Ingests one symbol and answers questions about it."""

    def __init__(self, settings: SymbolSettings) -> None:
        """Called by Ray on the actor's event loop."""
        self._settings = settings
        self._symbol = settings.stream.engine.symbol
        venue = venues.get(settings.stream.venue, **settings.venue_options)
        log = segments.symbol_folder(
            on_this_machine(settings.stream.log_root), settings.stream.venue, self._symbol
        )
        shelf = RegistryShelf(lambda: Registry(open_store(settings.lake)), log / "models")
        self._stream = SymbolStream(settings.stream, venue, time.time_ns, self._publish, shelf)
        self._models = ModelKeeper(shelf, lambda: self._stream.engine.models, self._stream.swap)
        self._answers = Answers(self._stream.engine.feature_set.columns)
        self._stream.save_answers = self._answers.snapshot
        self._feed = Feed(
            venue,
            [self._symbol],
            settings.feed,
            settings.websocket_url,
            time.time_ns,
            random.Random(self._symbol),
        )
        self._latency = LatencyHistogram()
        self._failure = ""
        self._caught_up = False
        self._stopped = asyncio.Event()
        self._restored = asyncio.Event()
        self._started_ns = time.time_ns()
        self._node = ray.get_runtime_context().get_node_id()
        self._turned_s = time.monotonic()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._turn())]

    async def forecasts(self) -> dict[str, Any]:
        """The newest forecast of every horizon, each a JSON object as bytes."""
        return self._answer()

    async def next_forecasts(self, after: int, timeout_s: float) -> dict[str, Any]:
        """Like `forecasts`, but waits until there are newer ones than number `after`, or the time is up."""
        await self._answers.wait_beyond(after, timeout_s)
        return self._answer()

    async def features(self) -> dict[str, Any]:
        """The features at the newest bar; a missing one is None."""
        await self._restored.wait()
        return self._answers.features(self._symbol)

    async def scores(self) -> dict[str, Any]:
        """The ledger of all models, their weights in the forecast, and challengers against the champion."""
        await self._restored.wait()
        engine = self._stream.engine
        return {
            "symbol": self._symbol,
            "slots": engine.models.versions,
            "scores": [as_plain(score) for score in engine.scores()],
            "duels": [as_plain(duel) for duel in engine.duels()],
            "weights": engine.weights(),
        }

    async def continuity(self) -> dict[str, Any]:
        """What was seen of the symbol's trades, what is missing, and how it is stored."""
        return {"symbol": self._symbol, **self._stream.report()}

    async def digest(self) -> str:
        """Hash of the engine's whole state, as `SymbolEngine.digest` gives it."""
        await self._restored.wait()
        return self._stream.engine.digest()

    async def follow(self, number: int, slots: dict[int, int]) -> None:
        """Have these versions of models in the slots: what pointer `number` of the registry says.

        Returns at once. They are loaded in the background and swapped in between two ticks.
        """
        self._models.follow(number, slots)

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    async def status(self) -> dict[str, Any]:
        """How this actor is doing. Answered on its own thread, also when the engine is busy."""
        feed, stream = self._feed, self._stream
        return {
            "symbol": self._symbol,
            "pid": os.getpid(),
            "node": self._node,
            "home": stream.home,
            "epoch": stream.epoch,
            "started_ns": self._started_ns,
            "feed": feed.state.value,
            "connected": feed.connected_since_ns is not None,
            "failure": self._failure,
            "stuck_s": time.monotonic() - self._turned_s,
            "opened": stream.opened,
            "recovering": self._recovering(),
            "trouble": stream.trouble if stream.opened else "",
            "ready": self._ready,
            "received_ns": stream.ingest.received_ns if stream.opened else 0,
            "sequence": self._answers.sequence,
            "open_questions": stream.engine.open_questions,
            "events": stream.engine.builder.counters,
            "messages": feed.counters.as_dict(),
            "tick_to_forecast": self._latency.report(),
            "models": self._models.report(),
            **stream.report(),
        }

    async def until_stopped(self) -> None:
        """Returns when the actor has been told to stop; whoever waits hears of its death at once."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Close the connection, save the state, close the log. What was received has been taken in."""
        self._feed.close()
        await asyncio.wait(self._tasks[:1], timeout=self._settings.feed.close_timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stream.close()
        self._stopped.set()

    async def _run(self) -> None:
        try:
            found = await self._stream.open(self._bring)
            if found.answers is not None:
                self._answers.restore(found.answers)
                ingest = self._stream.ingest
                ingest.received_ns = max(ingest.received_ns, self._answers.known_ns)
            for step in found.steps:
                self._answers.publish(step, found.received_ns)
            self._restored.set()
            self._tasks.append(asyncio.create_task(self._guard(self._stream.keep_house())))
            self._tasks.append(asyncio.create_task(self._guard(self._models.run())))
            if self._settings.heartbeat_delay_ns is not None:
                self._tasks.append(asyncio.create_task(self._guard(self._beat())))
            await self._feed.run(self._stream.consume)
        except asyncio.CancelledError:
            raise
        except TickcastError as error:
            self._failure = str(error)
        except Exception as error:
            # An unforeseen fault must be seen in `status`, not vanish with a task.
            self._failure = f"{type(error).__name__}: {error}"
            raise

    async def _turn(self) -> None:
        """Leave a mark each time that the event loop comes round."""
        while True:
            self._turned_s = time.monotonic()
            await asyncio.sleep(_TURN_S)

    async def _guard(self, work: Any) -> None:
        """Run a task that should never end; its fault is the actor's."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise

    async def _bring(self, folder: Any, last_epoch: int) -> None:
        stream = self._settings.stream
        await node_agent.bring(self._node, stream.venue, self._symbol, str(folder), last_epoch)

    async def _beat(self) -> None:
        delay_ns = self._settings.heartbeat_delay_ns
        assert delay_ns is not None
        while True:
            await asyncio.sleep(_HEARTBEAT_CHECK_S)
            self._stream.heartbeat(time.time_ns(), delay_ns)

    def _publish(self, step: Step, received_ns: int) -> None:
        renewed = self._answers.publish(step, self._stream.ingest.received_ns)
        if renewed and received_ns:
            self._latency.add(time.time_ns() - received_ns)

    @property
    def _ready(self) -> bool:
        return bool(self._answers.by_horizon) and not self._recovering()

    def _recovering(self) -> str:
        """Why nothing can be answered right after a start; empty once the stream has caught up."""
        if self._caught_up:
            return ""
        if not self._stream.opened:
            return "its state is being restored"
        if not self._stream.order.known:
            return ""  # nothing came before: there is nothing to catch up with
        # A market may be quiet: what counts is that we are connected and that REST has no more.
        self._caught_up = self._stream.keeper.caught_up and self._feed.connected_since_ns is not None
        return "" if self._caught_up else self._stream.keeper.reason or "its connection is being made"

    def _answer(self) -> dict[str, Any]:
        ready, recovering = self._ready, self._recovering()
        return {
            "symbol": self._symbol,
            "ready": ready,
            "recovering": bool(recovering),
            "reason": "" if ready else self._reason(recovering),
            "retry_after_s": 0.0 if ready else self._retry_after_s(recovering),
            "received_ns": self._answers.known_ns,
            "sequence": self._answers.sequence,
            "by_horizon": self._answers.by_horizon,
        }

    def _reason(self, recovering: str) -> str:
        if self._failure or recovering:
            return self._failure or recovering
        spec, engine = self._settings.stream.engine, self._stream.engine
        if not self._stream.ingest.received_ns:
            return f"no tick has come yet, the feed is {self._feed.state.value}"
        return f"{engine.bars_seen} of the first {spec.first_forecast_bars} bars have closed"

    def _retry_after_s(self, recovering: str) -> float:
        if recovering:
            return _RECOVERY_RETRY_S
        spec = self._settings.stream.engine
        left = spec.first_forecast_bars - self._stream.engine.bars_seen
        return min(max(1.0, math.ceil(left * spec.bars.interval_ns / 1e9)), 60.0)
