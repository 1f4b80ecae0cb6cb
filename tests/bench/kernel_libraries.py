"""The same numbers through libraries that people use for them: pandas, TA-Lib, talipp and River."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bars import BAR_COLUMNS

Floats = NDArray[np.float64]
Step = Callable[[float, float], tuple[float, ...]]


def ten_by_numpy(price: Floats, volume: Floats) -> Floats:
    """The ten outputs, shape (10, n), by definition: what everyone is checked against."""

    def smoothed(x: Floats, rate: float) -> Floats:
        out = np.empty_like(x)
        value = x[0]
        for i, one in enumerate(x.tolist()):
            value += rate * (one - value)
            out[i] = value
        return out

    def windows(x: Floats, n: int) -> Floats:
        return np.lib.stride_tricks.sliding_window_view(np.concatenate([np.full(n - 1, np.nan), x]), n)

    move = np.diff(price, prepend=price[0])
    up, down = (smoothed(np.maximum(sign * move, 0.0), 1 / 14) for sign in (1, -1))
    line = smoothed(price, 2 / 13) - smoothed(price, 2 / 27)
    signal = smoothed(line, 2 / 10)
    with np.errstate(invalid="ignore", divide="ignore"):
        rsi = 100.0 * up / (up + down)
    return np.array(
        [
            windows(price, 50).mean(axis=1),
            smoothed(price, 2 / 21),
            rsi,
            windows(price, 50).std(axis=1),
            line,
            signal,
            line - signal,
            windows(price, 100).min(axis=1),
            windows(price, 100).max(axis=1),
            windows(price * volume, 200).sum(axis=1) / windows(volume, 200).sum(axis=1),
        ]
    )


def ten_by_pandas(price: Floats, volume: Floats) -> Callable[[], list[Any]]:
    """All ten with rolling and ewm."""
    import pandas as pd

    p, v = pd.Series(price), pd.Series(volume)

    def run() -> list[Any]:
        move = p.diff().fillna(0.0)
        up = move.clip(lower=0.0).ewm(alpha=1 / 14, adjust=False).mean()
        down = (-move).clip(lower=0.0).ewm(alpha=1 / 14, adjust=False).mean()
        line = p.ewm(span=12, adjust=False).mean() - p.ewm(span=26, adjust=False).mean()
        signal = line.ewm(span=9, adjust=False).mean()
        window, long, longest = p.rolling(50), p.rolling(100), (p * v).rolling(200)
        return [
            window.mean(),
            p.ewm(span=20, adjust=False).mean(),
            100.0 * up / (up + down),
            window.std(ddof=0),
            line,
            signal,
            line - signal,
            long.min(),
            long.max(),
            longest.sum() / v.rolling(200).sum(),
        ]

    return run


def ten_by_talib(price: Floats, volume: Floats) -> Callable[[], list[Any]]:
    """All ten with TA-Lib; VWAP by two of its sums."""
    import talib

    def run() -> list[Any]:
        low, high = talib.MINMAX(price, 100)
        paid, traded = talib.SUM(price * volume, 200), talib.SUM(volume, 200)
        return [
            talib.SMA(price, 50),
            talib.EMA(price, 20),
            talib.RSI(price, 14),
            talib.STDDEV(price, 50, 1.0),
            *talib.MACD(price, 12, 26, 9),
            low,
            high,
            paid / traded,
        ]

    return run


def ten_by_talipp() -> Step:
    """talipp, one indicator object each; history beyond what the windows need is purged now and then."""
    from talipp.indicators import EMA, MACD, RSI, SMA, VWMA, DonchianChannels, StdDev
    from talipp.ohlcv import OHLCV

    on_prices = sma, ema, rsi, std, macd = SMA(50), EMA(20), RSI(14), StdDev(50), MACD(12, 26, 9)
    on_bars = channel, vwap = DonchianChannels(100), VWMA(200)
    count = 0

    def step(price: float, volume: float) -> tuple[float, ...]:
        nonlocal count
        bar = OHLCV(price, price, price, price, volume)
        for one in on_prices:
            one.add(price)
        for one in on_bars:
            one.add(bar)
        count += 1
        if count % 1000 == 0 and count > 1000:
            for one in (*on_prices, *on_bars):
                one.purge_oldest(1000)
        lines, edges = macd[-1], channel[-1]
        if lines is None or edges is None:
            return (math.nan,) * 10
        return (
            sma[-1],
            ema[-1],
            rsi[-1],
            std[-1],
            lines.macd,
            lines.signal,
            lines.histogram,
            edges.lb,
            edges.ub,
            vwap[-1],
        )

    return step


def ten_by_river() -> Step:
    """River's running statistics."""
    from river import stats, utils

    mean, var = utils.Rolling(stats.Mean, window_size=50), utils.Rolling(stats.Var, window_size=50, ddof=0)
    low, high = stats.RollingMin(100), stats.RollingMax(100)
    vwap = utils.Rolling(stats.Mean, window_size=200)
    ema, fast, slow, signal = (stats.EWMean(2 / (n + 1)) for n in (20, 12, 26, 9))
    up, down = stats.EWMean(1 / 14), stats.EWMean(1 / 14)
    last: float | None = None

    def step(price: float, volume: float) -> tuple[float, ...]:
        nonlocal last
        move = 0.0 if last is None else price - last
        last = price
        for one in (mean, ema, var, fast, slow, low, high):
            one.update(price)
        up.update(max(move, 0.0))
        down.update(max(-move, 0.0))
        vwap.update(price, volume)
        line = fast.get() - slow.get()
        signal.update(line)
        rise, fall, smooth = up.get(), down.get(), signal.get()
        rsi = 100.0 * rise / (rise + fall) if rise + fall else 50.0
        std = math.sqrt(max(var.get(), 0.0))
        return (
            mean.get(),
            ema.get(),
            rsi,
            std,
            line,
            smooth,
            line - smooth,
            low.get(),
            high.get(),
            vwap.get(),
        )

    return step


def bars_by_pandas(ts: Any, price: Any, size: Any, side: Any) -> Callable[[], Any]:
    """Second bars by groupby: the rows of `kernel_rivals.BAR_ROWS`."""
    import pandas as pd

    frame = pd.DataFrame({"second": ts // 1_000_000_000, "price": price, "size": size, "side": side})

    def run() -> Any:
        parts = frame.assign(
            buy=frame["size"].where(frame["side"] > 0, 0.0),
            sell=frame["size"].where(frame["side"] <= 0, 0.0),
            money=frame["price"] * frame["size"],
        ).groupby("second", sort=False)
        bars = parts["price"].agg(["first", "max", "min", "last"])
        bars[["volume", "buy_volume", "sell_volume", "money"]] = parts[["size", "buy", "sell", "money"]].sum()
        bars["trades"] = parts["price"].count()
        bars["vwap"] = bars.pop("money") / bars["volume"]
        return bars

    return run


def default_by_pandas(values: Floats) -> Callable[[], list[Any]]:
    """The default feature set over `Bars.values`, 31 columns in its order."""
    import pandas as pd

    bars = pd.DataFrame({name: values[i] for i, name in enumerate(BAR_COLUMNS)})

    def balance(bought: str, sold: str, n: int, root: bool) -> Any:
        up, down = bars[bought].rolling(n).sum(), bars[sold].rolling(n).sum()
        net, total = up - down, up + down
        if root:
            return np.sign(net) * np.sqrt(net.abs())
        return (net / total).where(total > 1e-9, 0.0)

    def run() -> list[Any]:
        p, close, volume = bars["reference"], bars["close"], bars["volume"]
        log_price, money = np.log(p), bars["vwap"] * volume
        columns = [log_price.diff(n) for n in (1, 2, 5, 10, 30, 60)]
        columns += [balance("buy_volume", "sell_volume", n, False) for n in (1, 2, 5, 10, 30, 60)]
        for n in (1, 2, 5, 10, 30, 60):
            traded = volume.rolling(n).sum()
            gap = np.log(p * traded / money.rolling(n).sum())
            columns.append(gap.where(traded > 1e-9, 0.0))
        columns += [balance("buys", "sells", n, False) for n in (1, 5, 10, 30, 60)]
        columns += [balance("buy_volume", "sell_volume", n, True) for n in (5, 30)]
        for n in (10, 60):
            std = p.rolling(n).std(ddof=0)
            columns.append(((p - p.rolling(n).mean()) / std).where(std > 1e-6, 0.0))
        low, high = bars["low"].rolling(14).min(), bars["high"].rolling(14).max()
        k = (100.0 * (close - low) / (high - low)).where(high > low, 50.0)
        columns += [k, k.rolling(3).mean()]
        columns += [np.log(0.5 * (bars["last_buy"] + bars["last_sell"]) / p), bars["last_side"]]
        return columns

    return run
