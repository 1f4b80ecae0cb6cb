"""The stream comes back as it was taken in, whatever happens to its files meanwhile; a hole is named."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.storage import schemas
from cluster.storage.catalogue import Catalogue
from cluster.storage.compaction import archive_day, compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import date_of, parse_data_key
from cluster.storage.objects import ObjectStore
from cluster.storage.stream import StreamHole
from features.errors import DataError
from features.ticks import TickBuffer, Ticks
from tests.unit.cluster.storage.lake_rows import (
    DAY_NS,
    MIDNIGHT_NS,
    SYMBOL,
    VENUE,
    record,
    tick_tables,
    trades,
    write_ticks,
)

_NEW = ("slot", "version")
"""Columns of marks that version 1 did not have."""


def recording(n: int, seed: int = 0) -> Ticks:
    """n ticks of every kind around midnight: out of order, some with missing parts, some late by a day."""
    draw, buffer = np.random.default_rng(seed), TickBuffer()
    for i in range(n):
        ts = MIDNIGHT_NS + (i - n // 2) * 10**6 + int(draw.integers(-3, 3)) * 10**6
        ts -= DAY_NS if draw.random() < 0.01 else 0
        kind = draw.random()
        if kind < 0.5:
            trade_id = -1 if draw.random() < 0.1 else i
            buffer.trade(
                ts, ts + 7, trade_id, float(draw.choice([np.nan, 0.1, 3.0])), 1 / 3, int(draw.integers(-1, 2))
            )
        elif kind < 0.9:
            book = draw.choice([np.nan, 0.0, -0.0, 99.99, np.inf], 4).tolist()
            buffer.quote(ts, ts + 7, *book)
        elif kind < 0.98:
            buffer.heartbeat(ts, ts)
        else:
            buffer.gap(ts, ts)
    return buffer.take()


def store_stream(lake: Lake, ticks: Ticks, cuts: int = 7, epoch: int = 1) -> None:
    """Write ticks in batches, as segments of a log come in."""
    ends = np.linspace(0, len(ticks), cuts + 1, dtype=int).tolist()
    for start, end in pairwise(ends):
        write_ticks(lake, epoch, start, ticks[start:end])


def compact_all(lake: Lake) -> None:
    keys = [parse_data_key(info.key) for info in list(lake.store.list())]
    for one in {file.partition for file in keys if file}:
        compact_day(lake, one.table, one.venue, one.symbol, one.date)


def gathered(lake: Lake, first: int = 0, last: int | None = None, archived: bool = False) -> bytes:
    """The stream as bytes; the sequences must run on."""
    at, found = first, []
    for sequence, ticks in lake.ticks(VENUE, SYMBOL, first, last, verify=True, archived=archived):
        assert sequence == at
        at += len(ticks)
        found.append(ticks.to_bytes())
    return b"".join(found)


@pytest.mark.parametrize("window", [64, 262_144])
@pytest.mark.parametrize("whole", [True, False])
def test_every_byte_of_the_stream_comes_back_in_order(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, window: int, whole: bool
) -> None:
    monkeypatch.setattr("cluster.storage.stream._WINDOW", window)
    if not whole:
        monkeypatch.setattr("cluster.storage.parquet_files.GET_WHOLE_BYTES", 0)
    lake, ticks = Lake(store), recording(1_000)
    store_stream(lake, ticks)
    for _ in range(2):
        assert gathered(lake) == ticks.to_bytes()
        assert gathered(lake, 333) == ticks[333:].to_bytes()
        assert gathered(lake, 333, 333) == ticks[333:334].to_bytes()
        assert gathered(lake, 100, 700) == ticks[100:701].to_bytes()
        assert gathered(lake, 1_000) == gathered(lake, 5_000) == gathered(lake, 5, 4) == b""
        compact_all(lake)


def test_a_stream_longer_than_many_row_groups_comes_back(store: ObjectStore) -> None:
    lake, n = Lake(store), 600_000
    at = MIDNIGHT_NS + np.arange(n, dtype=np.int64) * 1000
    at[::1000] -= 10**7
    ticks = Ticks.from_columns(
        n, ts_ns=at, received_ns=at, trade_id=np.arange(n), price=1.5, size=1.0, side=1
    )
    store_stream(lake, ticks, cuts=3)
    compact_all(lake)
    assert gathered(lake, 5) == ticks[5:].to_bytes()


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_it_goes_on_when_files_are_replaced_while_it_reads(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setattr("cluster.storage.stream._WINDOW", 100)
    lake, ticks = Lake(store), recording(1_000)
    store_stream(lake, ticks, cuts=20)
    found = []
    for number, (_, batch) in enumerate(Lake(store).ticks(VENUE, SYMBOL)):
        found.append(batch.to_bytes())
        if number == calls:
            compact_all(lake)
    assert b"".join(found) == ticks.to_bytes()


def test_the_first_hole_is_named_after_all_that_comes_before_it(store: ObjectStore) -> None:
    lake, ticks = Lake(store), recording(300)
    for start, end in ((0, 120), (150, 200), (210, 300)):
        write_ticks(lake, 1, start, ticks[start:end])
    found = []
    with pytest.raises(StreamHole, match="sequences 120 to 149 of the stream are missing") as error:
        for _, batch in lake.ticks(VENUE, SYMBOL):
            found.append(batch.to_bytes())
    assert b"".join(found) == ticks[:120].to_bytes()
    assert (error.value.first, error.value.last) == (120, 149)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    assert isinstance(error.value, DataError)
    assert gathered(lake, 150, 199) == ticks[150:200].to_bytes()
    for first, last, hole in ((130, None, (130, 149)), (150, None, (200, 209)), (210, 305, (300, 305))):
        with pytest.raises(StreamHole) as error:
            gathered(lake, first, last)
        assert (error.value.first, error.value.last) == hole


def test_a_segment_that_comes_while_the_tables_are_listed_is_no_hole(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, ticks = Lake(store), recording(300)
    write_ticks(lake, 1, 0, ticks[:200])
    reader, listing, coming = Lake(store), Catalogue.holdings, [ticks[200:]]

    def slow(self: Catalogue, table: str, *rest: Any, **more: Any) -> Any:
        if table == "quotes" and coming:
            write_ticks(lake, 1, 200, coming.pop())
        return listing(self, table, *rest, **more)

    monkeypatch.setattr(Catalogue, "holdings", slow)
    assert gathered(reader) == ticks.to_bytes()
    assert not coming


def test_a_tick_missing_from_one_table_is_a_hole(store: ObjectStore) -> None:
    lake, ticks = Lake(store), recording(300)
    keys = write_ticks(lake, 1, 0, ticks)
    store.delete([key for key in keys if key.startswith("marks/")])
    first = int(np.flatnonzero(ticks.kind >= 2)[0])
    with pytest.raises(StreamHole) as error:
        gathered(lake)
    assert error.value.first == first


def test_only_the_ticks_of_the_epoch_in_force_are_in_the_stream(store: ObjectStore) -> None:
    lake = Lake(store)
    old, new = recording(200, seed=1), recording(250, seed=2)
    lake.put_epoch(record(1, 0))
    write_ticks(lake, 1, 0, old[:150])
    lake.put_epoch(record(2, 120))
    write_ticks(lake, 2, 120, new[120:])
    write_ticks(lake, 1, 150, old[150:])
    want = old[:120].to_bytes() + new[120:].to_bytes()
    for _ in range(2):
        assert gathered(lake) == want
        compact_all(lake)
    # One that is recorded when all is compacted already.
    third = recording(300, seed=3)
    lake.put_epoch(record(3, 100))
    write_ticks(lake, 3, 100, third[100:180])
    for _ in range(2):
        assert gathered(lake) == old[:100].to_bytes() + third[100:180].to_bytes()
        compact_all(lake)


def test_ticks_stored_in_two_cuts_come_once_and_two_different_ones_are_refused(store: ObjectStore) -> None:
    lake, ticks = Lake(store), recording(200)
    store_stream(lake, ticks, cuts=2)
    store_stream(lake, ticks, cuts=3)
    assert gathered(lake) == ticks.to_bytes()
    lake.write("trades", VENUE, SYMBOL, 1, trades([7]))
    with pytest.raises(DataError, match="sequence 7 stands for two different ticks"):
        gathered(lake)


def test_an_unknown_kind_of_mark_is_refused(store: ObjectStore) -> None:
    lake = Lake(store)
    row = {"sequence": [0], "ts_ns": [MIDNIGHT_NS], "received_ns": [0], "kind": ["eclipse"]}
    row |= {"slot": [1], "version": [1]}
    lake.write("marks", VENUE, SYMBOL, 1, pa.table(row))
    with pytest.raises(DataError, match="marks hold the unknown kind 'eclipse'"):
        gathered(lake)


def test_swaps_come_back_beside_marks_of_the_first_version(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = TickBuffer()
    for at in range(6):
        ts_ns = MIDNIGHT_NS + at
        buffer.heartbeat(ts_ns, at)
        buffer.gap(ts_ns, at)
    old = buffer.take()
    lake, now = Lake(store), schemas.table("marks")
    first = replace(now, version=1, schema=pa.schema([f for f in now.schema if f.name not in _NEW]))
    monkeypatch.setattr(schemas, "TABLES", {"marks": first})
    lake.write("marks", VENUE, SYMBOL, 1, tick_tables(0, old)["marks"].drop(list(_NEW)))
    monkeypatch.undo()
    for slot, version in ((0, 7), (3, 0), (1, 10**6)):
        buffer.swap(MIDNIGHT_NS + 9, 9, slot, version)
        buffer.heartbeat(MIDNIGHT_NS + 9, 9)
    new = buffer.take()
    lake.write("marks", VENUE, SYMBOL, 1, tick_tables(len(old), new)["marks"])
    want = Ticks.concat([old, new]).to_bytes()
    assert gathered(lake) == want
    assert compact_day(lake, "marks", VENUE, SYMBOL, date_of(MIDNIGHT_NS)).files_after == 1
    assert gathered(lake) == want
    rows = lake.read("marks", VENUE, SYMBOL).to_pylist()
    assert [(row["slot"], row["version"]) for row in rows if row["kind"] == "swap"] == [
        (0, 7),
        (3, 0),
        (1, 10**6),
    ]


def test_archived_parts_of_the_stream_are_read_when_asked_for(store: ObjectStore) -> None:
    lake, ticks = Lake(store), recording(500)
    store_stream(lake, ticks)
    compact_all(lake)
    for table in schemas.STREAM:
        for holding in lake.catalogue.holdings(table, VENUE, SYMBOL)[:-1]:
            assert archive_day(lake, holding.partition)
    with pytest.raises(StreamHole, match="ask for archived data too"):
        gathered(lake)
    assert gathered(lake, archived=True) == ticks.to_bytes()
    assert lake.end(VENUE, SYMBOL) == 500
