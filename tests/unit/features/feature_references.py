"""Every feature once more, written for the eye: the formula over each window, in long doubles.

A reference takes the columns of one session and the arguments and gives its outputs, NaN where
the window isn't full. Nothing here is shared with the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from features.bars import BAR_COLUMNS, Bars
from features.spec import FeatureSpec

Columns = dict[str, np.ndarray]
Outputs = list[np.ndarray]


def columns_of(bars: Bars) -> Columns:
    columns = {name: bars.column(name).astype(np.longdouble) for name in BAR_COLUMNS}
    return columns | {"start_ns": bars.start_ns, "end_ns": bars.end_ns}


def reference(spec: FeatureSpec, bars: Bars) -> np.ndarray:
    """What the columns of `spec` should be, shape (outputs, m)."""
    compute = REFERENCES[spec.name]
    whole = [np.arange(len(bars))]
    sessions = [np.flatnonzero(bars.session == s) for s in dict.fromkeys(bars.session.tolist())]
    parts = []
    for rows in whole if spec.entry.over_sessions else sessions:
        parts.append(np.array(compute(columns_of(bars[rows[0] : rows[-1] + 1]), *spec.args)))
    return np.concatenate(parts, axis=1).astype(np.float64)


def over(n: int, f: Callable[..., float], *series: np.ndarray, first: int = 0) -> np.ndarray:
    """f of the last n values of each series, from the first bar at which there are n of them."""
    out = np.full(len(series[0]), np.nan, np.longdouble)
    for t in range(first + n - 1, len(out)):
        out[t] = f(*(x[t - n + 1 : t + 1] for x in series))
    return out


def before(x: np.ndarray, n: int) -> np.ndarray:
    out = np.full(len(x), np.nan, np.longdouble)
    out[n:] = x[: len(x) - n]
    return out


def log_returns(d: Columns) -> np.ndarray:
    return np.log(d["reference"] / before(d["reference"], 1))


def ew(x: np.ndarray, alpha: float) -> np.ndarray:
    out = x.copy()
    for t in range(1, len(x)):
        out[t] = (1 - np.longdouble(alpha)) * out[t - 1] + np.longdouble(alpha) * x[t]
    return out


def wilder(x: np.ndarray, n: int) -> np.ndarray:
    """Mean of x[1..n], then (n - 1) parts old and one part new."""
    out = np.full(len(x), np.nan, np.longdouble)
    for t in range(n, len(x)):
        out[t] = x[1 : n + 1].mean() if t == n else (out[t - 1] * (n - 1) + x[t]) / n
    return out


def from_bar(k: int, x: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(x)) < k - 1, np.nan, x)


def ratio(a: np.ndarray, b: np.ndarray, empty: float) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        out = a / b
    return np.where(b == 0, empty, out)


def change(column: str, form: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Outputs]:
    return lambda d, n: [form(d[column], before(d[column], n))]


def rolling(column: str, f: Callable[[np.ndarray], float]) -> Callable[..., Outputs]:
    return lambda d, n: [over(n, f, d[column])]


def zscore(d: Columns, n: int) -> Outputs:
    p = d["reference"]
    return [ratio(p - over(n, np.mean, p), over(n, np.std, p), 0.0)]


def bollinger(d: Columns, n: int, k: float) -> Outputs:
    c, middle, std = d["close"], over(n, np.mean, d["close"]), over(n, np.std, d["close"])
    return [ratio(c - (middle - k * std), 2 * k * std, 0.5), 2 * k * std / middle]


def stochastic(d: Columns, n: int, m: int) -> Outputs:
    low, high = over(n, np.min, d["low"]), over(n, np.max, d["high"])
    k = 100 * ratio(d["close"] - low, high - low, 0.5)
    return [from_bar(n + m - 1, k), over(m, np.mean, k, first=n - 1)]


def macd(d: Columns, fast: int, slow: int, signal: int) -> Outputs:
    line = ew(d["close"], 2 / (fast + 1)) - ew(d["close"], 2 / (slow + 1))
    average = ew(line, 2 / (signal + 1))
    return [from_bar(slow + signal - 1, x) for x in (line, average, line - average)]


def rsi(d: Columns, n: int) -> Outputs:
    move = d["close"] - before(d["close"], 1)
    rise, fall = wilder(np.maximum(move, 0), n), wilder(np.maximum(-move, 0), n)
    return [100 * ratio(rise, rise + fall, 0.5)]


def atr(d: Columns, n: int) -> Outputs:
    last = before(d["close"], 1)
    return [wilder(np.maximum(d["high"], last) - np.minimum(d["low"], last), n)]


def ew_volatility(d: Columns, n: int) -> Outputs:
    squares = log_returns(d) ** 2
    return [from_bar(n + 1, np.sqrt(np.append(np.nan, ew(squares[1:], 2 / (n + 1)))))]


def garman_klass(d: Columns, n: int) -> Outputs:
    span, body = np.log(d["high"] / d["low"]), np.log(d["close"] / d["open"])
    each = np.maximum(span**2 / 2 - (2 * math.log(2) - 1) * body**2, 0)
    return [np.sqrt(over(n, np.mean, each))]


def parkinson(d: Columns, n: int) -> Outputs:
    return [np.sqrt(over(n, np.mean, np.log(d["high"] / d["low"]) ** 2 / (4 * math.log(2))))]


def realised_skew(d: Columns, n: int) -> Outputs:
    r = log_returns(d)
    squares = over(n, np.sum, r**2, first=1)
    return [ratio(np.sqrt(n) * over(n, np.sum, r**3, first=1), squares**1.5, 0.0)]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    if x.std() < 1e-14 or y.std() < 1e-14:
        return 0.0
    return ((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std())


def autocorrelation(d: Columns, n: int, lag: int) -> Outputs:
    r = log_returns(d)
    return [over(n, correlation, r, before(r, lag), first=1 + lag)]


def trend(d: Columns, n: int) -> Outputs:
    time, p = np.arange(n) - (n - 1) / 2, np.log(d["reference"])
    return [
        over(n, lambda x: (time * (x - x.mean())).sum() / (time**2).sum(), p),
        over(n, lambda x: correlation(x, time), p),
    ]


def obv(d: Columns) -> Outputs:
    return [np.cumsum(np.append(1, np.sign(np.diff(d["close"]))) * d["volume"])]


def obv_slope(d: Columns, n: int) -> Outputs:
    flow = np.append(np.nan, np.sign(np.diff(d["close"]))) * d["volume"]
    return [ratio(over(n, np.sum, flow, first=1), over(n, np.sum, d["volume"], first=1), 0.0)]


def vwap(d: Columns, n: int) -> Outputs:
    paid, volume = over(n, np.sum, d["vwap"] * d["volume"]), over(n, np.sum, d["volume"])
    return [np.where(volume == 0, d["reference"], ratio(paid, volume, 0.0))]


def intensity(column: str) -> Callable[..., Outputs]:
    def compute(d: Columns, n: int, factor: int) -> Outputs:
        seconds = ((d["end_ns"] - d["start_ns"]) / 1e9).astype(np.longdouble)
        rates = [over(k, np.sum, d[column]) / over(k, np.sum, seconds) for k in (n, n * factor)]
        return [ratio(rates[0], rates[0] + rates[1], 0.5)]

    return compute


def balance(
    buys: str, sells: str, form: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Callable[..., Outputs]:
    return lambda d, n: [form(over(n, np.sum, d[buys]), over(n, np.sum, d[sells]))]


def signed_root(bought: np.ndarray, sold: np.ndarray) -> np.ndarray:
    return np.sign(bought - sold) * np.sqrt(np.abs(bought - sold))


def amihud(d: Columns, n: int) -> Outputs:
    money = d["vwap"] * d["volume"]
    each = ratio(np.abs(log_returns(d)), money, 0.0)
    traded = over(n, np.sum, (money > 0).astype(np.longdouble), first=1)
    return [ratio(over(n, np.sum, each, first=1), traded, 0.0)]


def spread(d: Columns) -> Outputs:
    value = (d["ask"] - d["bid"]) / ((d["ask"] + d["bid"]) / 2)
    return [np.where(d["bid"] <= d["ask"], value, np.nan)]


def microprice(d: Columns) -> Outputs:
    sizes = d["bid_size"] + d["ask_size"]
    price = ratio(d["bid"] * d["ask_size"] + d["ask"] * d["bid_size"], sizes, np.nan)
    return [np.where(d["bid"] <= d["ask"], np.log(price / d["reference"]), np.nan)]


def quote_imbalance(d: Columns) -> Outputs:
    value = ratio(d["bid_size"] - d["ask_size"], d["bid_size"] + d["ask_size"], np.nan)
    return [np.where(d["bid"] <= d["ask"], value, np.nan)]


def cycle(phase: np.ndarray) -> Outputs:
    return [np.sin(2 * math.pi * phase), np.cos(2 * math.pi * phase)]


def time_of_day(d: Columns, harmonics: int) -> Outputs:
    moment = d["end_ns"].astype("datetime64[ns]")
    share = (moment - moment.astype("datetime64[D]")) / np.timedelta64(1, "D")
    return [x for h in range(1, harmonics + 1) for x in cycle(h * share)]


def day_of_week(d: Columns) -> Outputs:
    days = d["end_ns"].astype("datetime64[ns]").astype("datetime64[D]").astype(object)
    return cycle(np.array([day.weekday() for day in days]) / 7)


REFERENCES: dict[str, Callable[..., Outputs]] = {
    "return": change("reference", lambda p, q: (p - q) / q),
    "log_return": change("reference", lambda p, q: np.log(p / q)),
    "roc": change("close", lambda p, q: 100 * (p - q) / q),
    "momentum": change("close", lambda p, q: p - q),
    "sma": rolling("close", np.mean),
    "sma_gap": lambda d, n: [np.log(d["reference"] / over(n, np.mean, d["reference"]))],
    "rolling_mean": rolling("reference", np.mean),
    "rolling_std": rolling("reference", np.std),
    "rolling_min": rolling("reference", np.min),
    "rolling_max": rolling("reference", np.max),
    "zscore": zscore,
    "bollinger": bollinger,
    "stochastic": stochastic,
    "ema": lambda d, n: [from_bar(n, ew(d["close"], 2 / (n + 1)))],
    "ema_gap": lambda d, n: [from_bar(n, np.log(d["reference"] / ew(d["reference"], 2 / (n + 1))))],
    "macd": macd,
    "rsi": rsi,
    "atr": atr,
    "natr": lambda d, n: [atr(d, n)[0] / d["close"]],
    "ew_volatility": ew_volatility,
    "realised_vol": lambda d, n: [np.sqrt(over(n, np.sum, d["realised_variance"]))],
    "parkinson": parkinson,
    "garman_klass": garman_klass,
    "realised_skew": realised_skew,
    "autocorrelation": autocorrelation,
    "trend": trend,
    "obv": obv,
    "obv_slope": obv_slope,
    "vwap": vwap,
    "vwap_gap": lambda d, n: [np.log(d["reference"] / vwap(d, n)[0])],
    "volume_intensity": intensity("volume"),
    "trade_intensity": intensity("trades"),
    "flow_imbalance": balance("buy_volume", "sell_volume", lambda b, s: ratio(b - s, b + s, 0.0)),
    "signed_trades": balance("buys", "sells", lambda b, s: ratio(b - s, b + s, 0.0)),
    "signed_volume": balance("buy_volume", "sell_volume", signed_root),
    "buy_ratio": balance("buy_volume", "sell_volume", lambda b, s: ratio(b, b + s, 0.5)),
    "amihud": amihud,
    "spread": spread,
    "microprice": microprice,
    "quote_imbalance": quote_imbalance,
    "implied_mid_gap": lambda d: [np.log((d["last_buy"] + d["last_sell"]) / 2 / d["reference"])],
    "last_side": lambda d: [d["last_side"]],
    "time_of_day": time_of_day,
    "day_of_week": day_of_week,
}
