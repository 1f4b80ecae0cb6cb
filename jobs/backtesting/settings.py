"""Everything that decides the result of a backtest, and the identity of a run.

Equal settings over equal data are the same run: a job that was killed finds its own traces by the run id and
goes on from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from features.bars import BarSpec
from features.engine import EngineSpec
from features.errors import SpecError
from features.spec import FeatureSet
from features.trading.rules import RuleSpec
from features.trading.spec import TradingSpec
from jobs.backtesting.retrain import RetrainSpec

ANY = "*"
"""The symbol of an engine's settings that hold for every symbol."""
CANDLE_FEATURES: tuple[str, ...] = (
    *(f"log_return:{n}" for n in (1, 2, 5, 15, 60)),
    *(f"zscore:{n}" for n in (10, 60)),
    "ema_gap:20",
    "rsi:14",
    "stochastic:14,3",
    "bollinger:20,2",
    "realised_vol:30",
    "parkinson:30",
    "volume_intensity:30",
)
"""From open, high, low, close and volume alone."""
DAILY_FEATURES: tuple[str, ...] = (
    *(f"log_return:{n}" for n in (1, 5, 20)),
    *(f"zscore:{n}" for n in (5, 20)),
    "rsi:14",
    "stochastic:14,3",
    "realised_vol:20",
    "volume_intensity:20",
)
"""The same for bars of a day or more, whose histories are short."""


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """A trading rule, and the horizon whose forecasts it is given: "forecast:2@5m", "crossover:20,100"."""

    rule: RuleSpec
    horizon: str = ""
    """"" for rules without forecasts."""

    @classmethod
    def parse(cls, text: str, horizons: tuple[str, ...]) -> VariantSpec:
        """Read a rule; without "@horizon" it is the first of `horizons`. Raises SpecError."""
        words, at, horizon = text.partition("@")
        rule = RuleSpec.parse(words)
        horizon = horizon.strip() if at else horizons[0] if rule.needs_forecast else ""
        if at and not rule.needs_forecast:
            raise SpecError(f"{rule.text} takes no forecast", f"rule {text!r}", "leave the horizon out")
        if horizon and horizon not in horizons:
            raise SpecError(
                f"there is no horizon {horizon!r}", f"rule {text!r}", f"use one of: {', '.join(horizons)}"
            )
        return cls(rule, horizon)

    @property
    def text(self) -> str:
        """The canonical form: equal text, equal positions."""
        return f"{self.rule.text}@{self.horizon}" if self.horizon else self.rule.text


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """One backtest, whatever symbols it is run on."""

    engine: EngineSpec
    """With the symbol `ANY`."""
    variants: tuple[VariantSpec, ...]
    trading: TradingSpec
    retrain: RetrainSpec | None = None

    def __post_init__(self) -> None:
        texts = [variant.text for variant in self.variants]
        if not texts:
            raise SpecError("there is no rule", "rule", 'give at least one, for example "forecast:2"')
        doubled = sorted({text for text in texts if texts.count(text) > 1})
        if doubled:
            raise SpecError(f"listed twice: {', '.join(doubled)}", "rule", "list each once")

    def engine_spec(self, symbol: str) -> EngineSpec:
        """The settings of one symbol's engine."""
        return replace(self.engine, symbol=symbol)

    @property
    def rules(self) -> tuple[str, ...]:
        """The variants as text, in order."""
        return tuple(variant.text for variant in self.variants)

    def as_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return {
            "engine": asdict(self.engine),
            "rules": list(self.rules),
            "trading": asdict(self.trading),
            "retrain": None if self.retrain is None else asdict(self.retrain),
        }

    def digests(self) -> dict[str, str]:
        """Identities of the parts: features, engine, trading."""
        return {
            "features": FeatureSet.parse(list(self.engine.features)).digest,
            "engine": self.engine.digest(),
            "trading": self.trading.digest(),
        }

    def digest(self) -> str:
        """Identity of the settings: checkpoints fit runs of equal digest."""
        return digest(self.as_dict())


def digest(values: Mapping[str, Any]) -> str:
    """Hash of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def run_id(settings: BacktestSettings, history: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """The identity of a run: 16 hex digits of its settings, its period and its data."""
    return digest({"settings": settings.as_dict(), "history": dict(history), "data": dict(data)})[:16]


def bar_spec(source: str, text: str | None, configured: BarSpec | None) -> BarSpec:
    """The bars of a source: those of candles are as long as they are, ticks are gathered as asked.

    Raises SpecError where candles are asked for in another form.
    """
    if not source.startswith("candles"):
        return BarSpec.parse(text) if text else configured or BarSpec()
    given = BarSpec.parse(f"time:{source.partition(':')[2]}")
    if text and BarSpec.parse(text).interval_ns != given.interval_ns:
        raise SpecError(f"candles of {source} can't be {text}", "bars", "leave it out, or choose that source")
    return given
