"""From a request to a symbol's actor and back, without Ray or HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from features.errors import NotWarm, TickcastError
from serve_app.continuity import read_continuity
from serve_app.errors import InvalidRequest, Recovering, SupervisorUnreachable
from serve_app.forecast_set import ForecastSet
from serve_app.metrics import Metrics
from serve_app.shared_calls import SharedCalls
from serve_app.subscriptions import Subscriptions
from serve_app.symbol_list import SymbolList

if TYPE_CHECKING:
    from serve_app.directory import SymbolDirectory

LONGEST_SYMBOL = 64
SYMBOL_PATTERN = r"[A-Za-z0-9._:/=^-]{1,64}"
_SYMBOL = re.compile(SYMBOL_PATTERN)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one part of a batch has no answer."""

    symbol: str
    horizon: str | None
    """None where no horizon of the symbol has an answer."""
    error: TickcastError


@dataclass(frozen=True, slots=True)
class Readiness:
    """Which symbols can be asked: ready as soon as one is live."""

    live: list[str]
    not_live: list[dict[str, str]]
    """`symbol`, `state` and `reason` of each."""


class ForecastRouter:
    """Answers questions about symbols by name. For one event loop.

    Forecasts of symbols that are asked for are followed (`subscriptions`) and answered from memory. What
    is not at hand is asked of the actor: requests for one symbol that are in flight at the same time
    share one actor call, and one that joins a call under way gets an answer that can be older than its
    own arrival by at most the time of that call. `age_s` is taken when the answer is sent.

    Every method raises UnknownSymbol, InvalidRequest for text that can't be a symbol, NotWarm,
    Recovering or SupervisorUnreachable. Symbols may be given in lower case where that is unambiguous.
    """

    def __init__(
        self,
        directory: SymbolDirectory,
        clock_ns: Callable[[], int] = time.time_ns,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._clock_ns = clock_ns
        self._list = SymbolList(directory.symbols, now_s)
        self._calls: SharedCalls[Any] = SharedCalls()
        self._subscriptions = Subscriptions(directory, self._read_forecasts, now_s)
        self._metrics = Metrics(directory, clock_ns, now_s)

    async def forecast(self, symbol: str, horizon: str) -> bytes:
        """One forecast as a JSON object. Raises UnknownHorizon too."""
        forecasts = await self._forecasts(symbol)
        return forecasts.one(horizon, self._clock_ns())

    async def forecasts(self, symbol: str) -> bytes:
        """The forecasts at all horizons: a JSON object of `symbol` and `forecasts`."""
        forecasts = await self._forecasts(symbol)
        objects = b",".join(forecasts.all(self._clock_ns()))
        return b'{"symbol":%b,"forecasts":[%b]}' % (msgspec.json.encode(forecasts.symbol), objects)

    async def batch(
        self, symbols: Sequence[str], horizons: Sequence[str] | None
    ) -> tuple[list[bytes], list[Refusal]]:
        """Forecasts of many symbols, and why those that are missing are missing.

        One actor call per symbol, all at once. A symbol asked for twice is answered once. `horizons` None
        asks for all of each symbol. Raises SupervisorUnreachable only if no symbol could be asked.
        """
        asked = list(dict.fromkeys(symbols))
        answers = await asyncio.gather(*(self._try_forecasts(symbol) for symbol in asked))
        now_ns = self._clock_ns()
        seen: set[str] = set()
        objects: list[bytes] = []
        refusals: list[Refusal] = []
        for symbol, answer in zip(asked, answers, strict=True):
            if isinstance(answer, TickcastError):
                refusals.append(Refusal(symbol, None, answer))
            elif answer.symbol not in seen:
                seen.add(answer.symbol)
                _collect(answer, horizons, now_ns, objects, refusals)
        unreachable = [r.error for r in refusals if isinstance(r.error, SupervisorUnreachable)]
        if unreachable and not seen:
            raise unreachable[0]
        return objects, refusals

    async def features(self, symbol: str) -> bytes:
        """The newest features of a symbol as a JSON object."""
        name = self._list.find(symbol) or await self._resolve(symbol)
        answer: bytes = await self._share(name, "features", _encode)
        return answer

    async def scores(self, symbol: str) -> bytes:
        """The scores of all models of a symbol as a JSON object."""
        name = self._list.find(symbol) or await self._resolve(symbol)
        answer: bytes = await self._share(name, "scores", _encode)
        return answer

    async def continuity(self, symbol: str) -> bytes:
        """What was seen of a symbol's trades and what is missing, as a JSON object."""
        name = self._list.find(symbol) or await self._resolve(symbol)
        answer: bytes = await self._share(name, "continuity", self._read_continuity)
        return answer

    async def metrics(self) -> bytes:
        """Metrics of all symbols and nodes in Prometheus' text format. Raises SupervisorUnreachable."""
        return await self._metrics.text()

    async def symbols(self) -> Mapping[str, Mapping[str, Any]]:
        """What the supervisor said of every watched symbol, a few seconds ago at most."""
        return await self._list.entries()

    async def readiness(self) -> Readiness:
        """Which symbols are live, and why the others are not."""
        entries = await self._list.entries()
        return Readiness(
            live=sorted(name for name, entry in entries.items() if entry["state"] == "live"),
            not_live=[
                {"symbol": name, "state": entry["state"], "reason": entry.get("reason", "")}
                for name, entry in sorted(entries.items())
                if entry["state"] != "live"
            ],
        )

    async def _resolve(self, symbol: str) -> str:
        if not _SYMBOL.fullmatch(symbol):
            raise InvalidRequest(
                "symbol",
                f"{symbol[:LONGEST_SYMBOL]!a} can't be a symbol",
                f"use 1 to {LONGEST_SYMBOL} of the characters A-Z a-z 0-9 . - _ / : = ^",
            )
        return await self._list.resolve(symbol)

    def _share(self, name: str, method: str, prepare: Callable[[str, Any], Any]) -> Awaitable[Any]:
        """The shared call of an actor's method; what it answers is prepared once for all who wait."""
        return self._calls.join((name, method), partial(self._ask, name, method, prepare))

    async def _ask(self, name: str, method: str, prepare: Callable[[str, Any], Any]) -> Any:
        try:
            answer = await self._directory.ask(name, method)
        except Recovering as error:
            entry = self._list.entry(name)
            state, reason = entry.get("state", ""), entry.get("reason", "") or error.reason
            if state == "starting":
                raise NotWarm(name, error.retry_after_s, reason) from error
            raise Recovering(name, error.retry_after_s, reason, state) from error
        return prepare(name, answer)

    async def _forecasts(self, symbol: str) -> ForecastSet:
        name = self._list.find(symbol) or await self._resolve(symbol)
        newest = self._subscriptions.newest(name)
        if newest is not None:
            return newest
        forecasts: ForecastSet = await self._share(name, "forecasts", self._read_forecasts)
        return forecasts

    async def _try_forecasts(self, symbol: str) -> ForecastSet | TickcastError:
        try:
            return await self._forecasts(symbol)
        except TickcastError as error:
            return error

    def _read_forecasts(self, name: str, answer: Mapping[str, Any]) -> ForecastSet:
        return ForecastSet.read(answer, self._list.entry(name).get("horizons", ()))

    def _read_continuity(self, name: str, answer: Mapping[str, Any]) -> bytes:
        return msgspec.json.encode(read_continuity(name, answer, self._clock_ns()))


def _collect(
    forecasts: ForecastSet,
    horizons: Sequence[str] | None,
    now_ns: int,
    objects: list[bytes],
    refusals: list[Refusal],
) -> None:
    """Add one symbol's forecasts to a batch, and a refusal for each that there is not."""
    if horizons is None or not forecasts.heads:
        try:
            objects.extend(forecasts.all(now_ns))
        except TickcastError as error:
            refusals.append(Refusal(forecasts.symbol, None, error))
        return
    for horizon in dict.fromkeys(horizons):
        try:
            objects.append(forecasts.one(horizon, now_ns))
        except TickcastError as error:
            refusals.append(Refusal(forecasts.symbol, horizon, error))


def _encode(name: str, answer: Any) -> bytes:
    # NaN and infinity become null.
    return msgspec.json.encode(answer)
