"""Rows of a file as typed columns, and what a row alone tells about itself: what can't be is refused.

`typed` gives arrays by name: `row` (its number in the file), `at_ns` (the time by which the lake sorts it: of
a candle its end), then those of `COLUMNS`. Missing numbers are NaN, missing whole numbers -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.backfilling.findings import Report, SymbolFindings
from jobs.backfilling.forms import FileForm
from jobs.backfilling.values import Mask, floats, integers, sides, sides_of_makers, times_ns

Columns = dict[str, NDArray[Any]]

_DAY_NS = 86_400_000_000_000
_LEAST, _MOST = 1e-100, 1e100
"""Prices and sizes beyond are none, as in features/bars.py."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "trades": ("received_ns", "trade_id", "price", "size", "side"),
    "quotes": ("received_ns", "bid", "ask", "bid_size", "ask_size"),
    "candles": (
        *("open", "high", "low", "close", "volume", "trades", "buy_volume", "adjustment"),
        "revision",
    ),
}


@dataclass(slots=True)
class _Checked:
    """Columns of a piece, and which of its rows are refused or put right, by kind."""

    columns: Columns = field(default_factory=dict)
    refused: list[tuple[str, Mask]] = field(default_factory=list)
    repaired: list[tuple[str, Mask]] = field(default_factory=list)


def typed(
    form: FileForm, raw: pa.Table, first_row: int, report: Report
) -> tuple[NDArray[np.int64], list[str], Columns]:
    """The good rows of a piece: which symbol each is of, the symbols, the columns.

    `report` counts all rows.
    """
    codes, names = _symbols(form, raw)
    at_ns, known = times_ns(raw.column("time"), form.by_name["time"])
    checked = _READERS[form.kind](form, raw, at_ns)
    nameless = np.array([not name for name in names], np.bool_)[codes]
    checked.refused = [("no symbol", nameless), ("no time", ~known), *checked.refused]
    refused = np.zeros(raw.num_rows, np.bool_)
    counts = _Counts(form, raw, first_row, codes, names, report)
    for kind, mask in checked.refused:
        counts.add(SymbolFindings.refuse, kind, mask & ~refused)
        refused |= mask
    for kind, mask in checked.repaired:
        counts.add(SymbolFindings.repair, kind, mask & ~refused)
    good = ~refused
    columns = {"row": np.arange(first_row, first_row + raw.num_rows)} | checked.columns
    return codes[good], names, {name: column[good] for name, column in columns.items()}


class _Counts:
    """Counts rows of one piece by symbol, with the first of each kind for people."""

    def __init__(
        self,
        form: FileForm,
        raw: pa.Table,
        first_row: int,
        codes: NDArray[np.int64],
        names: list[str],
        report: Report,
    ) -> None:
        self._where, self._raw, self._first_row = form.path.name, raw, first_row
        self._codes, self._names, self._report = codes, names, report
        for code, count in enumerate(np.bincount(codes, minlength=len(names)).tolist()):
            report.of(names[code]).read += count

    def add(self, to: Callable[[SymbolFindings, str, int, str], None], kind: str, mask: Mask) -> None:
        """Count the rows of the mask."""
        places = np.flatnonzero(mask)
        if not len(places):
            return
        codes = self._codes[places]
        for code in np.unique(codes).tolist():
            mine = places[codes == code]
            to(self._report.of(self._names[code]), kind, len(mine), self._said(int(mine[0])))

    def _said(self, place: int) -> str:
        (row,) = self._raw.slice(place, 1).to_pylist()
        values = ", ".join(f"{name} {value}" for name, value in row.items() if name != "symbol")
        return f"{self._where} row {self._first_row + place + 1}: {values}"


def _symbols(form: FileForm, raw: pa.Table) -> tuple[NDArray[np.int64], list[str]]:
    if form.symbol is not None:
        return np.zeros(raw.num_rows, np.int64), [form.symbol]
    texts = pc.fill_null(raw.column("symbol").cast(pa.string()), "").combine_chunks().dictionary_encode()
    found = texts if isinstance(texts, pa.DictionaryArray) else texts.combine_chunks()
    return found.indices.to_numpy().astype(np.int64), found.dictionary.to_pylist()


def _number(raw: pa.Table, name: str) -> NDArray[np.float64]:
    return floats(raw.column(name))[0] if name in raw.column_names else np.full(raw.num_rows, np.nan)


def _whole(raw: pa.Table, name: str) -> NDArray[np.int64]:
    return integers(raw.column(name))[0] if name in raw.column_names else np.full(raw.num_rows, -1)


def _received(raw: pa.Table, form: FileForm) -> NDArray[np.int64]:
    if "received" not in raw.column_names:
        return np.full(raw.num_rows, -1)
    return times_ns(raw.column("received"), form.by_name["received"])[0]


def _is_price(values: NDArray[np.float64]) -> Mask:
    found: Mask = (values > _LEAST) & (values < _MOST)
    return found


def _trades(form: FileForm, raw: pa.Table, at_ns: NDArray[np.int64]) -> _Checked:
    price, size = _number(raw, "price"), _number(raw, "size")
    side, known = np.zeros(raw.num_rows, np.int8), np.ones(raw.num_rows, np.bool_)
    if "buyer_is_maker" in raw.column_names:
        side, known = sides_of_makers(raw.column("buyer_is_maker"))
    elif "side" in raw.column_names:
        side, known = sides(raw.column("side"))
    trade_id = _whole(raw, "trade_id")
    columns: Columns = {"at_ns": at_ns, "received_ns": _received(raw, form), "trade_id": trade_id}
    columns |= {"price": price, "size": size, "side": side}
    odd_id = np.zeros(raw.num_rows, np.bool_)
    if "trade_id" in raw.column_names:
        odd_id = (trade_id < 0) & np.asarray(pc.is_valid(raw.column("trade_id")))
    return _Checked(
        columns,
        [("price not above zero", ~_is_price(price)), ("size not above zero", ~_is_price(size))],
        [("side unknown", ~known), ("id is no number", odd_id)],
    )


def _quotes(form: FileForm, raw: pa.Table, at_ns: NDArray[np.int64]) -> _Checked:
    book = {name: _number(raw, name) for name in ("bid", "ask", "bid_size", "ask_size")}
    negative = np.logical_or.reduce([values < 0.0 for values in book.values()])
    for name, values in book.items():
        book[name] = np.where(_is_price(values), values, np.nan)
    # A size belongs to its price: without that it says nothing.
    for side in ("bid", "ask"):
        book[f"{side}_size"] = np.where(np.isnan(book[side]), np.nan, book[f"{side}_size"])
    no_bid, no_ask = np.isnan(book["bid"]), np.isnan(book["ask"])
    with np.errstate(invalid="ignore"):
        crossed = book["bid"] > book["ask"]
    columns: Columns = {"at_ns": at_ns, "received_ns": _received(raw, form)} | book
    return _Checked(
        columns,
        [("negative price or size", negative), ("no side", no_bid & no_ask), ("crossed", crossed)],
        [("one side missing", no_bid != no_ask)],
    )


def _candles(form: FileForm, raw: pa.Table, start_ns: NDArray[np.int64]) -> _Checked:
    names = ("open", "high", "low", "close", "volume", "buy_volume")
    found = {name: _number(raw, name) for name in names}
    open_, high, low, close = (found[name] for name in names[:4])
    adjustment = np.full(raw.num_rows, np.nan)
    if "adj_close" in raw.column_names:
        adjusted = _number(raw, "adj_close")
        with np.errstate(divide="ignore", invalid="ignore"):
            adjustment = np.where(_is_price(adjusted) & (adjusted != close), adjusted / close, np.nan)
    columns: Columns = {"at_ns": start_ns + form.interval_ns} | found
    columns |= {"trades": _whole(raw, "trades"), "adjustment": adjustment}
    columns["revision"] = np.full(raw.num_rows, -1)
    if "revision" in raw.column_names:
        columns["revision"] = times_ns(raw.column("revision"), form.by_name["revision"])[0]
    outside = np.zeros(raw.num_rows, np.bool_)
    for value in (open_, close):
        outside |= (value < low) | (value > high)
    bought = found["buy_volume"]
    wrong_volume = (found["volume"] < 0.0) | ((bought < 0.0) | (bought > found["volume"]))
    if "volume" in raw.column_names:
        wrong_volume |= ~np.isfinite(found["volume"])
    return _Checked(
        columns,
        [
            ("misaligned start", start_ns % min(form.interval_ns, _DAY_NS) != 0),
            ("price not above zero", ~np.logical_and.reduce([_is_price(found[name]) for name in names[:4]])),
            ("high below low", high < low),
            ("open or close outside high and low", outside),
            ("impossible volume", wrong_volume),
        ],
    )


_READERS: Mapping[str, Callable[[FileForm, pa.Table, NDArray[np.int64]], _Checked]] = {
    "trades": _trades,
    "quotes": _quotes,
    "candles": _candles,
}
