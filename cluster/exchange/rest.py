"""The REST side: Binance's spot market data endpoints over what has been published.

Endpoints, weights and answers: binance-spot-api-docs `rest-api.md`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from cluster.exchange.history import Aggregates, History
from cluster.exchange.klines import klines
from cluster.exchange.rest_limits import WeightLimit
from cluster.exchange.rest_parameters import Parameters, RequestError
from cluster.exchange.source import Instrument
from cluster.exchange.wire import MICROSECOND_NS, MILLISECOND_NS, buyer_is_maker, decimal

Answer = Callable[[web.Request, int], Any]
"""Gives the JSON of an answer; the number is the unit of its times in nanoseconds."""


class MarketData:
    """Answers the market data endpoints. `clock_ns` gives the exchange's event time."""

    def __init__(
        self,
        instruments: tuple[Instrument, ...],
        histories: list[History],
        clock_ns: Callable[[], int],
        weight: WeightLimit,
        wall_s: Callable[[], float],
        is_down: Callable[[], bool],
    ) -> None:
        self.requests_while_down = 0
        self._instruments = instruments
        self._histories = histories
        self._clock_ns = clock_ns
        self._weight = weight
        self._wall_s = wall_s
        self._is_down = is_down
        self._numbers = {instrument.symbol: i for i, instrument in enumerate(instruments)}

    def add_routes(self, app: web.Application) -> None:
        """Register the endpoints with their weights."""
        endpoints: list[tuple[str, int, Answer]] = [
            ("ping", 1, lambda request, unit_ns: {}),
            ("time", 1, lambda request, unit_ns: {"serverTime": self._clock_ns() // unit_ns}),
            ("exchangeInfo", 20, self._exchange_info),
            ("trades", 25, self._trades),
            ("historicalTrades", 25, self._historical_trades),
            ("aggTrades", 4, self._aggregate_trades),
            ("klines", 2, self._klines),
        ]
        for name, weight, answer in endpoints:
            app.router.add_get(f"/api/v3/{name}", self._handler(weight, answer))

    def _handler(self, weight: int, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Wrap an endpoint with what all have in common: weight, time unit and errors."""

        async def handle(request: web.Request) -> web.Response:
            if self._is_down():
                self.requests_while_down += 1
                return web.Response(status=503, text="Service Unavailable\n")
            admission = self._weight.admit(weight, self._wall_s())
            headers = {"X-MBX-USED-WEIGHT": str(admission.used), "X-MBX-USED-WEIGHT-1M": str(admission.used)}
            try:
                if not admission.admitted:
                    headers["Retry-After"] = str(admission.retry_after_s)
                    raise self._too_many()
                body, status = answer(request, _unit_ns(request)), 200
            except RequestError as error:
                body, status = {"code": error.code, "msg": error.message}, error.status
            return web.Response(
                body=msgspec.json.encode(body),
                status=status,
                headers=headers,
                content_type="application/json",
            )

        return handle

    def _too_many(self) -> RequestError:
        limit = self._weight.per_minute
        return RequestError(
            -1003,
            f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            status=429,
        )

    def _trades(self, request: web.Request, unit_ns: int) -> Any:
        parameters = Parameters(request.query, ("symbol", "limit"))
        history = self._histories[parameters.symbol(self._numbers)]
        end = len(history)
        return _trade_rows(history, max(0, end - parameters.limit()), end, unit_ns)

    def _historical_trades(self, request: web.Request, unit_ns: int) -> Any:
        parameters = Parameters(request.query, ("symbol", "limit", "fromId"))
        history = self._histories[parameters.symbol(self._numbers)]
        limit, from_id = parameters.limit(), parameters.number("fromId")
        if from_id is None:
            start = max(0, len(history) - limit)
        else:
            start = int(np.searchsorted(history.trade_id, from_id))
        return _trade_rows(history, start, min(start + limit, len(history)), unit_ns)

    def _aggregate_trades(self, request: web.Request, unit_ns: int) -> Any:
        allowed = ("symbol", "limit", "fromId", "startTime", "endTime")
        parameters = Parameters(request.query, allowed)
        history = self._histories[parameters.symbol(self._numbers)]
        limit, from_id = parameters.limit(), parameters.number("fromId")
        start_ns, end_ns = parameters.times()
        if from_id is not None and (start_ns is not None or end_ns is not None):
            raise RequestError(-1128, "Combination of optional parameters invalid.")
        start, end = 0, history.aggregate_count
        if from_id is not None:
            start = min(max(0, from_id - history.first_aggregate_id), end)
        if start_ns is not None:
            start = history.aggregate_at(int(np.searchsorted(history.ts_ns, start_ns, side="left")))
        if end_ns is not None:
            end = history.aggregate_at(int(np.searchsorted(history.ts_ns, end_ns, side="right")))
        if from_id is None and start_ns is None:
            start = max(start, end - limit)
        return _aggregate_rows(history.aggregates(start, max(start, min(end, start + limit))), unit_ns)

    def _klines(self, request: web.Request, unit_ns: int) -> Any:
        allowed = ("symbol", "interval", "startTime", "endTime", "limit")
        parameters = Parameters(request.query, allowed)
        history = self._histories[parameters.symbol(self._numbers)]
        interval, (start_ns, end_ns) = parameters.interval(), parameters.times()
        return klines(history, interval, start_ns, end_ns, parameters.limit(), self._clock_ns(), unit_ns)

    def _exchange_info(self, request: web.Request, unit_ns: int) -> Any:
        parameters = Parameters(request.query, ("symbol",))
        chosen = self._instruments
        if "symbol" in request.query:
            chosen = (self._instruments[parameters.symbol(self._numbers)],)
        return {
            "timezone": "UTC",
            "serverTime": self._clock_ns() // unit_ns,
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": self._weight.per_minute,
                }
            ],
            "exchangeFilters": [],
            "symbols": [_symbol_info(instrument) for instrument in chosen],
        }


def _unit_ns(request: web.Request) -> int:
    micro = request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
    return MICROSECOND_NS if micro else MILLISECOND_NS


def _trade_rows(history: History, start: int, end: int, unit_ns: int) -> list[dict[str, Any]]:
    price, size = history.price[start:end], history.size[start:end]
    columns = (
        history.trade_id[start:end].tolist(),
        price.tolist(),
        size.tolist(),
        (price * size).tolist(),
        (history.ts_ns[start:end] // unit_ns).tolist(),
        history.side[start:end].tolist(),
    )
    return [
        {
            "id": trade_id,
            "price": decimal(price),
            "qty": decimal(size),
            "quoteQty": decimal(value),
            "time": time,
            "isBuyerMaker": buyer_is_maker(side),
            "isBestMatch": True,
        }
        for trade_id, price, size, value, time, side in zip(*columns, strict=True)
    ]


def _aggregate_rows(made: Aggregates, unit_ns: int) -> list[dict[str, Any]]:
    columns = (
        made.aggregate_id.tolist(),
        made.price.tolist(),
        made.size.tolist(),
        made.first_id.tolist(),
        made.last_id.tolist(),
        (made.ts_ns // unit_ns).tolist(),
        made.side.tolist(),
    )
    return [
        {
            "a": number,
            "p": decimal(price),
            "q": decimal(size),
            "f": first,
            "l": last,
            "T": time,
            "m": buyer_is_maker(side),
            "M": True,
        }
        for number, price, size, first, last, time, side in zip(*columns, strict=True)
    ]


def _symbol_info(instrument: Instrument) -> dict[str, Any]:
    base, quote = instrument.assets()
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quoteAssetPrecision": 8,
        "isSpotTradingAllowed": True,
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": instrument.tick_size}],
    }
