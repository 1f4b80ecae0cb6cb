"""Small tapes, and clients that read from a running exchange."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.exchange.server import ExchangeSettings, LocalExchange
from cluster.exchange.tape import TapeSpec

START_NS = 1_700_000_000_000_000_000
LIMIT_S = 20.0


@pytest.fixture
def write_parquet(tmp_path: Path) -> Callable[..., str]:
    """Write columns to a Parquet file; gives its path."""

    def write(name: str = "trades.parquet", **columns: Any) -> str:
        path = tmp_path / name
        pq.write_table(pa.table(columns), path)
        return str(path)

    return write


@pytest.fixture
def write_trades(write_parquet: Callable[..., str]) -> Callable[..., str]:
    """Write n random trades per symbol, ten a second each, grouped by symbol; gives the path."""

    def write(
        n: int = 200, symbols: tuple[str, ...] = ("BTC-USD", "000001.SZ"), name: str = "t.parquet"
    ) -> str:
        random = np.random.default_rng(1)
        return write_parquet(
            name,
            symbol=[symbol for symbol in symbols for _ in range(n)],
            ts_ns=np.concatenate([START_NS + np.arange(n) // 2 * 200_000_000 for _ in symbols]),
            price=np.round(np.exp(random.normal(3, 1, n * len(symbols))), 4),
            size=random.choice([1e-8, 0.00012, 3.0, 1250.5], n * len(symbols)),
            side=random.choice(np.array([-1, 0, 1], dtype=np.int8), n * len(symbols)),
        )

    return write


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[LocalExchange]]]:
    """Start an exchange that plays a file at full speed unless told otherwise; it stops with the test."""
    async with AsyncExitStack() as stack:

        async def open_exchange(path: str = "", **settings: Any) -> LocalExchange:
            settings.setdefault("speed", math.inf)
            settings.setdefault("source", TapeSpec((path,)))
            return await stack.enter_async_context(LocalExchange(ExchangeSettings(**settings)))

        yield open_exchange


@pytest.fixture
def receive() -> Callable[..., Awaitable[list[Any]]]:
    """Receive n messages as JSON."""

    async def take(websocket: Any, n: int) -> list[Any]:
        async with asyncio.timeout(LIMIT_S):
            return [json.loads(await websocket.recv()) for _ in range(n)]

    return take


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A REST client."""
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait for a condition, with a limit."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.005)

    return wait
