"""Carries out faults, ordered over REST or planned: the one place that knows what each kind touches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from cluster.exchange.connection import Audience, ExchangeConnection
from cluster.exchange.fault_plan import FaultPlan, TimedFault
from cluster.exchange.faults import FaultKind, FaultLedger, FaultSpec, MessageFaults
from cluster.exchange.publisher import Publisher
from cluster.exchange.wire import shutdown_notice
from features.errors import ConfigError


class FaultDesk:
    """Faults on command and on schedule. `clock` is the publisher's."""

    def __init__(
        self,
        symbols: list[str],
        audience: Audience,
        messages: MessageFaults,
        ledger: FaultLedger,
        clock: Callable[[], float],
    ) -> None:
        self.ledger = ledger
        self._symbols = symbols
        self._audience = audience
        self._messages = messages
        self._clock = clock
        self._refuse_until_s = 0.0
        self._rest_down_until_s = 0.0

    def check(self, spec: FaultSpec) -> None:
        """Raises ConfigError when the fault names a symbol that is not traded here."""
        if spec.symbol and spec.symbol not in self._symbols:
            raise ConfigError(
                f"symbol {spec.symbol!r} is not traded here", fix=f"use one of: {', '.join(self._symbols)}"
            )

    def inject(self, spec: FaultSpec, clock_ns: int) -> None:
        """Carry out a fault now. `clock_ns` is the exchange's event time. Raises ConfigError."""
        self.check(spec)
        match spec.kind:
            case FaultKind.DROP_CONNECTION:
                for connection in self._concerned(spec)[: spec.count]:
                    self._audience.abort(connection)
                    self.ledger.record(spec.kind, spec.symbol)
            case FaultKind.SHUTDOWN_NOTICE:
                self._announce_shutdown(spec, clock_ns)
            case FaultKind.REFUSE_CONNECTIONS:
                self._refuse_until_s = max(self._refuse_until_s, self._clock() + spec.seconds)
                self.ledger.record(spec.kind)
            case FaultKind.REST_DOWN:
                self._rest_down_until_s = max(self._rest_down_until_s, self._clock() + spec.seconds)
                self.ledger.record(spec.kind)
            case _:
                self._messages.arm(spec, self._clock())

    @property
    def refuses_connections(self) -> bool:
        """Whether new connections are turned away now."""
        return self._clock() < self._refuse_until_s

    @property
    def rest_is_down(self) -> bool:
        """Whether REST is out of order now."""
        return self._clock() < self._rest_down_until_s

    def waiting(self) -> list[dict[str, Any]]:
        """The faults of single trades that are not carried out yet: kind, symbol, count."""
        return self._messages.waiting()

    async def run_timed(self, plan: FaultPlan, publisher: Publisher) -> None:
        """Carry out the timed and the random part of a plan, counted from the opening of the exchange.

        What was due before the publisher went live has had its time and is left out.
        """
        await publisher.started.wait()
        async with asyncio.TaskGroup() as group:
            for faults in (plan.timed, *(endless.faults() for endless in plan.random)):
                group.create_task(self._run_in_time(faults, publisher))

    def run_counted(self, plan: FaultPlan, publisher: Publisher) -> None:
        """Let the publisher carry out the faults that are due at a number of trades.

        Numbers that it had passed before it went live are left out.
        """
        waiting = list(plan.counted)

        def on_trades(published: int) -> int | None:
            while waiting and waiting[0].at_trades <= published:
                fault = waiting.pop(0)
                if fault.at_trades >= publisher.past_trades:
                    self.inject(fault.spec, publisher.clock_ns)
            return waiting[0].at_trades if waiting else None

        publisher.on_trades = on_trades

    async def _run_in_time(self, faults: Iterable[TimedFault], publisher: Publisher) -> None:
        for fault in faults:
            at_s = publisher.opened_s + fault.at_s
            if at_s >= publisher.live_s:
                await asyncio.sleep(max(0.0, at_s - self._clock()))
                self.inject(fault.spec, publisher.clock_ns)

    def _announce_shutdown(self, spec: FaultSpec, clock_ns: int) -> None:
        for connection in self._concerned(spec):
            connection.write_text(shutdown_notice(clock_ns, connection.subscriptions.dialect))
            connection.close_later(1001, "server shutdown", spec.seconds)
            self.ledger.record(spec.kind, spec.symbol)

    def _concerned(self, spec: FaultSpec) -> list[ExchangeConnection]:
        """The connections that get the fault's symbol, oldest first; all of them without a symbol."""
        if not spec.symbol:
            return list(self._audience.connections)
        symbol = self._symbols.index(spec.symbol)
        return [
            connection
            for connection in self._audience.connections
            if any(stream.symbol == symbol for stream in connection.subscriptions.streams)
        ]
