"""What is measured on: seeded streams, and the real file where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.ticks import Kind, Ticks

SEED = 20_260
START_NS = 1_700_000_000_000_000_000
REAL_FILE = Path(__file__).resolve().parents[3] / "shared/data/trades/us_equity_ticks_2013-10-07_09.parquet"
"""Trades of two US stocks over three days. Not part of the repository (licence)."""
REAL_SESSION = "13:35-19:55"
"""The regular session in UTC, without the opening and closing auctions."""


def ticks(n: int, per_s: float = 8.0) -> Ticks:
    """Trades on a grid of 0.01 around 100, at exponential intervals, sizes log-normal, with aggressors."""
    random = np.random.default_rng(SEED)
    ts_ns = START_NS + np.cumsum(random.exponential(1e9 / per_s, n)).astype(np.int64)
    side = random.choice(np.array([-1, 1], np.int8), n)
    middle = 100.0 * np.exp(np.cumsum(random.normal(0.0, 5e-5, n)))
    return Ticks.from_columns(
        n,
        ts_ns=ts_ns,
        received_ns=ts_ns,
        trade_id=np.arange(1, n + 1),
        price=np.round(middle + 0.01 * side, 2),
        size=np.round(random.lognormal(0.0, 1.0, n) + 0.001, 3),
        side=side,
        kind=np.int8(Kind.TRADE),
    )


def prices(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prices and volumes of n bars, float64 (n,) each."""
    random = np.random.default_rng(SEED + 1)
    price = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, 2e-4, n))), 2)
    return price, np.round(random.lognormal(2.0, 1.0, n) + 0.001, 3)


def write_tape(path: Path, symbol: str, n: int) -> None:
    """The stream of `ticks` as a Parquet file that the local exchange replays."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = ticks(n)
    columns = {name: np.ascontiguousarray(made.records[name]) for name in ("ts_ns", "price", "size", "side")}
    pq.write_table(pa.table({"symbol": [symbol] * n, **columns}), path)


def real_trades(symbol: str) -> Ticks:
    """The real file's trades of one symbol in time order, without prints marked suspicious."""
    from cluster.exchange.tape import TapeSpec

    tape = TapeSpec((str(REAL_FILE),), symbols=(symbol,), session=REAL_SESSION).open(0)
    return tape.events.ticks


def real_symbols() -> list[str]:
    """The symbols in the real file."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return sorted(pc.unique(pq.read_table(REAL_FILE, columns=["symbol"])["symbol"]).to_pylist())


def no_real_file() -> str:
    """Why nothing can be measured on real trades; "" where it can."""
    return "" if REAL_FILE.is_file() else "no ../shared folder with real trades beside this checkout"
