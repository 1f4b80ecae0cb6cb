"""What requests and answers look like.

Requests are checked by these models. Answers are sent as the actors encoded them; for them the models
are documentation, and the tests hold the answers against them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

MOST_SYMBOLS = 100
MOST_HORIZONS = 16

FORECAST_EXAMPLE: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "horizon": "60s",
    "made_at_ns": 1769904000000000000,
    "due_ns": 1769904060000000000,
    "price": 78123.45,
    "expected_return": 0.000012,
    "price_forecast": 78124.39,
    "lower": 78051.2,
    "upper": 78197.1,
    "coverage": 0.9,
    "p_up": 0.512,
    "model": "experts",
    "version": 3,
    "watermark_ns": 1769903999874000000,
    "watermark_trade_id": 4521987745,
    "warm": True,
    "degraded": [],
    "age_s": 0.123,
}
_TEN_SECONDS = FORECAST_EXAMPLE | {
    "horizon": "10s",
    "due_ns": 1769904010000000000,
    "expected_return": 0.000003,
    "price_forecast": 78123.68,
    "lower": 78093.9,
    "upper": 78153.2,
    "p_up": 0.506,
}
METRICS_EXAMPLE = """\
# HELP tickcast_trades_seen_total Different trades taken in or stored.
# TYPE tickcast_trades_seen_total counter
tickcast_trades_seen_total{symbol="BTCUSDT"} 1841220.0
"""
_MEASURES_EXAMPLE: dict[str, Any] = {
    "weight": 8421.0,
    "sample": 8421.0,
    "mse": 1.31e-07,
    "mse_naive": 1.313e-07,
    "mae": 0.000251,
    "mae_naive": 0.000252,
    "bias": 1.1e-06,
    "r2": 0.0023,
    "skill_low": -0.0004,
    "skill_high": 0.005,
    "dm": 1.67,
    "dm_p": 0.095,
    "hit_weight": 8102.0,
    "hit_rate": 0.514,
    "interval_weight": 8421.0,
    "coverage": 0.897,
    "mean_width": 0.00187,
    "pinball_lower": 1.9e-05,
    "pinball_upper": 1.9e-05,
    "interval_score": 0.00076,
}


class Answer(BaseModel):
    """Answers may grow members in a later version; programs should pass over those they don't know."""

    model_config = ConfigDict(extra="allow")


class SymbolEntry(Answer):
    """What the supervisor says of one symbol."""

    symbol: str = Field(description="Name of the symbol, as all routes take it.")
    state: Literal["starting", "live", "recovering", "failed"]
    horizons: list[str] = Field(description="Horizons that are forecast, shortest first.")
    venue: str = Field(description="Where its trades and quotes come from.")
    reason: str = Field("", description="Why the state is not live; empty when it is.")


class SymbolsAnswer(Answer):
    """All watched symbols, in alphabetical order."""

    symbols: list[SymbolEntry]
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "symbols": [
                    {
                        "symbol": "BTCUSDT",
                        "state": "live",
                        "horizons": ["10s", "60s"],
                        "venue": "binance",
                        "reason": "",
                    }
                ]
            }
        }
    )


class Forecast(Answer):
    """What one symbol's price is expected to be when one horizon has passed.

    Prices are in the quote currency of the symbol and stand for the mid of the best bid and ask where
    there is a book, else for the last trade.
    """

    symbol: str
    horizon: str = Field(description="Time from made_at_ns to due_ns.")
    made_at_ns: int = Field(description="Event time of the forecast, ns since 1970 UTC.")
    due_ns: int = Field(description="Event time that it speaks of, ns since 1970 UTC.")
    price: float = Field(description="Price at made_at_ns, quote currency.")
    expected_return: float = Field(description="Expected log return over the horizon, no unit.")
    price_forecast: float = Field(description="price * exp(expected_return), quote currency.")
    lower: float | None = Field(description="Lower bound of the price at due_ns, quote currency.")
    upper: float | None = Field(description="Upper bound of the price at due_ns, quote currency.")
    coverage: float = Field(description="Share of outcomes meant to lie in [lower, upper], 0 to 1.")
    p_up: float | None = Field(description="Probability of a price above `price` at due_ns, 0 to 1.")
    model: str = Field(description="Model that made the forecast.")
    version: int = Field(description="Version of the trained model that is champion; 0 while there is none.")
    watermark_ns: int = Field(description="Event time of the newest event that it knows, ns since 1970 UTC.")
    watermark_trade_id: int | None = Field(description="Newest trade that it knows; null if without ids.")
    warm: bool = Field(description="Whether every window of every feature was full.")
    degraded: list[str] = Field(description="Why it is worth less than usual; empty when it is not.")
    age_s: float = Field(
        ge=0,
        description="Seconds between the arrival of the newest market event here and this answer.",
    )
    model_config = ConfigDict(json_schema_extra={"example": FORECAST_EXAMPLE})


class SymbolForecasts(Answer):
    """The forecasts of one symbol at all its horizons."""

    symbol: str
    forecasts: list[Forecast] = Field(description="Shortest horizon first.")
    model_config = ConfigDict(
        json_schema_extra={"example": {"symbol": "BTCUSDT", "forecasts": [_TEN_SECONDS, FORECAST_EXAMPLE]}}
    )


class BatchRequest(BaseModel):
    """Which forecasts to fetch."""

    symbols: Annotated[list[StrictStr], Field(min_length=1, max_length=MOST_SYMBOLS)] = Field(
        description="Symbols; one asked for twice is answered once."
    )
    horizons: Annotated[list[StrictStr], Field(min_length=1, max_length=MOST_HORIZONS)] | None = Field(
        None, description="Horizons; null or absent for all that each symbol has."
    )
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"symbols": ["BTCUSDT", "NOSUCH"], "horizons": ["60s"]}},
    )


class ProblemAnswer(Answer):
    """Problem details after RFC 9457; which further members there are depends on `type`."""

    type: str = Field(description="Kind of problem, stable; its address explains it.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What was wrong this time and what to do.")
    instance: str = Field(description="Path that was asked for.")


class BatchAnswer(Answer):
    """What could be answered, and why the rest could not."""

    forecasts: list[Forecast] = Field(description="In the order of the symbols and horizons asked for.")
    problems: list[ProblemAnswer] = Field(
        description="One per symbol, or per symbol and horizon, without a forecast; "
        "each has `symbol`, and `horizon` if it is about one horizon."
    )
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "forecasts": [FORECAST_EXAMPLE],
                "problems": [
                    {
                        "type": "/problems/unknown-symbol",
                        "title": "This symbol is not watched",
                        "status": 404,
                        "detail": "symbol 'NOSUCH' is not watched; use one of: BTCUSDT",
                        "instance": "/v1/forecasts/NOSUCH",
                        "symbol": "NOSUCH",
                        "known_symbols": ["BTCUSDT"],
                    }
                ],
            }
        }
    )


class FeaturesAnswer(Answer):
    """The newest value of every feature of a symbol."""

    symbol: str
    at_ns: int = Field(description="Event time of the bar that the values stand for, ns since 1970 UTC.")
    session: int = Field(description="Counts up at every break in the data that features don't cross.")
    warm: bool = Field(description="Whether every window was full.")
    values: dict[str, float | None] = Field(description="By feature; null while there is no value.")
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "symbol": "BTCUSDT",
                "at_ns": 1769904000000000000,
                "session": 1,
                "warm": True,
                "values": {"ema:20": 78119.8, "rsi:14": 51.3, "realised_vol:60": 0.00021},
            }
        }
    )


class Measures(Answer):
    """Scores over one set of answered forecasts; null where there is nothing to tell yet."""

    weight: float | None = Field(description="Sum of the weights; the count on the lifetime track.")
    r2: float | None = Field(
        description="Share of the naive forecast's squared error that is saved; below 0 is worse than naive."
    )
    skill_low: float | None = Field(description="Lower bound of the 95 % confidence interval of r2.")
    skill_high: float | None = Field(description="Upper bound of it.")
    hit_rate: float | None = Field(description="Share of right signs, 0 to 1.")
    coverage: float | None = Field(description="Share of outcomes inside the interval, 0 to 1.")


class ModelScore(Answer):
    """How one model did at one horizon. All measures: docs/scores.md."""

    model: str = Field(
        description="A learner, the mixture that is the forecast, or the slot of a trained model."
    )
    horizon: str
    version: int = Field(0, description="Version of the trained model in a slot; 0 for all others.")
    count: int = Field(description="Forecasts that have been scored.")
    voided: int = Field(description="Forecasts that got no answer: a gap or the end of a session.")
    lifetime: Measures
    recent: Measures


class DuelScore(ModelScore):
    """A challenger against the champion on the questions that both were asked.

    The champion is the yardstick, where it is the naive forecast elsewhere: `r2` is the share of its squared
    error that the challenger saves.
    """

    champion: int = Field(description="Version of the champion; 0: there is none, naive is the yardstick.")


class ScoresAnswer(Answer):
    """The scores of all models of a symbol against the naive forecast, no change."""

    symbol: str
    slots: dict[str, int] = Field(
        default_factory=dict, description="Version of the trained model in each slot; 0 for an empty one."
    )
    scores: list[ModelScore]
    duels: list[DuelScore] = Field(
        default_factory=list, description="Challengers in shadow against the champion."
    )
    weights: dict[str, dict[str, float]] = Field(
        description="By horizon and model: its weight in the forecast."
    )
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "symbol": "BTCUSDT",
                "slots": {"champion": 3, "challenger1": 0},
                "scores": [
                    {
                        "model": "experts",
                        "horizon": "60s",
                        "version": 0,
                        "horizon_bars": 60,
                        "count": 8421,
                        "invalid": 0,
                        "invalid_intervals": 0,
                        "voided": 12,
                        "lifetime": _MEASURES_EXAMPLE,
                        "recent": _MEASURES_EXAMPLE | {"weight": 1442.0, "sample": 2884.0, "r2": 0.0031},
                    }
                ],
                "duels": [],
                "weights": {"60s": {"naive": 0.61, "ridge": 0.39}},
            }
        }
    )


class Health(Answer):
    """The process is alive."""

    status: Literal["ok"]
    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok"}})


class NotLive(Answer):
    """A symbol that can't be asked yet."""

    symbol: str
    state: str
    reason: str


class Ready(Answer):
    """At least one symbol can be asked."""

    status: Literal["ready"]
    live: list[str] = Field(description="Symbols that can be asked.")
    not_live: list[NotLive] = Field(description="Symbols that can't, and why.")
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "ready",
                "live": ["BTCUSDT"],
                "not_live": [{"symbol": "ETHUSDT", "state": "recovering", "reason": "its actor restarts"}],
            }
        }
    )
