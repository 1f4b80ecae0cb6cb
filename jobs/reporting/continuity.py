"""What the lake knows of a symbol's continuity over a period: trades, gaps, lateness, restarts, swaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.event_order import NoteEvent
from cluster.storage.lake import Lake
from features.model_slots import slot_name
from jobs.reporting.live_ledger import days

Ints = NDArray[np.int64]

PANES = 240
_LATENESS_MS = 3_600_000
"""Lateness is counted in steps of a millisecond up to an hour; what is later counts as an hour."""
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing worth a line."""

    at_ns: int
    what: str
    detail: str
    tone: str = ""


@dataclass(slots=True)
class SymbolContinuity:
    """One symbol over one period."""

    venue: str
    symbol: str
    trades: int = 0
    """Different trades stored, late ones included."""
    late: int = 0
    """Of them, those that came too late to be fed on."""
    quotes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_silence_s: float = 0.0
    """Longest time between two neighbouring trades, by the venue's clock."""
    lateness_s: Mapping[str, float] = field(default_factory=dict)
    """"median", "p99", "max": from the venue's stamp to ours; the difference of the clocks is in it."""
    events: Counter[str] = field(default_factory=Counter)
    """Notes by event."""
    concerned: Counter[str] = field(default_factory=Counter)
    """Trades that these notes concern, by event."""
    heartbeats: int = 0
    gap_marks: int = 0
    """Gaps for good, as the engine was told of them."""
    started_ns: list[int] = field(default_factory=list)
    """When actors began, by our clock."""
    fresh: int = 0
    """Of them, those that began without an earlier state."""
    swaps: int = 0
    happenings: list[Happening] = field(default_factory=list)
    per_pane: Ints = field(default_factory=lambda: np.zeros(PANES, np.int64))
    """Trades in each of equal parts of the period."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """Counters of the newest checkpoint over the whole life; empty where there is none."""

    @property
    def open_gaps(self) -> int:
        """Gaps found in the period whose end is not in it: still open, or filled later."""
        ended = self.events[NoteEvent.GAP_FILLED] + self.events[NoteEvent.GAP_GIVEN_UP]
        return max(0, self.events[NoteEvent.GAP_FOUND] - ended)


def read_continuity(lake: Lake, venue: str, symbol: str, start_ns: int, end_ns: int) -> SymbolContinuity:
    """One symbol over `start_ns` <= time < `end_ns`, read a day at a time."""
    found = SymbolContinuity(venue, symbol)
    lateness = np.zeros(_LATENESS_MS + 1, np.int64)
    _read_trades(lake, found, start_ns, end_ns, lateness)
    found.lateness_s = _quantiles(lateness)
    for low, high in days(lake, "quotes", venue, symbol, start_ns, end_ns):
        found.quotes += lake.read("quotes", venue, [symbol], low, high, ["ts_ns"]).num_rows
    _read_notes(lake, found, start_ns, end_ns)
    _read_marks(lake, found, start_ns, end_ns)
    for one in lake.epochs(venue, symbol):
        if start_ns <= one.started_ns < end_ns:
            found.started_ns.append(one.started_ns)
            found.fresh += one.fresh
            state = "a new engine" if one.fresh else f"goes on at tick {one.first_sequence:,}"
            found.happenings.append(Happening(one.started_ns, "actor started", state, "warn"))
    found.happenings.sort(key=lambda one: one.at_ns)
    return found


def period_of(lake: Lake, pairs: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """From the first to one past the last trade or bar in the lake of these symbols; (0, 0) for none."""
    lows, highs = [], []
    for venue, symbol in pairs:
        for table, column in (("trades", "ts_ns"), ("bars", "end_ns")):
            found = list(days(lake, table, venue, symbol, None, None))
            for low, high in [*found[:1], *found[-1:]]:
                at = lake.read(table, venue, [symbol], low, high, [column])[column].to_numpy()
                if len(at):
                    lows.append(int(at.min()))
                    highs.append(int(at.max()) + 1)
    return (min(lows), max(highs)) if lows else (0, 0)


def _read_trades(lake: Lake, found: SymbolContinuity, start_ns: int, end_ns: int, lateness: Ints) -> None:
    pair = found.venue, found.symbol
    columns = ["ts_ns", "received_ns", "sequence"]
    for low, high in days(lake, "trades", *pair, start_ns, end_ns):
        rows = lake.read("trades", pair[0], [pair[1]], low, high, columns)
        at = np.sort(rows["ts_ns"].to_numpy())
        if not len(at):
            continue
        fed = rows.filter(pc.is_valid(rows["sequence"]))
        found.trades += len(at)
        found.late += len(at) - fed.num_rows
        gaps = np.diff(at, prepend=found.last_ns or at[0])
        found.longest_silence_s = max(found.longest_silence_s, float(gaps.max()) / 1e9)
        found.first_ns = found.first_ns or int(at[0])
        found.last_ns = int(at[-1])
        place = (at - start_ns) * PANES // max(1, end_ns - start_ns)
        found.per_pane += np.bincount(np.clip(place, 0, PANES - 1), minlength=PANES)
        behind = (fed["received_ns"].to_numpy() - fed["ts_ns"].to_numpy()) // NS_PER_MS
        lateness += np.bincount(np.clip(behind, 0, _LATENESS_MS), minlength=len(lateness))


def _quantiles(lateness: Ints) -> dict[str, float]:
    """Median, 99th percentile and maximum, from counts by millisecond."""
    total = np.cumsum(lateness)
    if not total[-1]:
        return {}
    shares = {"median": 0.5, "p99": 0.99, "max": 1.0}
    return {name: int(np.searchsorted(total, share * total[-1])) / 1e3 for name, share in shares.items()}


_TONES = {NoteEvent.GAP_GIVEN_UP: "bad", NoteEvent.GAP_FOUND: "warn"}


def _read_notes(lake: Lake, found: SymbolContinuity, start_ns: int, end_ns: int) -> None:
    rows = lake.read("continuity", found.venue, [found.symbol], start_ns, end_ns)
    for row in rows.to_pylist():
        event = row["event"]
        found.events[event] += 1
        found.concerned[event] += row["trades"]
        known = row["first_id"] >= 0
        ids = f"ids {row['first_id']} to {row['last_id']}" if known else "ids unknown"
        text = "; ".join(one for one in (f"{row['trades']:,} trades", ids, row["detail"]) if one)
        tone = _TONES.get(event, "")
        found.happenings.append(Happening(row["at_ns"], event.replace("_", " "), text, tone))


def _read_marks(lake: Lake, found: SymbolContinuity, start_ns: int, end_ns: int) -> None:
    for low, high in days(lake, "marks", found.venue, found.symbol, start_ns, end_ns):
        rows = lake.read(
            "marks", found.venue, [found.symbol], low, high, ["ts_ns", "kind", "slot", "version"]
        )
        kinds = Counter(rows["kind"].to_pylist())
        found.heartbeats += kinds["heartbeat"]
        found.gap_marks += kinds["gap"]
        found.swaps += kinds["swap"]
        for row in rows.filter(pc.equal(rows["kind"], "swap")).to_pylist():
            what = f"model {row['version']}" if row["version"] else "no model"
            text = f"{slot_name(row['slot'])}: {what}"
            found.happenings.append(Happening(row["ts_ns"], "model swapped", text, "good"))
