"""A forecast, and the answer that it is scored against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one symbol's price is expected to be when one horizon has passed.

    Times are event times in ns; prices are in the symbol's quote currency; `expected_return` is a log
    return. The forecast stands for the reference price: the mid of the book where there is one, else
    the last price.
    """

    symbol: str
    horizon: str
    made_at_ns: int
    due_ns: int
    price: float
    """Reference price at made_at_ns."""
    expected_return: float
    price_forecast: float
    """price * exp(expected_return)."""
    lower: float
    upper: float
    """Bounds of the price at due_ns at the stated coverage."""
    coverage: float
    p_up: float
    """Probability that the price at due_ns is above `price`."""
    model: str
    version: int
    watermark_ns: int
    """Event time of the newest trade or quote that the forecast knows."""
    watermark_trade_id: int | None
    """Id of the newest trade that the forecast knows; None where the venue gives none."""
    warm: bool
    """Whether every window of every feature was full."""
    degraded: tuple[str, ...]
    """Why the forecast is worth less than usual; empty when it is not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A forecast whose horizon has passed. Returns are log returns since made_at_ns."""

    horizon: str
    made_at_ns: int
    due_ns: int
    price: float
    forecast: float
    lower: float
    upper: float
    outcome: float
    """NaN when the session ended before the question was due: void, not scored."""
