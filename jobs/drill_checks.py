"""What must be true after a drill, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.storage.lake import Lake
from features.engine import EngineSpec, SymbolEngine
from features.ticks import Ticks
from jobs.drill_faults import Injected
from jobs.drill_plan import DrillKind
from jobs.parity_check import check_symbol

_LOST = (DrillKind.DROP, DrillKind.MALFORMED, DrillKind.GARBLE)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true of one symbol."""

    symbol: str
    what: str
    passed: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """The check as plain values."""
        return asdict(self)


def published_trades(tape: Path, symbol: str) -> pa.Table:
    """The trades of a symbol as the exchange published them, by id."""
    table = pq.read_table(tape)
    return table.filter(pc.equal(table["symbol"].cast(pa.string()), symbol)).sort_by("trade_id")


def check_lake(lake: Lake, venue: str, symbol: str, published: pa.Table) -> Check:
    """Every published trade is in the lake's files exactly once, with the same price and size."""
    rows = _raw_trades(lake, venue, symbol)
    ids = rows["trade_id"].to_numpy()
    wanted = published["trade_id"].to_numpy()
    missing = len(np.setdiff1d(wanted, ids))
    extra = len(np.setdiff1d(ids, wanted))
    doubled = len(ids) - len(np.unique(ids))
    same = not (missing or extra or doubled) and all(
        rows[name].to_numpy().tobytes() == published[name].to_numpy().tobytes()
        for name in ("trade_id", "ts_ns", "price", "size")
    )
    detail = f"{len(wanted):,} published, {missing} missing, {doubled} twice, {extra} unknown"
    return Check(symbol, "lake", same, detail if same or missing or doubled or extra else "values differ")


def check_digest(spec: EngineSpec, digest: str | None, published: pa.Table) -> Check:
    """The live state is that of a run that was never interrupted, over the same published stream."""
    engine = SymbolEngine(spec)
    columns = {name: published[name].to_numpy() for name in ("ts_ns", "trade_id", "price", "size", "side")}
    engine.update(Ticks.from_columns(published.num_rows, **columns))
    same = digest == engine.digest()
    return Check(spec.symbol, "state", same, f"{digest} live, {engine.digest()} uninterrupted")


def check_continuity(
    lake: Lake, venue: str, symbol: str, report: dict[str, Any], injected: Iterable[Injected]
) -> list[Check]:
    """The counters say what was done: no more doubled or swapped trades than that, and nothing open."""
    ours = [one for one in injected if one.symbol == symbol]
    done = Counter(dict.fromkeys(DrillKind, 0))
    for one in ours:
        done[one.kind] += len(one.trade_ids)
    lost = {trade_id for one in ours if one.kind in _LOST for trade_id in one.trade_ids}
    filled = _filled_ranges(lake, venue, symbol)
    unexplained = [i for i in sorted(lost) if not any(first <= i <= last for first, last in filled)]
    checks = [
        (
            "duplicates",
            report["duplicates"] == done[DrillKind.DUPLICATE],
            f"{report['duplicates']} counted, {done[DrillKind.DUPLICATE]} sent twice",
        ),
        (
            "reordered",
            report["reordered"] == done[DrillKind.REORDER],
            f"{report['reordered']} counted, {done[DrillKind.REORDER]} swapped",
        ),
        (
            "filled",
            not unexplained and report["trades_filled"] >= len(lost),
            f"{len(lost)} not sent or unreadable, {len(unexplained)} of them in no filled gap; "
            f"{report['trades_filled']} filled in {report['gaps_filled']} gaps",
        ),
        (
            "open",
            not (report["missing"] or report["gaps_given_up"] or report["open_gaps"] or report["held"]),
            f"{report['missing']} missing, {report['gaps_given_up']} gaps given up, {report['held']} held",
        ),
    ]
    return [Check(symbol, *one) for one in checks]


def check_parity(lake: Lake, venue: str, symbol: str) -> Check:
    """What the actors wrote down is what a batch run makes of the stored ticks."""
    found = check_symbol(lake, venue, symbol, None, None)
    rows = sum(found.rows.values())
    detail = found.problem or (str(found.first) if found.first else f"{found.ticks:,} ticks, {rows:,} rows")
    return Check(symbol, "parity", found.same and found.ticks > 0, detail)


def _raw_trades(lake: Lake, venue: str, symbol: str) -> pa.Table:
    """The rows of all files, as any tool that knows nothing of our rules would read them."""
    filesystem, base = lake.store.filesystem()
    prefix = f"trades/venue={venue}/symbol={symbol}/"
    keys = [one.key for one in lake.store.list(prefix) if one.key.endswith(".parquet")]
    parts = [pq.ParquetFile(filesystem.open_input_file(f"{base}/{key}")).read() for key in keys]
    return pa.concat_tables(parts).sort_by("trade_id")


def _filled_ranges(lake: Lake, venue: str, symbol: str) -> list[tuple[int, int]]:
    notes = lake.read("continuity", venue, [symbol]).to_pylist()
    return [(one["first_id"], one["last_id"]) for one in notes if one["event"] == "gap_filled"]
