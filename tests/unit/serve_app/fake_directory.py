"""A cluster without Ray: what the API needs of one, answering at once and failing on demand."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cluster.latency import LatencyHistogram
from cluster.trade_order import TradeOrder
from cluster.venues.base import Trade

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
        self.in_vain: set[str] = set()
        """Symbols whose polls end without newer forecasts."""
        self.said: dict[str, dict[str, Any]] = {}
        """What `status` answers."""
        self.agents: dict[str, dict[str, Any]] = {}
        """What `nodes` answers."""
        self.agents_unreachable: Exception | None = None
        self.scrapes = 0
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
            "slots": {"champion": 3, "challenger1": 5},
            "scores": [score("experts", horizon) for horizon in horizons] + [score("champion", "60s", 3)],
            "duels": [score("challenger1", "60s", 5) | {"champion": 3}],
            "weights": {horizon: {"naive": 0.6, "ridge": 0.4} for horizon in horizons},
        }
        self.answers[symbol, "continuity"] = {"symbol": symbol, **stream_report(symbol)}

    async def symbols(self) -> Mapping[str, Mapping[str, Any]]:
        self.looks += 1
        await asyncio.sleep(0)
        if self.unreachable:
            raise self.unreachable
        return self.entries

    async def status(self) -> Mapping[str, Mapping[str, Any]]:
        self.scrapes += 1
        await self.gate.wait()
        if self.unreachable:
            raise self.unreachable
        return self.said

    async def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        await asyncio.sleep(0)
        if self.agents_unreachable:
            raise self.agents_unreachable
        return self.agents

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
        """Nothing new comes unless `pushed` is set: then what it holds, or the error that it is.

        A poll ends in vain, with what is pushed though it is known, where `in_vain` has the symbol.
        """
        await self.pushing.wait()
        answer = self.pushed.get(symbol)
        if isinstance(answer, Exception):
            raise answer
        while answer is None or (answer["sequence"] <= after and symbol not in self.in_vain):
            self.pushing.clear()
            await self.pushing.wait()
            answer = self.pushed.get(symbol)
            if isinstance(answer, Exception):
                raise answer
        self.in_vain.discard(symbol)
        return answer

    def push(self, symbol: str, answer: Any) -> None:
        """Let the actor of a symbol have newer forecasts, or fail those who wait for them."""
        self.pushed[symbol] = answer
        self.pushing.set()

    def end_poll(self, symbol: str, answer: Any) -> None:
        """Let the time of a poll be up: it gets what the actor has by then."""
        self.in_vain.add(symbol)
        self.push(symbol, answer)


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
        "recovering": False,
        "reason": "",
        "retry_after_s": 0.0,
        "received_ns": RECEIVED_NS,
        "sequence": 5,
        "by_horizon": {horizon: json.dumps(forecast(symbol, horizon)).encode() for horizon in horizons},
    }


def not_ready_answer(symbol: str, reason: str, retry_after_s: float) -> dict[str, Any]:
    answer = forecasts_answer(symbol, [])
    return answer | {"ready": False, "reason": reason, "retry_after_s": retry_after_s, "received_ns": 0}


def recovering_answer(symbol: str, reason: str) -> dict[str, Any]:
    """An actor that was killed and has to catch up: its forecasts of before are restored, but old."""
    answer = forecasts_answer(symbol, ["10s", "60s"])
    return answer | {"ready": False, "recovering": True, "reason": reason, "retry_after_s": 1.0}


def trade(symbol: str, trade_id: int) -> Trade:
    return Trade(symbol, RECEIVED_NS, RECEIVED_NS, trade_id, 101.25, 1.0, 1)


def stream_report(symbol: str) -> dict[str, Any]:
    """Trades 100 to 109 with 102 said twice and 104 to 106 lost for good, as a symbol's stream reports it."""
    order = TradeOrder(symbol, hold_limit=100)
    for trade_id in (100, 101, 102, 102, 103, 107, 108, 109):
        order.accept([trade(symbol, trade_id)])
    order.give_up()
    return {
        "continuity": order.report() | {"recovering": "", "worst_lateness_s": 0.25},
        "storage": {
            "epoch": 1_769_896_800_123,
            "next_sequence": 7,
            "log_bytes": 4096,
            "checkpoint_ns": RECEIVED_NS - 2_000_000_000,
            "replayed": 3,
            "problem": "",
            "problems": [],
        },
    }


def actor_status(symbol: str) -> dict[str, Any]:
    """What the supervisor says of a symbol that is live."""
    latency = LatencyHistogram()
    latency.add(1_000_000)
    return {
        "state": "live",
        "reason": "",
        "replaced": 2,
        "symbol": symbol,
        "opened": True,
        "events": {"trades": 7, "bars": 4},
        "tick_to_forecast": latency.report(),
        "models": {
            "slots": {"champion": 3, "challenger1": 0},
            "wanted": {"champion": 3, "challenger1": 5},
            "pointer": 4,
            "problems": {"challenger1": "model 5: its file is damaged"},
        },
        **stream_report(symbol),
    }


def agent_status() -> dict[str, Any]:
    """What the agent of a node says while all is well."""
    return {
        "lake": "file:///lake",
        "segments": 12,
        "waiting": 2,
        "waiting_bytes": 8192,
        "failing_since_ns": None,
        "problem": "",
        "damaged": [],
    }


def score(model: str, horizon: str, version: int = 0) -> dict[str, Any]:
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
        "version": version,
        "count": 8421,
        "voided": 12,
        "lifetime": measures,
        "recent": measures | {"r2": None},
    }
