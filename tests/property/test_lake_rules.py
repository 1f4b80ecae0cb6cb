"""Whatever was written, killed and compacted: what is read is what a plain reading of the rules gives."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.storage import schemas
from cluster.storage.compaction import archive_day, compact_day
from cluster.storage.epochs import EpochRecord
from cluster.storage.lake import Lake
from cluster.storage.lake_reader import LakeReader
from cluster.storage.layout import Partition, parse_data_key
from cluster.storage.stream import StreamHole
from tests.property.lake_history import (
    SYMBOL,
    TABLES,
    VENUE,
    File,
    random_history,
    readable,
    stream,
    tick_values,
)
from tests.property.lake_stores import Killed, MemoryStore, dying

SEEDS = st.integers(0, 10**9)


def assert_reads(store: Any, steps: Iterable[EpochRecord | File], archived: bool = False) -> None:
    """The lake gives exactly what the rules say of these steps."""
    steps = list(steps)
    reader = LakeReader(store)
    for table in TABLES:
        rows = reader.read(table, VENUE, [SYMBOL], archived=archived, verify=True).to_pylist()
        want = readable(steps, table)
        if table == "trades":
            # Copies of a late trade differ in their time of receipt only. Which of them is kept depends on
            # when it became late: a compaction before that has kept the one of the stream.
            rows, want = ([_without_receipt(row) for row in given] for given in (rows, want))
        if table in schemas.STREAM:
            assert rows == want
        assert sorted(rows, key=repr) == sorted(want, key=repr)
        time = schemas.table(table).time
        assert [row[time] for row in rows] == [row[time] for row in want]
    assert_streams(reader, stream(steps), archived)


def _without_receipt(row: dict[str, Any]) -> dict[str, Any]:
    return row if row["sequence"] is not None else row | {"received_ns": None}


def assert_streams(reader: LakeReader, want: dict[int, tuple[Any, ...]], archived: bool = False) -> None:
    whole = next(number for number in range(len(want) + 1) if number not in want)
    found, hole = [], None
    try:
        for sequence, ticks in reader.ticks(VENUE, SYMBOL, archived=archived):
            assert sequence == len(found)
            found += [tick_values(record) for record in ticks.records]
    except StreamHole as error:
        hole = error
    assert found == [want[number] for number in range(whole)]
    beyond = [number for number in want if number > whole]
    if beyond:
        assert hole is not None
        assert (hole.first, hole.last) == (whole, min(beyond) - 1)
    elif hole is not None:
        assert hole.first == whole
    assert reader.end(VENUE, SYMBOL) >= max(want, default=-1) + 1


def partitions(store: MemoryStore) -> list[Partition]:
    found = (parse_data_key(key) for key in list(store.objects))
    return sorted({file.partition for file in found if file is not None and not file.prefix})


def compact(lake: Lake, partition: Partition) -> None:
    compact_day(lake, partition.table, partition.venue, partition.symbol, partition.date)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_what_is_read_is_what_the_rules_say_before_and_after_compacting(seed: int) -> None:
    history, store = random_history(seed), MemoryStore()
    lake = Lake(store)
    history.write(lake)
    assert_reads(store, history.steps)
    for partition in partitions(store):
        compact(lake, partition)
    assert_reads(store, history.steps)
    left = [parse_data_key(key) for key in store.objects]
    assert all(file is None or file.compact for file in left)
    assert len({file.partition for file in left if file}) == sum(file is not None for file in left)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_compacting_and_archiving_between_writes_changes_nothing(seed: int) -> None:
    history, store, draw = random_history(seed), MemoryStore(), random.Random(seed)
    for place in range(len(history.steps)):
        history.write(Lake(store), place, place + 1)
        for partition in partitions(store):
            if draw.random() < 0.3:
                compact(Lake(store), partition)
            elif draw.random() < 0.1:
                archive_day(Lake(store), partition)
        if draw.random() < 0.2:
            assert_reads(store, history.steps[: place + 1], archived=True)
    assert_reads(store, history.steps, archived=True)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 60))
def test_a_compaction_killed_at_any_call_changes_nothing_and_the_next_one_finishes(
    seed: int, calls: int
) -> None:
    history, store = random_history(seed), MemoryStore()
    history.write(Lake(store))
    for partition in partitions(store):
        try:
            compact(Lake(dying(store, calls)), partition)
        except Killed:
            assert_reads(store, history.steps)
    for partition in partitions(store):
        compact(Lake(store), partition)
    assert_reads(store, history.steps)
    for partition in partitions(store):
        assert sum(key.startswith(partition.prefix) for key in store.objects) == 1


@pytest.mark.parametrize("seed", range(2))
def test_a_compaction_may_be_killed_at_every_single_call(seed: int) -> None:
    history, store = random_history(seed), MemoryStore()
    history.write(Lake(store))
    for partition in partitions(store):
        for calls in range(200):
            try:
                compact(Lake(dying(store, calls)), partition)
                break
            except Killed:
                assert_reads(store, history.steps)
    assert_reads(store, history.steps)
