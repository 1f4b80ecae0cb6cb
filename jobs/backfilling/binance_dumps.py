"""The CSV files of Binance's public data (data.binance.vision): spot and futures, old and new.

Columns are known by their place: older files have no header, newer ones of futures have one, and the names
in it differ. Times are milliseconds, since 2025 microseconds on spot. The name of a file says what it is:
`BTCUSDT-trades-2024-08-09.zip`, `BTCUSDT-aggTrades-2024-08.csv`, `BTCUSDT-1m-2024-08.zip`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from features import durations

_FIRST = {
    "binance-trades": ("trade_id", "price", "size", "quote_size", "time", "buyer_is_maker"),
    "binance-aggtrades": (
        "trade_id",
        "price",
        "size",
        "first_trade_id",
        "last_trade_id",
        "time",
        "buyer_is_maker",
    ),
    "binance-klines": (
        "time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "close_time",
        "quote_volume",
        "trades",
        "buy_volume",
        "quote_buy_volume",
        "ignore",
    ),
}
"""The columns of each format by place, in our names; spot trades have one more, which nobody needs."""
_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9_]+)-(?P<what>trades|aggTrades|[0-9]+(?:s|m|h|d|w|mo))-\d{4}-\d\d(?:-\d\d)?"
    r"\.(?:csv|zip|csv\.gz)"
)


@dataclass(frozen=True, slots=True)
class DumpName:
    """What the name of a file says."""

    format: str
    symbol: str
    interval_ns: int | None
    """Of klines; None for months, which have no one length."""


def column_names(format: str, columns: int) -> tuple[str, ...]:
    """Our names for the columns of a file with so many."""
    known = _FIRST[format]
    return (*known, *(f"more{i}" for i in range(len(known), columns)))[:columns]


def parse_name(path: Path) -> DumpName | None:
    """What a file of this name is; None where Binance names none so."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    what = found["what"]
    if what in ("trades", "aggTrades"):
        return DumpName(f"binance-{what.lower()}", found["symbol"], None)
    if what.endswith("mo"):
        return DumpName("binance-klines", found["symbol"], None)
    weeks = what.endswith("w")
    interval = durations.parse_ns(f"{7 * int(what[:-1])}d" if weeks else what)
    return DumpName("binance-klines", found["symbol"], interval)
