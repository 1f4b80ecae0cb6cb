"""Rows from a lake: computed, or as a live engine wrote them down; not one bit differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import durations
from features.dataset import Dataset
from features.engine import SymbolEngine
from features.errors import DataError
from jobs.history.reader import History
from jobs.history.spec import STREAM, HistorySpec
from jobs.training.data import RowSource, training_set_digest
from tests.unit.cluster.storage.lake_rows import SYMBOL, VENUE, output_tables, write_ticks
from tests.unit.features.engine_runs import market, small_spec

SPEC = small_spec()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """What an actor stored that was fed a market with gaps, in two batches."""
    store = open_store(StoreSpec(uri=str(tmp_path)))
    store.prepare()
    made, engine, ticks, at = Lake(store), SymbolEngine(SPEC), market(1_500, seed=4, gaps=3), 0
    for batch in (ticks[:2_000], ticks[2_000:]):
        write_ticks(made, 1, at, batch)
        for table, rows in output_tables(engine, at, batch).items():
            made.write(table, VENUE, SYMBOL, 1, rows)
        at += len(batch)
    return made


def source(lake: Lake, recorded: bool, **period: int) -> RowSource:
    """The rows of the lake's stream."""
    return RowSource(History(lake, HistorySpec(STREAM, **period)), SPEC, recorded)  # type: ignore[arg-type]


def bits(rows: Dataset) -> bytes:
    """All that is learned from."""
    columns = (rows.x, rows.y, rows.scale, rows.made_at_ns, rows.due_ns, rows.answered)
    return b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def test_recorded_rows_are_those_computed_from_the_stream(lake: Lake) -> None:
    """Features, outcomes and scales, at every horizon; sessions too, whatever their numbers."""
    computed = source(lake, recorded=False).read(VENUE, SYMBOL)
    recorded = source(lake, recorded=True).read(VENUE, SYMBOL)
    assert list(computed) == list(recorded) == list(SPEC.horizons)
    for horizon in SPEC.horizons:
        assert len(computed[horizon]) > 1_000 and np.unique(computed[horizon].session).size > 4
        assert bits(recorded[horizon]) == bits(computed[horizon])
        changes = [np.flatnonzero(np.diff(one[horizon].session)) for one in (computed, recorded)]
        assert np.array_equal(*changes)
    assert training_set_digest([computed]) == training_set_digest([recorded])


def test_rows_are_the_engine_s_answers(lake: Lake) -> None:
    """The stream of the lake, fed to an engine."""
    engine = SymbolEngine(SPEC)
    answers = [one for _, ticks in lake.ticks(VENUE, SYMBOL) for one in engine.update(ticks).answers]
    rows = source(lake, recorded=True).read(VENUE, SYMBOL)
    for horizon in SPEC.horizons:
        mine = [one for one in answers if one.horizon == horizon]
        done = rows[horizon].answered >= 0
        outcomes = np.array([one.outcome for one in mine])
        assert np.array_equal(rows[horizon].y[done], outcomes, equal_nan=True)
        assert durations.parse_ns(horizon) == mine[0].due_ns - mine[0].made_at_ns


def test_an_engine_that_began_anew_is_another_session(lake: Lake) -> None:
    """Its sessions are numbered from 0 again, and no outcome reaches over the hole between."""
    last = lake.read("bars", VENUE, SYMBOL)
    moved = {}
    for table in ("bars", "features"):
        rows = lake.read(table, VENUE, SYMBOL).slice(0, 300)
        for name in ("start_ns", "end_ns", "sequence"):
            if name in rows.column_names:
                shift = 10**7 if name == "sequence" else 10_000 * 10**9
                values = rows.column(name).to_numpy() + shift
                rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
        moved[table] = rows
        lake.write(table, VENUE, SYMBOL, 2, rows)
    found = source(lake, recorded=True).read(VENUE, SYMBOL)["3s"]
    edge = last.num_rows - SPEC.first_forecast_bars
    assert not found.known[edge - 2 : edge + 1].any() and found.known[edge + 1]
    assert len(found) == last.num_rows + 300 - SPEC.first_forecast_bars + 1


def test_a_feature_that_was_not_recorded(lake: Lake) -> None:
    """Is said by name; an empty period has no rows."""
    other = small_spec(features=("log_return:1", "rsi:14"))
    history = History(lake, HistorySpec(STREAM))
    with pytest.raises(DataError, match="no recorded feature rsi:14"):
        RowSource(history, other, True).read(VENUE, SYMBOL)
    for recorded in (True, False):
        none = source(lake, recorded, start_ns=1, end_ns=2).read(VENUE, SYMBOL)
        assert [len(rows) for rows in none.values()] == [0, 0]
