"""Compactions, writers and readers take turns at every call of the store: nothing is lost or doubled."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.storage.compaction import compact_day
from cluster.storage.lake import Lake
from cluster.storage.lake_reader import LakeReader
from cluster.storage.layout import parse_data_key
from tests.property.lake_history import MIDNIGHT_NS, SYMBOL, TABLES, VENUE, History, random_history, readable
from tests.property.lake_stores import MemoryStore, StepStore, Turns, random_schedule

SEEDS = st.integers(0, 10**9)
DATE = "2024-08-09"
Party = Callable[[StepStore], object]


def at_once(store: MemoryStore, parties: Sequence[Party], seed: int) -> None:
    """Let all parties work on the store in turns that the seed decides; raises what one of them raised."""
    turns = Turns(random_schedule(seed, len(parties)))
    failed: list[BaseException] = []

    def run(number: int) -> None:
        # An odd seed lists as a folder does, an even one as a bucket.
        mine = StepStore(store, lambda: turns.step(number), snapshot=bool(seed % 2))
        try:
            parties[number](mine)
        except BaseException as error:
            failed.append(error)
        finally:
            turns.leave(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(parties))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def numbers(store: Any) -> list[int]:
    return LakeReader(store).read("features", VENUE, SYMBOL)["sequence"].to_pylist()  # type: ignore[no-any-return]


def put(store: Any, number: int) -> None:
    rows = pa.table({"sequence": [number], "end_ns": [MIDNIGHT_NS + number]})
    Lake(store).write("features", VENUE, SYMBOL, 1, rows)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_three_compactions_of_one_day_beside_a_writer_and_a_reader(seed: int) -> None:
    """Rows that have no identity of their own: one read from two files would be there twice."""
    store, draw = MemoryStore(), random.Random(seed)
    every = draw.sample(range(100), 8)
    before, more = every[:3], every[3:]
    for number in before:
        put(store, number)
    seen: list[list[int]] = []

    def compacting(mine: StepStore) -> None:
        for _ in range(2):
            compact_day(Lake(mine), "features", VENUE, SYMBOL, DATE)

    def writing(mine: StepStore) -> None:
        for number in more:
            put(mine, number)

    def reading(mine: StepStore) -> None:
        for _ in range(2):
            seen.append(numbers(mine))

    at_once(store, [compacting, compacting, compacting, writing, reading], seed)
    assert numbers(store) == sorted(every)
    for found in seen:
        assert set(before) <= set(found) <= set(every)
        assert len(found) == len(set(found))
    compact_day(Lake(store), "features", VENUE, SYMBOL, DATE)
    assert numbers(store) == sorted(every)
    assert sum(key.endswith(".parquet") for key in store.objects) == 1


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(TABLES))
def test_two_compactions_while_a_past_with_all_its_epochs_is_written_and_read(seed: int, table: str) -> None:
    history, store = random_history(seed), MemoryStore()
    half = len(history.steps) // 2
    History(history.steps[:half]).write(Lake(store))
    files = (parse_data_key(key) for key in list(store.objects))
    targets = sorted({file.partition for file in files if file is not None and file.partition.table == table})
    seen: list[str] = []

    def compacting(mine: Any) -> None:
        for one in targets:
            compact_day(Lake(mine), one.table, one.venue, one.symbol, one.date)

    def writing(mine: StepStore) -> None:
        History(history.steps[half:]).write(Lake(mine))

    at_once(store, [compacting, compacting, writing, lambda mine: seen.extend(keys_of(mine, table))], seed)
    want = sorted(key_of(row) for row in readable(history.steps, table))
    assert sorted(keys_of(store, table)) == want
    compacting(store)
    assert sorted(keys_of(store, table)) == want
    # A reader in the midst of it sees all that was there from the beginning to the end.
    states = [history.steps[:place] for place in range(half, len(history.steps) + 1)]
    assert set.intersection(*({key_of(row) for row in readable(steps, table)} for steps in states)) <= set(
        seen
    )
    if table != "continuity":
        assert len(seen) == len(set(seen))


def keys_of(store: Any, table: str) -> list[str]:
    return [key_of(row) for row in LakeReader(store).read(table, VENUE, [SYMBOL]).to_pylist()]


def key_of(row: dict[str, Any]) -> str:
    """What a row is about: a trade is the same however many copies of it come and go."""
    return f"trade {row['trade_id']}" if row.get("trade_id") is not None else repr(sorted(row.items()))
