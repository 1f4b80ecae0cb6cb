"""The API over a fake cluster, asked in process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from serve_app.api import create_api
from serve_app.router import ForecastRouter
from tests.unit.serve_app.fake_directory import RECEIVED_NS, FakeDirectory


@pytest.fixture
def directory() -> FakeDirectory:
    return FakeDirectory("BTCUSDT", "ETHUSDT", "BTC/USD", "abc", "ABC")


@pytest.fixture
async def client(directory: FakeDirectory) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API; its clock stands 123 ms after the newest event."""
    router = ForecastRouter(directory, clock_ns=lambda: RECEIVED_NS + 123_000_000)
    # Errors that nobody expected become answers here too, as they do behind a server.
    transport = httpx.ASGITransport(create_api(router), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as asked:
        yield asked
