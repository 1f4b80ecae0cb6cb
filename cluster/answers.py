"""What a symbol's actor answers: its newest forecasts and features, encoded once, and who waits for them."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import msgspec

from features.engine import Step

_LONG_POLL_LIMIT_S = 60.0
_NOTHING: dict[str, Any] = {"at_ns": None, "session": None, "warm": False, "values": {}}


class _Saved(msgspec.Struct, array_like=True):
    by_horizon: dict[str, bytes]
    known_ns: int
    sequence: int
    features: dict[str, Any]


class Answers:
    """The newest forecast of every horizon and the newest features. For one event loop."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.by_horizon: dict[str, bytes] = {}
        """Each forecast as a JSON object."""
        self.known_ns = 0
        """Our clock when the newest event behind the forecasts was received."""
        self.sequence = 0
        """Counts up with every renewal, over restarts."""
        self._columns = columns
        self._features = _NOTHING | {"values": dict.fromkeys(columns)}
        self._renewed = asyncio.Event()

    def publish(self, step: Step, received_ns: int) -> bool:
        """Take over what a step has brought; whether there are new forecasts."""
        if len(step.bars):
            self._remember(step)
        if not step.forecasts:
            return False
        newest = step.forecasts[-1].made_at_ns
        for forecast in reversed(step.forecasts):
            if forecast.made_at_ns != newest:
                break
            self.by_horizon[forecast.horizon] = msgspec.json.encode(forecast)
        self.sequence += 1
        self.known_ns = received_ns
        self.wake()
        return True

    def wake(self) -> None:
        """Let those who wait look again."""
        self._renewed.set()
        self._renewed = asyncio.Event()

    async def wait_beyond(self, sequence: int, timeout_s: float) -> None:
        """Return when there is a renewal after number `sequence`, or the time is up."""
        deadline = time.monotonic() + min(timeout_s, _LONG_POLL_LIMIT_S)
        while self.sequence <= sequence and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._renewed.wait(), left)
            except TimeoutError:
                return

    def features(self, symbol: str) -> dict[str, Any]:
        """The features at the newest bar; a missing one is None."""
        return {"symbol": symbol, **self._features}

    def snapshot(self) -> bytes:
        """All of it, for a checkpoint."""
        return msgspec.msgpack.encode(_Saved(self.by_horizon, self.known_ns, self.sequence, self._features))

    def restore(self, data: bytes) -> None:
        """Take over what `snapshot` gave."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self.by_horizon, self.known_ns, self.sequence = saved.by_horizon, saved.known_ns, saved.sequence
        if saved.features["values"].keys() == dict.fromkeys(self._columns).keys():
            self._features = saved.features

    def _remember(self, step: Step) -> None:
        row = step.features[-1].tolist()
        values = [value if math.isfinite(value) else None for value in row]
        self._features = {
            "at_ns": int(step.bars.end_ns[-1]),
            "session": int(step.bars.session[-1]),
            "warm": None not in values,
            "values": dict(zip(self._columns, values, strict=True)),
        }
