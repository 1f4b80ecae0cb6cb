"""What a backtest leaves in the lake, or in a folder of its own.

    backtests/<run id>/manifest.json                                            written last: the run is whole
    backtests/<run id>/<table>/venue=V/symbol=S/<part>.parquet                  rows, in order of their parts
    backtests/<run id>/symbols/venue=V/symbol=S/summary.json                    written last of its symbol
    backtests/<run id>/symbols/venue=V/symbol=S/checkpoint                      while the symbol is under way

The tables are those of `result_tables.SCHEMAS`. Any Parquet reader reads one of them as a Hive data set; a
symbol's rows count once it has its summary. Every object is written whole or not at all, and a run that is
repeated writes the same rows under the same keys.

    results = Results(lake.store, run_id)
    manifest = results.manifest()
    for symbol in manifest.symbols:
        curve = results.read("curve", symbol.venue, symbol.symbol)
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ObjectMissing
from cluster.storage import layout
from cluster.storage.objects import ObjectStore
from cluster.storage.parquet_files import arrow_reader
from features.errors import DataError
from jobs.backtesting import result_tables

VERSION = 1
_TOP = "backtests"
_MANIFEST = "manifest.json"
_SUMMARY = "summary.json"
_CHECKPOINT = "checkpoint"
_ROWS_PER_GROUP = 131_072


@dataclass(frozen=True, slots=True)
class RuleResult:
    """How one trading rule did on one symbol."""

    rule: str
    digest: str
    """Of the account's state at the end: equal for equal runs."""
    performance: Mapping[str, Any]
    """As `features.trading.performance.Performance.as_dict` gives it: None where it can't be said."""
    sharpe_low: float | None = None
    """Bounds of the yearly Sharpe ratio from a block bootstrap, 95 %; None where it can't be said."""
    sharpe_high: float | None = None


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """One symbol of a backtest: what it was fed, what came out."""

    venue: str
    symbol: str
    bars: int = 0
    first_ns: int = 0
    """End of the first bar; 0 without one."""
    last_ns: int = 0
    forecasts: int = 0
    answers: int = 0
    """Of them scored, over all horizons; the others are void, or still open at the end."""
    sessions: int = 0
    remark: str = ""
    """Why there is nothing to score or less than asked for; "" where there is nothing to say."""
    failed: bool = False
    """Whether the symbol could not be computed to its end: its rows stop where `remark` says."""
    engine: str = ""
    """Digest of the engine's state at the end: equal for equal runs, and for the live engine."""
    rules: tuple[RuleResult, ...] = ()
    scores: tuple[Mapping[str, Any], ...] = ()
    """The engine's scores at the end, each as `features.model_slots.as_plain` gives it."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Number of files by table."""
    seconds: float = 0.0
    split: Mapping[str, float] = field(default_factory=dict)
    """Seconds by kind of work: read, engine, trade, train, write."""

    def rule(self, name: str) -> RuleResult | None:
        """What one rule did; None where the symbol has nothing of it."""
        return next((one for one in self.rules if one.rule == name), None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was run, and what came of it. Equal settings and data give an equal run id."""

    run_id: str
    settings: Mapping[str, Any]
    """Everything that decides the result: history, engine, rules, trading, retrain."""
    digests: Mapping[str, str]
    """Of the features, the engine's settings, the trading settings and the data."""
    code_version: str
    start_ns: int
    """End of the first bar of any symbol; 0 where there is none."""
    end_ns: int
    rules: tuple[str, ...]
    trials: int
    """Variants that were tried to find these rules: what the deflated Sharpe ratio is deflated by."""
    symbols: tuple[SymbolResult, ...]
    summary: Mapping[str, Any]
    """The table's last line, and what overfitting is measured by, as plain values."""
    seconds: float
    created_at_ns: int
    version: int = VERSION

    def symbol(self, venue: str, symbol: str) -> SymbolResult:
        """One symbol's result. Raises DataError."""
        for one in self.symbols:
            if (one.venue, one.symbol) == (venue, symbol):
                return one
        raise DataError(f"{venue} {symbol} is not in this backtest", self.run_id)


class Results:
    """Reads and writes one run. Several processes may write different symbols of it at a time."""

    def __init__(self, store: ObjectStore, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self._prefix = f"{_TOP}/{run_id}/"

    @property
    def where(self) -> str:
        """Its address, for messages."""
        return f"{self.store.uri.rstrip('/')}/{self._prefix}"

    def write(self, table: str, venue: str, symbol: str, part: int, rows: pa.Table) -> None:
        """Write one part of a table; the same part again is replaced."""
        target = io.BytesIO()
        pq.write_table(
            rows,
            target,
            row_group_size=_ROWS_PER_GROUP,
            compression="zstd",
            use_dictionary=result_tables.few_values(table),
            store_schema=False,
        )
        self.store.put(self._part_key(table, venue, symbol, part), target.getvalue())

    def read(self, table: str, venue: str, symbol: str, columns: list[str] | None = None) -> pa.Table:
        """One symbol's rows of a table, in the order in which they were made. Raises DataError."""
        parts = self.summary(venue, symbol)
        if parts is None:
            raise DataError(f"{venue} {symbol} is not in this backtest", self.where)
        schema = result_tables.SCHEMAS[table]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        found = list(self.parts(table, venue, symbol, parts.parts.get(table, 0), columns))
        return pa.concat_tables(found) if found else schema.empty_table()

    def parts(
        self, table: str, venue: str, symbol: str, count: int, columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """The first `count` parts of a symbol's table, one at a time. Raises ObjectMissing."""
        schema = result_tables.SCHEMAS[table]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        for part in range(count):
            data = self.store.get(self._part_key(table, venue, symbol, part))
            rows = pq.ParquetFile(arrow_reader(data)).read(columns=schema.names)
            yield rows.select(schema.names).cast(schema)

    def put_summary(self, result: SymbolResult) -> None:
        """Write a symbol's result: from here on its rows count. Its checkpoint is removed."""
        self.store.put(self._symbol_key(result.venue, result.symbol, _SUMMARY), _encode(asdict(result)))
        self.store.delete([self._symbol_key(result.venue, result.symbol, _CHECKPOINT)])

    def summary(self, venue: str, symbol: str) -> SymbolResult | None:
        """A symbol's result; None until it is finished."""
        data = self._get(self._symbol_key(venue, symbol, _SUMMARY))
        return None if data is None else symbol_of(self._decode(data, _SUMMARY))

    def put_checkpoint(self, venue: str, symbol: str, data: bytes) -> None:
        """Keep the state to go on from; the one before is replaced."""
        self.store.put(self._symbol_key(venue, symbol, _CHECKPOINT), data)

    def checkpoint(self, venue: str, symbol: str) -> bytes | None:
        """The state to go on from; None: begin at the beginning."""
        return self._get(self._symbol_key(venue, symbol, _CHECKPOINT))

    def put_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, after everything else."""
        self.store.put(self._prefix + _MANIFEST, _encode(asdict(manifest)))

    def manifest(self) -> Manifest:
        """The run's manifest. Raises DataError where the run is not finished, or of a newer version."""
        found = self.finished()
        if found is None:
            raise DataError("there is no finished backtest", self.where, "run it again: it goes on")
        return found

    def finished(self) -> Manifest | None:
        """The run's manifest; None where the run is not finished. Raises DataError for a newer version."""
        data = self._get(self._prefix + _MANIFEST)
        if data is None:
            return None
        values = self._decode(data, _MANIFEST)
        values["symbols"] = tuple(symbol_of(one) for one in values["symbols"])
        values["rules"] = tuple(values["rules"])
        return Manifest(**values)

    def forget(self) -> None:
        """Remove the run, its manifest first."""
        self.store.delete([self._prefix + _MANIFEST])
        self.store.delete([one.key for one in self.store.list(self._prefix)])

    def _part_key(self, table: str, venue: str, symbol: str, part: int) -> str:
        return f"{self._prefix}{layout.symbol_prefix(table, venue, symbol)}{part:06d}.parquet"

    def _symbol_key(self, venue: str, symbol: str, name: str) -> str:
        return f"{self._prefix}{layout.symbol_prefix('symbols', venue, symbol)}{name}"

    def _get(self, key: str) -> bytes | None:
        try:
            return self.store.get(key)
        except ObjectMissing:
            return None

    def _decode(self, data: bytes, name: str) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(data)
        except ValueError:
            raise DataError(f"{name} is damaged", self.where, "remove the run and run it again") from None
        version = values.pop("version", VERSION) if name != _MANIFEST else values.get("version", 0)
        if version > VERSION:
            raise DataError(
                f"{name} is of version {version}, newer than {VERSION}",
                self.where,
                "read it with the release that wrote it, or a newer one",
            )
        return values


def run_ids(store: ObjectStore) -> list[str]:
    """The finished backtests of a store, oldest first."""
    found = [one for one in store.list(f"{_TOP}/") if one.key.endswith(f"/{_MANIFEST}")]
    return [one.key.split("/")[1] for one in sorted(found, key=lambda one: (one.modified_ns, one.key))]


def _encode(values: dict[str, Any]) -> bytes:
    return json.dumps(plain({"version": VERSION} | values), indent=1, allow_nan=False).encode()


def plain(value: Any) -> Any:
    """Plain JSON values: None for what is not finite."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def symbol_of(values: dict[str, Any]) -> SymbolResult:
    """A symbol's result from the plain values that it was written as."""
    known = {one.name for one in fields(SymbolResult)}
    values = {key: value for key, value in values.items() if key in known}
    rules = tuple(RuleResult(**one) for one in values["rules"])
    return SymbolResult(**(values | {"rules": rules, "scores": tuple(values["scores"])}))
