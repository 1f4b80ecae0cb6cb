"""An actor that takes on what a symbol actor holds, piece by piece. Imported inside Ray workers.

Every import is inside a function: what it costs is what is measured.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

STAGES = (
    "bare Ray actor",
    "+ numpy",
    "+ numba imported",
    "+ kernels loaded",
    "+ venue, feed, settings",
    "+ engine with 2,000 bars",
    "+ River, two of its models",
)
_SYMBOL = "MEMORY"


class Stages:
    """Holds on to everything that it has taken on."""

    def __init__(self) -> None:
        self._held: list[Any] = []

    async def pid(self) -> int:
        """The process to be measured."""
        return os.getpid()

    async def take_on(self, stage: int) -> None:
        """Take on one stage, in the order of `STAGES`."""
        work = (
            self._nothing,
            self._numpy,
            self._numba,
            self._kernels,
            self._venue,
            self._engine,
            self._river,
        )
        work[stage]()
        await asyncio.sleep(0)

    def _nothing(self) -> None:
        pass

    def _numpy(self) -> None:
        import numpy as np

        self._held.append(np.zeros(1))

    def _numba(self) -> None:
        import numba

        self._held.append(numba)

    def _kernels(self) -> None:
        from features.engine import EngineSpec, SymbolEngine
        from tests.bench import sources

        SymbolEngine(EngineSpec(_SYMBOL)).update(sources.ticks(2_000))

    def _venue(self) -> None:
        import random
        import time

        from cluster import symbol_actor, venues
        from cluster.feed import Feed
        from cluster.feed_policy import FeedPolicy

        venue = venues.get("binance")
        feed = Feed(venue, [_SYMBOL], FeedPolicy(), None, time.time_ns, random.Random(0))
        self._held += [symbol_actor, venue, feed]

    def _engine(self) -> None:
        self._held.append(self._fed_engine(()))

    def _river(self) -> None:
        self._held.append(self._fed_engine(("river_linear", "river_bayesian")))

    def _fed_engine(self, more_models: tuple[str, ...]) -> Any:
        from features.engine import DEFAULT_MODELS, EngineSpec, SymbolEngine
        from tests.bench import sources

        engine = SymbolEngine(EngineSpec(_SYMBOL, models=(*DEFAULT_MODELS, *more_models)))
        engine.update(sources.ticks(16_000))
        return engine
