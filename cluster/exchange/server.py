"""The exchange as one object: a source, a websocket door, REST, and the loop that publishes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from websockets.asyncio.server import Server

from cluster.exchange.connection import Audience
from cluster.exchange.control import Control
from cluster.exchange.fault_desk import FaultDesk
from cluster.exchange.fault_plan import FaultPlan
from cluster.exchange.faults import FaultLedger, FaultSpec, MessageFaults
from cluster.exchange.history import History
from cluster.exchange.pacing import Opening, Pacer
from cluster.exchange.publisher import Publisher
from cluster.exchange.rest import MarketData
from cluster.exchange.rest_limits import WeightLimit
from cluster.exchange.source import Source, SourceSpec
from cluster.exchange.streams import stream_table
from cluster.exchange.websocket_door import DoorLimits, WebsocketDoor
from features.errors import ConfigError

logger = logging.getLogger(__name__)

ALL_SYMBOLS = -1
"""`wait_for`: one stream of every symbol."""


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """All settings of a local exchange.

    `speed` is event seconds per second, infinity for "as fast as clients take it". `wait_for` is
    how many streams must be subscribed before a tape starts (`ALL_SYMBOLS`: one of each symbol);
    a generated market starts at once. Ports of 0 are chosen by the system. `faults` is the text
    of `fault_plan`. `keep_trades` bounds what REST keeps of each symbol of a generated market.

    `opened_at_ns` is the wall-clock time at which publishing began, or will begin; None: when enough
    streams are subscribed. What is due before the process runs has then been published already, and
    nobody is waited for. Started again with the same settings, an exchange that was killed carries on
    with the same events and ids as if it had never been away.
    """

    source: SourceSpec
    speed: float = 1.0
    skip_idle_s: float | None = None
    wait_for: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    rest_port: int = 0
    faults: str = ""
    weight_per_minute: int = 6_000
    keep_trades: int = 2_000_000
    backlog_bytes: int = 64 * 2**20
    limits: DoorLimits = field(default_factory=DoorLimits)
    opened_at_ns: int | None = None

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ConfigError(f"speed {self.speed} can't be used", fix="give a number above zero")
        if self.skip_idle_s is not None and not self.skip_idle_s >= 0:
            raise ConfigError(f"skip-idle {self.skip_idle_s} can't be used", fix="give seconds, 0 or more")
        if self.wait_for < ALL_SYMBOLS:
            raise ConfigError(f"wait-for {self.wait_for} can't be used", fix="give 0 or more streams")
        if self.opened_at_ns is not None:
            self._check_opening(self.opened_at_ns)

    def _check_opening(self, opened_at_ns: int) -> None:
        if opened_at_ns < 0:
            raise ConfigError(f"opened-at {opened_at_ns} can't be used", fix="give nanoseconds since 1970")
        if math.isinf(self.speed):
            raise ConfigError(
                "opened-at can't be used at speed max: no time says what has been published",
                fix="give a speed, for example --speed 1",
            )
        if not self.source.repeatable:
            raise ConfigError(
                "opened-at can't be used with a market that begins at the wall clock's time",
                fix="give --start-ns; the state of the run before shows its start_ns",
            )


class LocalExchange:
    """A running exchange: `async with LocalExchange(settings) as exchange`.

    Entering reads the source, publishes what lies in the past and listens; it raises DataError or
    ConfigError. Leaving closes all connections. `clock` gives seconds that never go back, `wall_ns` the
    time of day. `opened_at_ns` is the wall-clock time at which publishing began, None before it has.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings
        self.websocket_url = ""
        self.rest_url = ""
        self.opened_at_ns = settings.opened_at_ns
        self._clock = clock
        self._wall_ns = wall_ns
        self._plan = FaultPlan.parse(settings.faults)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._build(self.settings.source.open(self._wall_ns()))
        if self.settings.opened_at_ns is not None:
            await self.publisher.catch_up()
        async with contextlib.AsyncExitStack() as stack:
            server = await self._open_websocket()
            stack.push_async_callback(_close_server, server)
            await self._open_rest(stack)
            stack.push_async_callback(self._stop_tasks)
            run = self.publisher.run(self._may_start)
            self._tasks = [
                asyncio.create_task(run),
                asyncio.create_task(self.desk.run_timed(self._plan, self.publisher)),
            ]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def finished(self) -> None:
        """Return when the tape is at its end; raise what has stopped it before."""
        waiter = asyncio.create_task(self.publisher.finished.wait())
        await asyncio.wait([waiter, self._tasks[0]], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._tasks[0].done():
            self._tasks[0].result()

    def inject(self, spec: FaultSpec) -> None:
        """Carry out a fault now. Raises ConfigError for a symbol that is not traded."""
        self.desk.inject(spec, self.publisher.clock_ns)

    def history(self, symbol: str) -> History:
        """What has been published of a symbol."""
        return self.publisher.histories[[i.symbol for i in self.source.instruments].index(symbol)]

    def state(self) -> dict[str, Any]:
        """What `GET /tickcast/state` shows."""
        publisher, speed = self.publisher, self.settings.speed
        subscribers = self.audience.subscribers()
        return {
            "source": self.source.name,
            "speed": "max" if math.isinf(speed) else speed,
            "start_ns": self.source.start_ns,
            "opened_at_ns": self.opened_at_ns,
            "started": publisher.started.is_set(),
            "finished": publisher.finished.is_set(),
            "clock_ns": publisher.clock_ns,
            "published": publisher.published_trades,
            "symbols": {
                instrument.symbol: _symbol_state(publisher.histories[number], subscribers[number])
                for number, instrument in enumerate(self.source.instruments)
            },
            "left_out": dict(self.source.left_out),
            "connections": len(self.audience.connections),
            "subscribed_streams": len(self.audience.subscribed()),
            "slow_clients_cut": self.audience.slow_clients_cut,
            "connections_refused": self.door.refused,
            "requests_over_weight": self.weight.refused,
            "requests_while_down": self.market_data.requests_while_down,
            "faults": self.desk.ledger.report(),
            "faults_waiting": self.desk.waiting(),
        }

    def _build(self, source: Source) -> None:
        settings = self.settings
        symbols = [instrument.symbol for instrument in source.instruments]
        full_speed = math.isinf(settings.speed)
        self.source = source
        self.audience = Audience(None if full_speed else settings.backlog_bytes)
        ledger = FaultLedger()
        messages = MessageFaults(symbols, ledger)
        self.publisher = Publisher(
            source,
            self._begin,
            self.audience,
            messages,
            self._clock,
            settings.keep_trades if settings.source.live else None,
        )
        self.desk = FaultDesk(symbols, self.audience, messages, ledger, self._clock)
        for spec in self._plan.specs():
            self.desk.check(spec)
        self.desk.run_counted(self._plan, self.publisher)
        self.door = WebsocketDoor(stream_table(source.instruments), self.audience, self.desk, settings.limits)
        self.weight = WeightLimit(settings.weight_per_minute)
        self.market_data = MarketData(
            source.instruments,
            self.publisher.histories,
            lambda: self.publisher.clock_ns,
            self.weight,
            lambda: self._wall_ns() / 1e9,
            lambda: self.desk.rest_is_down,
        )

    async def _open_websocket(self) -> Server:
        try:
            server = await self.door.open(self.settings.host, self.settings.port)
        except OSError as error:
            raise _port_error(self.settings.port, error) from None
        self.websocket_url = f"ws://{self.settings.host}:{next(iter(server.sockets)).getsockname()[1]}"
        return server

    async def _open_rest(self, stack: contextlib.AsyncExitStack) -> None:
        app = web.Application()
        self.market_data.add_routes(app)
        Control(self.state, self.desk, lambda: self.publisher.clock_ns).add_routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.rest_port).start()
        except OSError as error:
            raise _port_error(self.settings.rest_port, error) from None
        self.rest_url = f"http://{self.settings.host}:{runner.addresses[0][1]}"

    def _begin(self) -> Opening:
        settings, now_s, now_ns = self.settings, self._clock(), self._wall_ns()
        if self.opened_at_ns is None:
            self.opened_at_ns = now_ns
        at_s = now_s - (now_ns - self.opened_at_ns) / 1e9
        if math.isinf(settings.speed):
            return Opening(at_s, None)
        # A market with a past keeps pace with the clock once it has caught up with it.
        start_ns = self.opened_at_ns if settings.source.history_s else self.source.start_ns
        return Opening(at_s, Pacer(settings.speed, settings.skip_idle_s, start_ns))

    def _may_start(self) -> bool:
        if self.settings.opened_at_ns is not None:
            return True
        if self.settings.source.live and not self.settings.source.history_s:
            return True
        subscribed = self.audience.subscribed()
        if self.settings.wait_for == ALL_SYMBOLS:
            return len({symbol for symbol, _ in subscribed}) == len(self.source.instruments)
        return len(subscribed) >= self.settings.wait_for

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("the exchange had stopped publishing", exc_info=outcome)


async def _close_server(server: Server) -> None:
    server.close()
    await server.wait_closed()


def _port_error(port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"port {port} can't be used ({error.strerror or error})", fix="choose another, or 0 for a free one"
    )


def _symbol_state(history: History, subscribers: int) -> dict[str, Any]:
    return {
        "published": history.published,
        "first_id": int(history.trade_id[0]) if len(history) else None,
        "last_id": int(history.trade_id[-1]) if len(history) else None,
        "quotes": history.quotes,
        "subscribers": subscribers,
    }
