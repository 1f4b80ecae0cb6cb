"""A symbol that moves to another machine finds its state there, as if it had always been on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.restart import Restored, restore
from cluster.storage import segments
from cluster.storage.archiver import Archiver
from cluster.storage.folder_store import FolderStore
from cluster.storage.from_lake import bring
from cluster.storage.lake import Lake
from cluster.storage.tick_log import TickLog
from cluster.trade_order import TradeOrder
from features.engine import SymbolEngine
from tests.unit.cluster.stream_logs import POLICY, SPEC, Writer, stream

TICKS = stream(600)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    store = FolderStore(tmp_path / "lake")
    store.prepare()
    return Lake(store)


def folder(tmp_path: Path, machine: str) -> Path:
    return segments.symbol_folder(tmp_path / machine, "binance", "AAA")


def archive(tmp_path: Path, machine: str, lake: Lake) -> None:
    Archiver(tmp_path / machine, lake, lambda: 0).run_once()


def restarted(place: Path) -> Restored:
    log = TickLog(place, POLICY)
    found = restore(log.recover(), SPEC, lambda: TradeOrder("AAA", 1000))
    log.close()
    return found


def digest_after(count: int) -> str:
    engine = SymbolEngine(SPEC)
    engine.update(TICKS[:count])
    return engine.digest()


def moved(tmp_path: Path, lake: Lake, last_epoch: int = 0) -> Restored:
    place = folder(tmp_path, "two")
    place.mkdir(parents=True, exist_ok=True)
    bring(lake, "binance", "AAA", place, last_epoch)
    return restarted(place)


def test_the_state_of_the_lake_is_found_on_a_new_machine(tmp_path: Path, lake: Lake) -> None:
    one = Writer(folder(tmp_path, "one")).take(TICKS[:200]).roll().checkpoint()
    archive(tmp_path, "one", lake)
    one.take(TICKS[200:500]).roll().checkpoint()
    archive(tmp_path, "one", lake)
    one.take(TICKS[500:]).die()  # the disk of this machine is gone, with its last hundred ticks
    found = moved(tmp_path, lake)
    assert (found.next_sequence, found.replayed, found.fresh) == (500, 0, False)
    assert found.engine.digest() == digest_after(500)
    assert found.unlogged == [], "all that was made up to there is in the lake"
    trades = int((TICKS[:500].kind == 0).sum())
    assert found.order.report()["last_id"] == trades == found.order.report()["seen"]


def test_ticks_behind_the_checkpoint_may_be_half_there_and_are_gone_back_behind(
    tmp_path: Path, lake: Lake
) -> None:
    one = Writer(folder(tmp_path, "one")).take(TICKS[:200]).roll().checkpoint()
    archive(tmp_path, "one", lake)
    one.take(TICKS[200:400]).roll().die()
    archive(tmp_path, "one", lake)
    # The trades of the second segment are there, its quotes never came.
    quotes = [key.key for key in lake.store.list("quotes/")]
    lake.store.delete(quotes[-1:])
    found = moved(tmp_path, lake)
    assert found.next_sequence == 200
    assert found.engine.digest() == digest_after(200)


def test_a_damaged_checkpoint_of_the_lake_falls_back_to_the_one_before(tmp_path: Path, lake: Lake) -> None:
    one = Writer(folder(tmp_path, "one")).take(TICKS[:200]).roll().checkpoint()
    archive(tmp_path, "one", lake)
    one.take(TICKS[200:400]).roll().checkpoint().die()
    archive(tmp_path, "one", lake)
    lake.put_checkpoint("binance", "AAA", 1, 400, b"damaged")
    found = moved(tmp_path, lake)
    assert found.next_sequence == 200
    assert found.engine.digest() == digest_after(200)


def test_without_a_checkpoint_in_the_lake_the_last_trades_are_known(tmp_path: Path, lake: Lake) -> None:
    Writer(folder(tmp_path, "one")).take(TICKS[:500]).roll().die()
    archive(tmp_path, "one", lake)
    found = moved(tmp_path, lake)
    assert (found.next_sequence, found.fresh) == (500, True)
    assert found.order.report()["last_id"] == int((TICKS[:500].kind == 0).sum())
    assert found.engine.digest() == SymbolEngine(SPEC).digest()


def test_an_emptied_log_folder_goes_on_where_the_lake_ends(tmp_path: Path, lake: Lake) -> None:
    import shutil

    Writer(folder(tmp_path, "two")).take(TICKS[:500]).roll().checkpoint().die()
    archive(tmp_path, "two", lake)
    shutil.rmtree(folder(tmp_path, "two"))
    assert moved(tmp_path, lake).next_sequence == 500


def test_what_this_machine_knows_is_newer_and_stays(tmp_path: Path, lake: Lake) -> None:
    Writer(folder(tmp_path, "one")).take(TICKS[:300]).roll().die()
    archive(tmp_path, "one", lake)
    assert bring(lake, "binance", "AAA", folder(tmp_path, "one"), last_epoch=1) == 0


def test_an_empty_lake_brings_nothing(tmp_path: Path, lake: Lake) -> None:
    assert moved(tmp_path, lake).fresh


def test_a_past_that_another_machine_has_overruled_is_not_gone_back_to(tmp_path: Path, lake: Lake) -> None:
    # Machine one dies at tick 300, of which 200 are in the lake. Machine two goes on from there.
    one = Writer(folder(tmp_path, "one")).take(TICKS[:200]).roll().checkpoint()
    archive(tmp_path, "one", lake)
    one.take(TICKS[200:300]).roll().checkpoint().die()
    place = folder(tmp_path, "two")
    place.mkdir(parents=True)
    bring(lake, "binance", "AAA", place, 0)
    other = stream(400, seed=5)
    two = Writer(place, epoch=2, fresh=False)
    assert two.log.next_sequence == 200
    two.engine.update(TICKS[:200])
    two.take(other[200:400]).roll().checkpoint()
    archive(tmp_path, "two", lake)
    two.die()
    # Back on machine one: its own last hundred ticks never were.
    home = folder(tmp_path, "one")
    log = TickLog(home, POLICY)
    last_epoch = log.recover().last_epoch
    bring(lake, "binance", "AAA", home, last_epoch)
    log.close()
    found = restarted(home)
    engine = SymbolEngine(SPEC)
    engine.update(TICKS[:200])
    engine.update(other[200:400])
    assert found.next_sequence == 400
    assert found.engine.digest() == engine.digest()
    # What machine one had not sent yet reaches the lake late, and stays outside the stream.
    archive(tmp_path, "one", lake)
    assert lake.end("binance", "AAA") == 400
