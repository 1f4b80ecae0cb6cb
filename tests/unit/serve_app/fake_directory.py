"""A cluster without Ray: what the API needs of one, answering at once and failing on demand."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

RECEIVED_NS = 1_769_904_000_000_000_000


class FakeDirectory:
    """A `SymbolDirectory`. Counts what it is asked; `gate` holds answers back until it is set."""

    def __init__(self, *symbols: str) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.answers: dict[tuple[str, str], Any] = {}
        """By symbol and method: what is answered, or the error that is raised."""
        self.asked: Counter[tuple[str, str]] = Counter()
        self.looks = 0
        self.unreachable: Exception | None = None
        self.pushed: dict[str, Any] = {}
        self.pushing = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        for symbol in symbols:
            self.watch(symbol)

    def watch(self, symbol: str, state: str = "live", reason: str = "") -> None:
        horizons = ["10s", "60s"]
        self.entries = self.entries | {
            symbol: {"state": state, "horizons": horizons, "venue": "binance", "reason": reason}
        }
        self.answers[symbol, "forecasts"] = forecasts_answer(symbol, horizons)
        self.answers[symbol, "features"] = {
            "symbol": symbol,
            "at_ns": RECEIVED_NS,
            "session": 1,
            "warm": True,
            "values": {"ema:20": 101.5, "rsi:14": None},
        }
        self.answers[symbol, "scores"] = {
            "symbol": symbol,
            "scores": [score("experts", horizon) for horizon in horizons],
            "weights": {horizon: {"naive": 0.6, "ridge": 0.4} for horizon in horizons},
        }

    async def symbols(self) -> Mapping[str, Mapping[str, Any]]:
        self.looks += 1
        await asyncio.sleep(0)
        if self.unreachable:
            raise self.unreachable
        return self.entries

    async def ask(self, symbol: str, method: str, *arguments: Any) -> Any:
        self.asked[symbol, method] += 1
        if method == "next_forecasts":
            return await self._next_forecasts(symbol, *arguments)
        await asyncio.sleep(0)
        await self.gate.wait()
        answer = self.answers[symbol, method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _next_forecasts(self, symbol: str, after: int, timeout_s: float) -> Any:
        """Nothing new comes unless `pushed` is set: then what it holds, or the error that it is."""
        await self.pushing.wait()
        answer = self.pushed.get(symbol)
        if isinstance(answer, Exception):
            raise answer
        while answer is None or answer["sequence"] <= after:
            self.pushing.clear()
            await self.pushing.wait()
            answer = self.pushed.get(symbol)
            if isinstance(answer, Exception):
                raise answer
        return answer

    def push(self, symbol: str, answer: Any) -> None:
        """Let the actor of a symbol have newer forecasts, or fail those who wait for them."""
        self.pushed[symbol] = answer
        self.pushing.set()


def forecast(symbol: str, horizon: str, price: float = 101.25) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "horizon": horizon,
        "made_at_ns": RECEIVED_NS,
        "due_ns": RECEIVED_NS + 10**10,
        "price": price,
        "expected_return": 1e-5,
        "price_forecast": price * 1.00001,
        "lower": price * 0.999,
        "upper": price * 1.001,
        "coverage": 0.9,
        "p_up": 0.512,
        "model": "experts",
        "version": 3,
        "watermark_ns": RECEIVED_NS - 1,
        "watermark_trade_id": 77,
        "warm": True,
        "degraded": [],
    }


def forecasts_answer(symbol: str, horizons: list[str]) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "ready": True,
        "reason": "",
        "retry_after_s": 0.0,
        "received_ns": RECEIVED_NS,
        "sequence": 5,
        "by_horizon": {horizon: json.dumps(forecast(symbol, horizon)).encode() for horizon in horizons},
    }


def not_ready_answer(symbol: str, reason: str, retry_after_s: float) -> dict[str, Any]:
    answer = forecasts_answer(symbol, [])
    return answer | {"ready": False, "reason": reason, "retry_after_s": retry_after_s, "received_ns": 0}


def score(model: str, horizon: str) -> dict[str, Any]:
    measures = {
        "weight": 8421.0,
        "r2": 0.0023,
        "skill_low": -0.0004,
        "skill_high": 0.005,
        "hit_rate": 0.514,
        "coverage": 0.897,
    }
    return {
        "model": model,
        "horizon": horizon,
        "count": 8421,
        "voided": 12,
        "lifetime": measures,
        "recent": measures | {"r2": None},
    }
