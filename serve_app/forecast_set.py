"""The newest forecasts of one symbol, ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.durations import parse_ns
from features.errors import NotWarm, SpecError, TickcastError, UnknownHorizon
from serve_app.errors import RECOVERING, Recovering

_LONGEST_HORIZON = 16


@dataclass(frozen=True, slots=True)
class ForecastSet:
    """What a symbol actor answered to `forecasts()`.

    The actor encodes each forecast once. Here its JSON is kept without the closing brace, so that an
    answer costs one look-up and one splice of the age.
    """

    symbol: str
    heads: dict[str, bytes]
    """By horizon: the JSON object up to its closing brace. Empty when the symbol is not ready."""
    received_ns: int
    """Our clock when the newest event behind the forecasts was received."""
    horizons: tuple[str, ...]
    """Every horizon that is forecast once the symbol is ready."""
    reason: str
    retry_after_s: float
    recovering: bool
    """It is not ready because it has to catch up after a restart, not because it has seen too little."""

    @classmethod
    def read(cls, answer: Mapping[str, Any], horizons: Sequence[str]) -> ForecastSet:
        """From the actor's answer and the horizons that the supervisor says are configured."""
        ready = answer["by_horizon"] if answer["ready"] else {}
        return cls(
            symbol=answer["symbol"],
            heads={horizon: body.rstrip()[:-1] for horizon, body in ready.items()},
            received_ns=answer["received_ns"],
            horizons=tuple(horizons) or tuple(ready),
            reason=answer["reason"] or "no forecast has been made yet",
            retry_after_s=answer["retry_after_s"],
            recovering=not answer["ready"] and answer["recovering"],
        )

    def one(self, horizon: str, now_ns: int) -> bytes:
        """The forecast at one horizon as a JSON object. Raises UnknownHorizon, NotWarm or Recovering."""
        head = self.heads.get(horizon)
        if head is None:
            head = self._head_of_same_length(horizon)
        return head + self._tail(now_ns)

    def all(self, now_ns: int) -> list[bytes]:
        """The forecasts at all horizons, each a JSON object. Raises NotWarm or Recovering."""
        if not self.heads:
            raise self._refusal()
        tail = self._tail(now_ns)
        return [head + tail for head in self.heads.values()]

    def _tail(self, now_ns: int) -> bytes:
        # Clocks of two machines differ a little; an age below 0 would only puzzle.
        return b',"age_s":%.3f}' % (max(now_ns - self.received_ns, 0) * 1e-9)

    def _head_of_same_length(self, horizon: str) -> bytes:
        """For a horizon that is not there by this name: "1m" is "60s"."""
        asked_ns = _length_ns(horizon)
        for name in {**self.heads, **dict.fromkeys(self.horizons)}:
            if name == horizon or (asked_ns and asked_ns == _length_ns(name)):
                if name in self.heads:
                    return self.heads[name]
                raise self._refusal()
        raise UnknownHorizon(horizon, self.horizons)

    def _refusal(self) -> TickcastError:
        """Why there is no forecast."""
        if self.recovering:
            return Recovering(self.symbol, self.retry_after_s, self.reason, RECOVERING)
        return NotWarm(self.symbol, self.retry_after_s, self.reason)


def _length_ns(horizon: str) -> int:
    """Length of a horizon, 0 for text that is no duration."""
    try:
        return parse_ns(horizon) if len(horizon) <= _LONGEST_HORIZON else 0
    except SpecError:
        return 0
