"""A symbol's stream against the real exchange: feed, order, log, engine and restarts, without Ray."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster import venues
from cluster.errors import StoreUnreachable
from cluster.exchange.faults import FaultKind, FaultSpec
from cluster.exchange.market import MarketSpec
from cluster.exchange.market_tape import write_market_tape
from cluster.exchange.server import ExchangeSettings, LocalExchange
from cluster.exchange.tape import TapeSpec
from cluster.feed import Feed
from cluster.feed_policy import FeedPolicy
from cluster.gap_policy import GapPolicy
from cluster.storage import segments
from cluster.storage.frames import TickFrame
from cluster.storage.log_policy import LogPolicy
from cluster.storage.segments import Recovery
from cluster.symbol_stream import StreamSettings, SymbolStream
from features.engine import EngineSpec, SymbolEngine
from features.errors import ModelMissing
from features.ticks import Kind, Ticks
from tests.unit.features.slot_models import Shelf, leaning

SPEC = EngineSpec("AAA", horizons=("5s",), models=("naive", "ridge:100"), first_forecast_bars=3)
OPTIONS = {"quotes": False, "microseconds": True, "verbatim_symbols": True}
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tape") / "tape.parquet"
    write_market_tape(MarketSpec(symbols=("AAA",), seed=5, trades_per_s=40.0), 60.0, path)
    return path


@asynccontextmanager
async def exchange(tape: Path, speed: float = math.inf) -> AsyncIterator[LocalExchange]:
    settings = ExchangeSettings(TapeSpec((str(tape),)), speed=speed)
    async with LocalExchange(settings) as running:
        yield running


def settings(folder: Path, rest_url: str, **changes: Any) -> StreamSettings:
    values: dict[str, Any] = {
        "engine": SPEC,
        "venue": "binance",
        "rest_url": rest_url,
        "gaps": GapPolicy(reorder_wait_s=0.02, catch_up_after_s=0.1, backoff_base_s=0.05),
        "log": LogPolicy(checkpoint_every_s=0.3, roll_after_s=0.5, retry_s=0.05),
        "log_root": str(folder),
        "epoch": 1,
        "last_home": "",
    }
    return StreamSettings(**(values | changes))


async def nothing(folder: Path, epoch: int) -> None:
    """The lake has nothing."""


class Running:
    """A stream and its feed, until killed or closed."""

    def __init__(self, made: StreamSettings, url: str, shelf: Shelf | None = None) -> None:
        venue = venues.get("binance", **OPTIONS)
        self.stream = SymbolStream(made, venue, time.time_ns, lambda step, received_ns: None, shelf)
        self.feed = Feed(venue, ["AAA"], FeedPolicy(), url, time.time_ns, random.Random(1))
        self.tasks: list[asyncio.Task[Any]] = []

    async def start(self, bring: Callable[[Path, int], Awaitable[None]] = nothing) -> Running:
        await self.stream.open(bring)
        self.tasks = [
            asyncio.create_task(self.feed.run(self.stream.consume)),
            asyncio.create_task(self.stream.keep_house()),
        ]
        return self

    async def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not what():
            for task in self.tasks:
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {self.stream.report()}"
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """End as a killed process does: sockets and files are closed by the system, nothing else."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.stream.keeper.close()
        os.close(self.stream.log._fd)
        os.close(self.stream.log._lock)

    async def close(self) -> None:
        self.feed.close()
        await self.tasks[0]
        self.tasks[1].cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.stream.close()

    @property
    def seen(self) -> int:
        return int(self.stream.order.report()["seen"])


def published(running: LocalExchange) -> Ticks:
    history = running.history("AAA")
    return Ticks.from_columns(
        len(history),
        ts_ns=history.ts_ns,
        trade_id=history.trade_id,
        price=history.price,
        size=history.size,
        side=history.side,
    )


def digest_of(ticks: Ticks) -> str:
    engine = SymbolEngine(SPEC)
    engine.update(ticks)
    return engine.digest()


async def test_whatever_is_killed_when_the_state_ends_as_if_it_had_not_been(
    tape: Path, tmp_path: Path
) -> None:
    async with exchange(tape, speed=30.0) as venue:
        for epoch, share in enumerate((0.2, 0.5, 0.7), start=1):
            made = settings(tmp_path, venue.rest_url, epoch=epoch)
            one = await Running(made, venue.websocket_url).start()
            await one.until(lambda: one.seen > share * 2_400)  # noqa: B023
            await one.kill()
        last = await Running(settings(tmp_path, venue.rest_url, epoch=9), venue.websocket_url).start()
        await asyncio.wait_for(venue.finished(), LIMIT_S)
        await last.until(lambda: last.seen == len(published(venue)))
        assert last.stream.engine.digest() == digest_of(published(venue))
        report = last.stream.report()
        assert report["continuity"]["missing"] == 0
        assert report["continuity"]["gaps_filled"] >= 1
        assert report["storage"]["epoch"] == 9
        await last.close()


async def test_swaps_lose_no_tick_and_outlive_kills(tape: Path, tmp_path: Path) -> None:
    shelf = Shelf(v1=leaning(SPEC, 0.2, feature="last_side"), v2=leaning(SPEC, 0.1, feature="last_side"))
    made = []
    async with exchange(tape, speed=30.0) as venue:
        for epoch, (slot, version) in enumerate([(1, 1), (0, 2), (0, 1)], start=1):
            there = settings(tmp_path, venue.rest_url, epoch=epoch)
            one = await Running(there, venue.websocket_url, shelf).start()
            await one.until(lambda: one.seen > 500 * epoch)  # noqa: B023
            assert one.stream.swap(slot, version)
            assert one.stream.swap(slot, version)  # it is there: nothing more is logged
            made.append(one.stream.engine.models.versions)
            with pytest.raises(ModelMissing):
                one.stream.swap(0, 3)
            await one.kill()
        last = await Running(settings(tmp_path, venue.rest_url, epoch=9), venue.websocket_url, shelf).start()
        await asyncio.wait_for(venue.finished(), LIMIT_S)
        await last.until(lambda: last.seen == len(published(venue)))
        engine = last.stream.engine
        await last.close()
    assert made == [
        {"champion": 0, "challenger1": 1},
        {"champion": 2, "challenger1": 1},
        {"champion": 1, "challenger1": 0},  # promoted out of its slot
    ]
    assert engine.models.versions == made[-1]
    logged = logged_ticks(last.stream.folder)
    assert (logged.kind == Kind.SWAP).sum() == 3
    trades = logged.trade_id[logged.kind == Kind.TRADE].tolist()
    assert trades == sorted(set(trades))
    assert len(trades) == len(published(venue))
    batch = SymbolEngine(SPEC, shelf)
    batch.update(logged)
    assert engine.digest() == batch.digest()


def logged_ticks(folder: Path) -> Ticks:
    """All that the log has taken in, in order."""
    found = Recovery(segments=segments.segment_files(folder, "log", "kept", "open"))
    return Ticks.concat([one.ticks for one in segments.replay(found, 0) if isinstance(one, TickFrame)])


async def test_every_message_fault_is_made_good(tape: Path, tmp_path: Path) -> None:
    async with exchange(tape, speed=30.0) as venue:
        one = await Running(settings(tmp_path, venue.rest_url), venue.websocket_url).start()
        await one.until(lambda: one.seen > 50)
        for kind in ("drop", "duplicate", "reorder", "malformed", "garble"):
            venue.inject(FaultSpec(FaultKind(kind), 3, "AAA"))
            # One after the other: what REST brings for one could hide the next.
            goal = one.seen + 100
            await one.until(lambda: one.seen > goal and not one.stream.order.held)  # noqa: B023
        venue.inject(FaultSpec(FaultKind.DROP_CONNECTION, 1, "AAA"))
        await asyncio.wait_for(venue.finished(), LIMIT_S)
        await one.until(lambda: one.seen == len(published(venue)))
        assert one.stream.engine.digest() == digest_of(published(venue))
        report = one.stream.order.report()
        assert (report["duplicates"], report["reordered"], report["missing"]) == (3, 3, 0)
        await one.close()


async def test_a_gap_that_can_not_be_filled_is_told_and_repaired_later(tape: Path, tmp_path: Path) -> None:
    gaps = GapPolicy(reorder_wait_s=0.01, fill_within_s=0.2, repair_every_s=0.3, backoff_base_s=0.05)
    async with exchange(tape, speed=30.0) as venue:
        made = settings(tmp_path, venue.rest_url, gaps=gaps)
        one = await Running(made, venue.websocket_url).start()
        await one.until(lambda: one.seen > 300)
        venue.inject(FaultSpec(FaultKind.REST_DOWN, seconds=1.5))
        venue.inject(FaultSpec(FaultKind.DROP, 4, "AAA"))
        await one.until(lambda: one.stream.engine.builder.counters["gaps"] == 1)
        assert one.stream.order.report()["missing"] == 4
        session = one.stream.engine.builder.counters
        assert session["gaps"] == 1
        await one.until(lambda: one.stream.order.report()["trades_repaired"] == 4)
        assert one.stream.order.report()["missing"] == 0
        await one.close()
        late = [
            frame.ticks.trade_id.tolist()
            for path in segments.segment_files(one.stream.folder, "log", "kept")
            for _, frame in segments.read_segment(path)
            if type(frame).__name__ == "LateFrame"
        ]
        assert sum(map(len, late)) == 4


async def test_a_full_disk_stops_the_stream_and_nothing_is_lost(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exchange(tape, speed=30.0) as venue:
        one = await Running(settings(tmp_path, venue.rest_url), venue.websocket_url).start()
        await one.until(lambda: one.seen > 200)
        one.stream.log.blocked = "no space is left on the disk"
        monkeypatch.setattr(one.stream, "_watch_backlog", lambda: asyncio.sleep(0))
        await one.until(lambda: "no space" in one.stream.trouble)
        taken = one.stream.log.next_sequence
        await asyncio.sleep(0.2)
        assert one.stream.log.next_sequence == taken
        one.stream.log.blocked = ""
        await asyncio.wait_for(venue.finished(), LIMIT_S)
        await one.until(lambda: one.seen == len(published(venue)))
        assert one.stream.trouble == ""
        assert one.stream.engine.digest() == digest_of(published(venue))
        await one.close()


async def test_more_than_may_wait_for_the_lake_stops_the_stream(tape: Path, tmp_path: Path) -> None:
    async with exchange(tape, speed=30.0) as venue:
        log = LogPolicy(limit_bytes=2**20, roll_bytes=2**18, roll_after_s=0.3, retry_s=0.05)
        one = await Running(settings(tmp_path, venue.rest_url, log=log), venue.websocket_url).start()
        await one.until(lambda: one.seen > 100)
        waiting = one.stream.folder / "00000000000000000000-00000000000000000000.log"
        waiting.write_bytes(bytes(2**20))
        await one.until(lambda: "wait for the lake" in one.stream.trouble)
        waiting.unlink()  # the archiver has caught up
        await asyncio.wait_for(venue.finished(), LIMIT_S)
        await one.until(lambda: one.seen == len(published(venue)))
        assert one.stream.engine.digest() == digest_of(published(venue))
        await one.close()


async def test_without_the_lake_nobody_goes_on_from_a_past_that_may_be_old(tmp_path: Path) -> None:
    async def unreachable(folder: Path, epoch: int) -> None:
        raise StoreUnreachable("it does not answer", "s3://lake", "")

    def stream(last_home: str) -> SymbolStream:
        made = settings(tmp_path, "", last_home=last_home)
        return SymbolStream(made, venues.get("binance", **OPTIONS), time.time_ns, lambda step, ns: None)

    one = stream("")
    with pytest.raises(StoreUnreachable):
        await one.open(unreachable)
    await one.close()
    with pytest.raises(StoreUnreachable):
        await stream(one.home).open(unreachable)  # its folder is empty: somebody may have emptied it
    two = stream("")
    await two.open(nothing)
    await two.close()
    three = stream(two.home)
    await three.open(unreachable)  # its own log is the newest there is
    await three.close()
