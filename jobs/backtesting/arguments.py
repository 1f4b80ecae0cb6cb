"""The settings of a backtest from its command line, with defaults that fit the source.

What the user gives counts first, then what the config file says, then a default: `DEFAULT_…` of the engine
for ticks, features of prices and volume alone for candles, horizons of some bars.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from cluster import config
from cluster.config import Config
from features import durations
from features.bars import BarSpec
from features.engine import DEFAULT_FEATURES, DEFAULT_MODELS, EngineSpec
from features.trading.spec import TradingSpec
from jobs.backtesting.boosters import train_spec
from jobs.backtesting.retrain import RetrainSpec
from jobs.backtesting.settings import (
    ANY,
    CANDLE_FEATURES,
    DAILY_FEATURES,
    BacktestSettings,
    VariantSpec,
    bar_spec,
)
from jobs.history.reader import History
from jobs.history.spec import DAY_NS, STREAM, HistorySpec

DEFAULT_RULES: tuple[str, ...] = ("forecast:2", "long")
_DAILY_HORIZONS = ("7d", "28d")
"""A market that sleeps at weekends has no price a day after its Friday: whole weeks meet the same weekday."""
_TICK_HORIZONS = ("10s", "60s")


def add_engine(to: argparse.ArgumentParser) -> None:
    """Let the user say what the engine computes."""
    group = to.add_argument_group("engine", "defaults fit the source; --config's are used where it sets them")
    add_rows(group)
    group.add_argument(
        "--model", action="append", metavar="SPEC", help='like "ridge:100"; may be given several times'
    )
    group.add_argument("--coverage", type=float, metavar="SHARE", help="of the intervals, like 0.9")


def add_rows(to: argparse._ArgumentGroup) -> None:
    """Let the user say what a row of features is, and what is asked of it."""
    to.add_argument("--bars", metavar="SPEC", help='how ticks become bars, like "time:1s" or "tick:100"')
    to.add_argument("--features", nargs="+", metavar="SPEC", help='like "log_return:5" "rsi:14"')
    to.add_argument("--horizon", action="append", metavar="TIME", help="like 5m; may be given several times")


def add_trading(to: argparse.ArgumentParser) -> None:
    """Let the user say what is traded, and what it costs."""
    group = to.add_argument_group("trading")
    group.add_argument(
        "--rule",
        action="append",
        metavar="SPEC",
        help='like "forecast:2@5m" (beyond 2 bps, at that horizon), "crossover:20,100" or "long"; may be '
        f"given several times; {' and '.join(DEFAULT_RULES)}",
    )
    group.add_argument(
        "--trading", default="", metavar="SETTINGS", help='like "fee_bps=5,latency_bars=1,capital=100000"'
    )
    group.add_argument(
        "--retrain",
        metavar="SETTINGS",
        help='train a model again and again, like "every=7d,window=30d,embargo=1h,library=lightgbm"',
    )


def settings_of(arguments: argparse.Namespace, history: History) -> BacktestSettings:
    """The settings that the user asked for. Raises ConfigError."""
    engine = engine_for(arguments, history)
    retrain = RetrainSpec.parse(arguments.retrain) if arguments.retrain else None
    if retrain is not None:
        train_spec(retrain, engine.coverage)
    rules = arguments.rule or DEFAULT_RULES
    return BacktestSettings(
        engine,
        tuple(VariantSpec.parse(text, engine.horizons) for text in rules),
        TradingSpec.parse(arguments.trading),
        retrain,
    )


def engine_for(arguments: argparse.Namespace, history: History) -> EngineSpec:
    """The engine that the user asked for, for any symbol of a history. Raises ConfigError.

    A recorded stream goes through an engine with the settings of the one that it was recorded from, but for
    what the user gives.
    """
    configured = config.load(arguments.config) if arguments.config is not None else None
    engine = engine_of(arguments, history.spec, configured)
    if history.spec.source == STREAM and (recorded := recorded_engine(history)) is not None:
        given = _given(arguments)
        engine = replace(recorded, symbol=ANY, **{name: getattr(engine, name) for name in given})
    return engine


def engine_of(arguments: argparse.Namespace, history: HistorySpec, configured: Config | None) -> EngineSpec:
    """The engine that the user asked for, for any symbol. Raises ConfigError."""
    said = configured.model_fields_set if configured else set()
    bars = bar_spec(history.source, arguments.bars, configured.bars.spec() if configured else None)
    known = {
        "features": configured.all_features() if configured and _fits(said, "features", history) else None,
        "horizons": configured.horizons if configured and _fits(said, "horizons", history) else None,
        "models": configured.models if configured else None,
    }
    return EngineSpec(
        symbol=ANY,
        bars=bars,
        features=tuple(arguments.features or known["features"] or _default_features(history)),
        horizons=tuple(arguments.horizon or known["horizons"] or _default_horizons(history, bars)),
        models=tuple(arguments.model or known["models"] or DEFAULT_MODELS),
        coverage=arguments.coverage or (configured.coverage if configured else 0.9),
        first_forecast_bars=configured.first_forecast_bars if configured else 10,
        ledger_half_life=configured.ledger_half_life if configured else 5000.0,
    )


def recorded_engine(history: History) -> EngineSpec | None:
    """The settings of the newest live engine among the symbols; None where the lake doesn't know."""
    records = [one for pair in history.symbols() for one in history.lake.epochs(*pair)]
    if not records:
        return None
    newest = max(records, key=lambda one: one.started_ns)
    return EngineSpec.from_json(json.dumps(newest.engine))


def _given(arguments: argparse.Namespace) -> list[str]:
    """Which of an engine's settings the user has given himself."""
    places = {"bars": "bars", "features": "features", "horizon": "horizons", "model": "models"}
    places["coverage"] = "coverage"
    return [name for option, name in places.items() if getattr(arguments, option)]


def _fits(said: set[str], name: str, history: HistorySpec) -> bool:
    """Whether a setting of the config file counts: its defaults are meant for ticks."""
    return name in said or not history.interval_ns


def _default_features(history: HistorySpec) -> tuple[str, ...]:
    if not history.interval_ns:
        return DEFAULT_FEATURES
    return CANDLE_FEATURES if history.interval_ns < DAY_NS else DAILY_FEATURES


def _default_horizons(history: HistorySpec, bars: BarSpec) -> tuple[str, ...]:
    interval = history.interval_ns
    if not interval:
        fits = bars.interval_ns and all(
            durations.parse_ns(text) % bars.interval_ns == 0 for text in _TICK_HORIZONS
        )
        return _TICK_HORIZONS if fits or not bars.interval_ns else _some_bars(bars.interval_ns)
    return _DAILY_HORIZONS if interval == DAY_NS else _some_bars(interval)


def _some_bars(interval_ns: int) -> tuple[str, ...]:
    return tuple(durations.text(bars * interval_ns) for bars in (5, 60))
