"""What a file is: its kind, which of its columns are ours, whose rows they are.

    form = recognise(path, spec)
    for raw, part in pieces(form, malformed):
        ...

Columns are ours by their names in lower case without spaces and underscores; `--map` says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from features import durations
from features.errors import ConfigError
from jobs.backfilling import binance_dumps, source
from jobs.backfilling.source import TextForm
from jobs.backfilling.spec import BackfillSpec
from jobs.backfilling.values import times_ns

_NAMES: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "instrument"),
    "time": ("tsns", "startns", "opentime", "time", "timestamp", "ts", "datetime", "date"),
    "received": ("recvns", "receivedns", "localtimestamp"),
    "trade_id": ("tradeid", "id", "aggtradeid"),
    "price": ("price",),
    "size": ("size", "qty", "quantity", "amount"),
    "side": ("side", "aggressor"),
    "buyer_is_maker": ("isbuyermaker", "buyerismaker"),
    "bid": ("bid", "bidprice"),
    "ask": ("ask", "askprice"),
    "bid_size": ("bidsize", "bidqty"),
    "ask_size": ("asksize", "askqty"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "trades": ("trades", "numberoftrades", "count"),
    "buy_volume": ("buyvolume", "takerbuyvolume", "takerbuybaseassetvolume"),
    "adj_close": ("adjclose", "adjustedclose"),
    "revision": ("filedate", "revision"),
}
"""Our column → names under which files have it."""
_WANTED: Mapping[str, tuple[str, ...]] = {
    "trades": ("symbol", "time", "received", "trade_id", "price", "size", "side", "buyer_is_maker"),
    "quotes": ("symbol", "time", "received", "bid", "ask", "bid_size", "ask_size"),
    "candles": (
        *("symbol", "time", "open", "high", "low", "close", "volume", "trades", "buy_volume"),
        *("adj_close", "revision"),
    ),
}
_NEEDED = {"trades": ("price", "size"), "quotes": ("bid", "ask"), "candles": ("open", "high", "low", "close")}


@dataclass(frozen=True, slots=True)
class FileForm:
    """One file, recognised."""

    path: Path
    kind: str
    columns: tuple[tuple[str, str], ...]
    """Our column → the file's."""
    symbol: str | None
    """Of all rows, where the file has no column for it."""
    interval_ns: int
    """Of candles, else 0."""
    text: TextForm | None
    """None: Parquet."""
    names: tuple[str, ...] | None
    """Of the columns of a CSV file, where its first line does not say them as we do."""

    @property
    def by_name(self) -> dict[str, str]:
        """Our column → the file's."""
        return dict(self.columns)


def recognise(path: Path, spec: BackfillSpec) -> FileForm:
    """What this file is. Raises ConfigError where that can't be told, DataError where it can't be read."""
    parquet = spec.format == "parquet" or (spec.format in ("auto", "csv") and source.is_parquet(path))
    named = None if parquet else binance_dumps.parse_name(path)
    symbol, interval_ns = spec.symbol, spec.interval_ns
    text: TextForm | None = None
    names: tuple[str, ...] | None = None
    if parquet:
        given = source.parquet_names(path)
    else:
        text = source.text_form(path)
        format = spec.format
        if format == "auto" and named is not None:
            format = named.format
        if format.startswith("binance-"):
            names = binance_dumps.column_names(format, len(text.first_line))
            if named is not None:
                symbol, interval_ns = symbol or named.symbol, interval_ns or named.interval_ns
        elif not text.has_header:
            raise ConfigError(
                "the first line names no columns", str(path), "say which --format it is, or add a header"
            )
        given = list(names if names is not None else text.first_line)
    columns = _columns(given, spec, str(path))
    kind = spec.kind or _kind(columns, str(path))
    missing = [name for name in ("time", *_NEEDED[kind]) if name not in columns]
    if missing:
        raise ConfigError(
            f"has no column for {', '.join(missing)} of {kind} among {', '.join(given)}",
            str(path),
            f"say which it is, for example --map {missing[0]}=NAME",
        )
    if symbol is None and "symbol" not in columns:
        raise ConfigError("has no column for the symbol", str(path), "name it with --symbol")
    chosen = tuple((name, columns[name]) for name in _WANTED[kind] if name in columns)
    if spec.symbol is not None:
        chosen = tuple(pair for pair in chosen if pair[0] != "symbol")
    form = FileForm(path, kind, chosen, symbol, 0, text, names)
    return replace(form, interval_ns=interval_ns or _interval(form)) if kind == "candles" else form


def pieces(form: FileForm, malformed: Callable[[str], None]) -> Iterator[tuple[pa.Table, float]]:
    """The columns of a file that are ours, under our names, a piece at a time; and how far that is."""
    wanted = list(dict.fromkeys(name for _, name in form.columns))
    if form.text is None:
        found = source.parquet_pieces(form.path, wanted)
    else:
        found = source.text_pieces(form.path, form.text, form.names, wanted, malformed)
    for table, part in found:
        columns = {ours: table.column(theirs) for ours, theirs in form.columns}
        yield pa.table(columns), part


def _columns(given: list[str], spec: BackfillSpec, where: str) -> dict[str, str]:
    """Our column → the file's, for all that are there."""
    plain = {name.lower().replace("_", "").replace(" ", ""): name for name in reversed(given)}
    found = {}
    for ours, names in _NAMES.items():
        # A file that speaks our language means what we mean.
        for name in (ours.replace("_", ""), *names):
            if name in plain:
                found[ours] = plain[name]
                break
    for ours, theirs in spec.columns:
        if ours not in _NAMES:
            raise ConfigError(f"unknown column {ours!r}", "--map", f"ours are: {', '.join(_NAMES)}")
        if theirs and theirs not in given:
            raise ConfigError(f"has no column {theirs!r}", where, f"it has {', '.join(given)}")
        if theirs:
            found[ours] = theirs
        else:
            found.pop(ours, None)
    return found


def _kind(columns: Mapping[str, str], where: str) -> str:
    for kind in ("candles", "quotes", "trades"):
        if all(name in columns for name in _NEEDED[kind]):
            return kind
    raise ConfigError("its columns are those of no kind of ours", where, "say which with --kind and --map")


def _interval(form: FileForm) -> int:
    """The most frequent time between the starts of two candles of a symbol, in the first piece."""
    steps: Counter[int] = Counter()
    for raw, _ in pieces(form, lambda text: None):
        at, known = times_ns(raw.column("time"), form.by_name["time"])
        symbols = raw.column("symbol").to_pandas() if "symbol" in raw.column_names else None
        codes = np.zeros(len(at), np.int64) if symbols is None else symbols.factorize()[0]
        at, codes = at[known], codes[known]
        order = np.lexsort((at, codes))
        step = np.diff(at[order])[np.diff(codes[order]) == 0]
        values, counts = np.unique(step[step > 0], return_counts=True)
        steps.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        break
    if not steps:
        raise ConfigError("how long its candles are can't be told", str(form.path), "say it with --interval")
    interval_ns = max(sorted(steps), key=lambda step: steps[step])
    durations.parse_ns(durations.text(interval_ns))
    return interval_ns
