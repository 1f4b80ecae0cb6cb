"""Compares what the lake holds at the end of a soak with what the generated market has published.

The market is seeded: from the same seed, rate and start its trades are made again, to the last digit.
"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from cluster import launch
from cluster.config import on_this_machine
from cluster.exchange.market import MarketSpec
from cluster.storage.lake_reader import LakeReader
from cluster.storage.objects import open_store
from cluster.storage.segments import segment_files, symbol_folder
from features.errors import DataError
from features.ticks import Kind
from tests.bench.running import Running
from tests.bench.soak_readings import LakeCheck

_COMPARED = ("trade_id", "price", "size", "side")
Columns = dict[str, NDArray[Any]]
"""Arrays of one length by the names of `_COMPARED`."""


def check(running: Running) -> dict[str, LakeCheck]:
    """Each symbol's stream up to its last archived segment, while it goes on."""
    state = httpx.get(f"{running.state.exchange['rest_url']}/tickcast/state").raise_for_status().json()
    known = launch.symbol_status()
    reader = LakeReader(open_store(running.config.lake_spec()))
    found = {}
    for symbol in running.symbols:
        continuity = known[symbol]["continuity"]
        ticks, stored, problem = _stored(reader, running, symbol)
        market = running.market(start_ns=state["start_ns"], symbols=(symbol,))
        problem = problem or difference(
            stored, published(market, continuity["first_id"], len(stored["price"]))
        )
        found[symbol] = LakeCheck(
            ticks=ticks,
            trades=len(stored["price"]),
            behind=max(0, state["symbols"][symbol]["last_id"] - continuity["last_id"]),
            problem=problem,
        )
    return found


def published(market: MarketSpec, first_id: int, count: int) -> Columns:
    """So many trades of a market of one symbol, from the one with this id on."""
    source = market.open(0)
    parts: list[Columns] = []
    last_id = 0
    while last_id < first_id + count - 1:
        ticks = source.next_events().ticks
        trades = ticks[ticks.kind == Kind.TRADE]
        parts.append({name: np.array(trades.records[name]) for name in _COMPARED})
        last_id += len(trades)
    return {name: column[first_id - 1 :][:count] for name, column in _joined(parts).items()}


def difference(stored: Columns, expected: Columns) -> str:
    """The first trade in which two runs of trades differ, in words; empty when there is none."""
    if len(stored["price"]) != len(expected["price"]):
        return f"{len(stored['price'])} trades are stored, {len(expected['price'])} were published"
    unequal = np.zeros(len(stored["price"]), np.bool_)
    for name in _COMPARED:
        unequal |= stored[name] != expected[name]
    if not unequal.any():
        return ""
    at = int(unequal.argmax())
    said, meant = ({name: columns[name][at].item() for name in _COMPARED} for columns in (stored, expected))
    return f"{int(unequal.sum())} trades differ, first {said} instead of {meant}"


def _stored(reader: LakeReader, running: Running, symbol: str) -> tuple[int, Columns, str]:
    """Number of ticks, all trades, and what is missing, of what should be in the lake."""
    venue = running.config.venue.name
    folder = symbol_folder(on_this_machine(running.config.log_root()), venue, symbol)
    waiting = segment_files(folder, "open", "log")
    reach = int(waiting[0].name[:20]) if waiting else 0
    count, parts = 0, []
    try:
        for _, ticks in reader.ticks(venue, symbol, 0, reach - 1) if reach else ():
            count += len(ticks)
            trades = ticks[ticks.kind == Kind.TRADE]
            parts.append({name: np.array(trades.records[name]) for name in _COMPARED})
    except DataError as error:
        return count, _joined(parts), str(error)
    return count, _joined(parts), ""


def _joined(parts: list[Columns]) -> Columns:
    empty = np.zeros(0)
    return {name: np.concatenate([part[name] for part in parts] or [empty]) for name in _COMPARED}
