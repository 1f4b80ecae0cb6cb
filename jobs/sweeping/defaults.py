"""What a sweep tries where nobody says otherwise: it fits the source, and is written like a user's file."""

from __future__ import annotations

from typing import Any

from features import durations
from features.engine import DEFAULT_FEATURES
from jobs.backtesting.settings import CANDLE_FEATURES, DAILY_FEATURES
from jobs.history.spec import DAY_NS, HistorySpec

_SHORT = ("log_return:1", "log_return:5", "log_return:15", "zscore:10")
_DAILY_SHORT = ("log_return:1", "log_return:5", "zscore:5")
_MODELS: dict[str, Any] = {
    "ridge": {"penalty": "loguniform(10, 100000)", "memory": "choice(0.9999, 0.99999, 1.0)"},
    "ew_mean": {"rate": "loguniform(0.00001, 0.01)"},
    "lightgbm": {
        "rounds": 200,
        "learning_rate": "loguniform(0.02, 0.3)",
        "num_leaves": "logint(3, 31)",
        "lambda_l2": "loguniform(0.1, 1000)",
    },
    "xgboost": {
        "rounds": 200,
        "learning_rate": "loguniform(0.02, 0.3)",
        "max_depth": "int(2, 5)",
        "reg_lambda": "loguniform(0.1, 1000)",
    },
}


def default_space(history: HistorySpec) -> dict[str, Any]:
    """The default for candles of minutes, for those of days, and for ticks."""
    interval_ns = history.interval_ns
    if not interval_ns:
        features = {"short": list(DEFAULT_FEATURES[:6]), "all": list(DEFAULT_FEATURES)}
        return _space(["time:1s"], ["10s", "60s"], features)
    sampling = [durations.text(interval_ns)]
    if interval_ns >= DAY_NS:
        # A market that sleeps at weekends has no price a day after its Friday: whole weeks have one.
        horizons = [durations.text(weeks * 7 * DAY_NS) for weeks in (1, 4)]
        return _space(sampling, horizons, {"short": list(_DAILY_SHORT), "all": list(DAILY_FEATURES)})
    horizons = [durations.text(bars * interval_ns) for bars in (5, 15, 60)]
    return _space(sampling, horizons, {"short": list(_SHORT), "all": list(CANDLE_FEATURES)})


def _space(sampling: list[str], horizons: list[str], features: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "sampling": sampling,
        "horizon": horizons,
        "features": features,
        "model": _MODELS,
        "rule": {"forecast": {"limit_bps": "loguniform(0.5, 20)", "hold": "logint(1, 60)"}},
    }
