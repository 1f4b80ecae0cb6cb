"""Random pasts of one symbol, and what may be read of them by a plain reading of the lake's rules.

A past is a list of files as actors would have written them: epochs that begin anywhere in the stream of
the one before, rows that a dead actor still wrote, late fills, trades and ticks stored twice.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from cluster.storage import schemas
from cluster.storage.epochs import EpochRecord
from cluster.storage.lake import Lake
from features.ticks import NO_ID, Kind

VENUE, SYMBOL = "binance", "A/B c"
TABLES = ("trades", "quotes", "marks", "features", "continuity")
MIDNIGHT_NS = 1_723_161_600_000_000_000
_STEP_NS = 250_000_000

Row = dict[str, Any]


@dataclass
class File:
    """Rows of one epoch that are written at once."""

    table: str
    epoch: int
    rows: list[Row]


@dataclass
class History:
    """What was written, in order: epochs and files."""

    steps: list[EpochRecord | File] = field(default_factory=list)

    def write(self, lake: Lake, start: int = 0, end: int | None = None) -> None:
        """Write some of the steps."""
        for step in self.steps[start:end]:
            if isinstance(step, EpochRecord):
                lake.put_epoch(step)
            else:
                lake.write(step.table, VENUE, SYMBOL, step.epoch, table_of(step.table, step.rows))


def table_of(name: str, rows: list[Row]) -> pa.Table:
    """Rows in the form that a writer gives them."""
    schema = schemas.table(name).schema
    if name == "features":
        schema = schema.append(pa.field("ema:3", pa.float64()))
    return pa.Table.from_pylist(rows, schema=schema)


def random_history(seed: int, epochs: int = 3, ticks: int = 14) -> History:
    """A past of some epochs; all of it follows from the seed."""
    draw = random.Random(seed)
    history, first, end = History(), 0, 0
    for epoch in sorted(draw.sample(range(1, 50), epochs)):
        if history.steps:
            first = draw.randint(max(0, first - 2), end)
        history.steps.append(EpochRecord(VENUE, SYMBOL, epoch, first, epoch, {}, draw.random() < 0.3))
        made = _epoch_files(draw, epoch, first, draw.randint(0, ticks))
        end = max(
            [
                first,
                *(row["sequence"] + 1 for file in made for row in file.rows if row["sequence"] is not None),
            ]
        )
        # What an actor wrote may reach the lake long after it was replaced.
        kept = [file for file in made if draw.random() < 0.8]
        delayed = [file for file in made if file not in kept]
        history.steps += kept
        if delayed:
            history.steps.append(delayed[0])
            _insert_later(draw, history, delayed[1:])
    return history


def _insert_later(draw: random.Random, history: History, files: list[File]) -> None:
    history.steps += files
    if draw.random() < 0.5:
        history.steps += [draw.choice(files)] if files else []


def _epoch_files(draw: random.Random, epoch: int, first: int, count: int) -> list[File]:
    """The files of one incarnation: its ticks in any cut, some of them twice, and what it made of them."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    for sequence in range(first, first + count):
        table, row = _tick(draw, sequence)
        rows[table].append(row)
        if draw.random() < 0.4:
            rows["features"].append(
                {"sequence": sequence, "end_ns": row["ts_ns"], "ema:3": draw.choice([1.5, None])}
            )
    for _ in range(draw.randint(0, 3)):
        rows["trades"].append(_trade(draw, None))
        rows["quotes"].append(_quote(draw, None, draw.randint(0, 9**9)))
    for _ in range(draw.randint(0, 2)):
        at = _time(draw.randint(0, 40))
        number = draw.choice([None, first + draw.randint(0, count)])
        rows["continuity"].append(
            {"sequence": number, "at_ns": at, "event": "gap_found", "first_id": draw.randint(0, 9**9)}
            | {"last_id": epoch, "trades": draw.randint(0, 9**9), "detail": ""}
        )
    files = [File(table, epoch, part) for table in TABLES for part in _cut(draw, rows[table])]
    for table in schemas.STREAM:
        if draw.random() < 0.3:
            # A late trade without an id can't be told from its copy.
            again = [
                row for row in rows[table] if row["sequence"] is not None or row.get("trade_id") is not None
            ]
            files += [File(table, epoch, part) for part in _cut(draw, again)]
    draw.shuffle(files)
    return files


def _tick(draw: random.Random, sequence: int) -> tuple[str, Row]:
    kind = draw.random()
    if kind < 0.6:
        return "trades", _trade(draw, sequence)
    if kind < 0.85:
        return "quotes", _quote(draw, sequence, draw.randint(0, 9))
    ts_ns = _time(draw.randint(0, 40))
    clocks = {"sequence": sequence, "ts_ns": ts_ns, "received_ns": ts_ns + draw.randint(0, 9)}
    mark = {"kind": draw.choice(["heartbeat", "gap", "swap"]), "slot": None, "version": None}
    if mark["kind"] == "swap":
        mark |= {"slot": draw.randrange(3), "version": draw.randrange(4)}
    return "marks", clocks | mark


def _quote(draw: random.Random, sequence: int | None, after_ns: int) -> Row:
    ts_ns = _time(draw.randint(0, 40))
    clocks = {"sequence": sequence, "ts_ns": ts_ns, "received_ns": ts_ns + after_ns}
    return clocks | {name: draw.choice([1.0, 2.5, None]) for name in ("bid", "ask", "bid_size", "ask_size")}


def _trade(draw: random.Random, sequence: int | None) -> Row:
    """Copies of one trade have all but the time of receipt in common."""
    trade_id = draw.choice([None, *range(25)]) if draw.random() < 0.9 else draw.randint(25, 10**12)
    number = draw.randint(0, 40) if trade_id is None else trade_id % 41
    ts_ns = _time(number)
    return {
        "sequence": sequence,
        "ts_ns": ts_ns,
        "received_ns": ts_ns + draw.randint(0, 3),
        "trade_id": trade_id,
        "price": 100.0 + 0.1 * number,
        "size": 1.0 / (number + 3),
        "side": number % 3 - 1,
    }


def _time(number: int) -> int:
    """Times on both sides of midnight, some of them equal."""
    return MIDNIGHT_NS + (number // 2 - 10) * _STEP_NS


def _cut(draw: random.Random, rows: list[Row]) -> list[list[Row]]:
    places = sorted(draw.randint(0, len(rows)) for _ in range(draw.randint(0, 3)))
    parts = [rows[start:end] for start, end in zip([0, *places], [*places, len(rows)], strict=True)]
    return [part for part in parts if part]


# The rules, read plainly.


def readable(steps: Iterable[EpochRecord | File], table: str) -> list[Row]:
    """All rows of a table that count, in the order in which they are read."""
    steps = list(steps)
    begun = {step.epoch: step.first_sequence for step in steps if isinstance(step, EpochRecord)}
    files = {repr(step): step for step in steps if isinstance(step, File) and step.table == table}
    time = schemas.table(table).time
    found: list[tuple[Row, int]] = []
    for file in files.values():
        for row in file.rows:
            number = row["sequence"]
            if number is None or not any(e > file.epoch and first <= number for e, first in begun.items()):
                found.append((row, file.epoch))
            elif table == "trades" and row["trade_id"] is not None:
                found.append((row | {"sequence": None}, file.epoch))
    rows = _once(table, [row for row, _ in found])
    last = math.inf

    def place(row: Row) -> tuple[Any, ...]:
        numbers = [last if (value := row.get(name)) is None else value for name in ("sequence", "trade_id")]
        return row[time], *numbers, row.get("received_ns", 0), repr(row)

    return sorted(rows, key=place)


def _once(table: str, rows: list[Row]) -> list[Row]:
    if table not in schemas.STREAM:
        return rows
    numbered = {row["sequence"]: row for row in rows if row["sequence"] is not None}
    if table != "trades":
        return [*numbered.values(), *(row for row in rows if row["sequence"] is None)]
    kept: list[Row] = []
    seen = set()
    for number in sorted(numbered):
        row = numbered[number]
        if row["trade_id"] is None or row["trade_id"] not in seen:
            kept.append(row)
            seen.add(row["trade_id"])
    late = [row for row in rows if row["sequence"] is None]
    for row in sorted(late, key=lambda row: (row["ts_ns"], row["received_ns"])):
        if row["trade_id"] is None or row["trade_id"] not in seen:
            kept.append(row)
            seen.add(row["trade_id"])
    return kept


def stream(steps: Iterable[EpochRecord | File]) -> dict[int, tuple[Any, ...]]:
    """The valid ticks by sequence, each as the plain values of a tick."""
    steps = list(steps)
    begun = {step.epoch: step.first_sequence for step in steps if isinstance(step, EpochRecord)}
    found = {}
    for file in steps:
        if isinstance(file, EpochRecord) or file.table not in schemas.STREAM:
            continue
        for row in file.rows:
            number = row["sequence"]
            if number is None or any(e > file.epoch and first <= number for e, first in begun.items()):
                continue
            found[number] = _values(file.table, row)
    return found


def _values(table: str, row: Row) -> tuple[Any, ...]:
    kinds = {"trades": Kind.TRADE, "quotes": Kind.QUOTE}
    kind = kinds.get(table) or (Kind.TRADE if table == "trades" else None)
    if kind is None:
        kind = {"gap": Kind.GAP, "swap": Kind.SWAP, "heartbeat": Kind.HEARTBEAT}[row["kind"]]
    # A swap has its version where a trade has its id, and its slot where it has its side.
    trade_id = row.get("trade_id", row.get("version"))
    numbers = (row.get(name) for name in ("price", "size", "bid", "ask", "bid_size", "ask_size"))
    return (
        row["ts_ns"],
        row["received_ns"],
        NO_ID if trade_id is None else trade_id,
        *("missing" if value is None else value for value in numbers),
        int(kind),
        row.get("side", row.get("slot")) or 0,
    )


def tick_values(record: Any) -> tuple[Any, ...]:
    """A record of `Ticks` in the same form as `stream` has it."""
    names = (
        "ts_ns",
        "received_ns",
        "trade_id",
        "price",
        "size",
        "bid",
        "ask",
        "bid_size",
        "ask_size",
        "kind",
        "side",
    )
    values = [record[name].item() for name in names]
    return tuple("missing" if isinstance(value, float) and math.isnan(value) else value for value in values)
