"""Closed segments reach the lake, exactly once and in order, whatever fails on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import StoreUnreachable
from cluster.storage import segments
from cluster.storage.archiver import Archiver
from cluster.storage.folder_store import FolderStore
from cluster.storage.lake import Lake
from features.ticks import Kind, Ticks
from tests.unit.cluster.stream_logs import SPEC, Writer, stream

TICKS = stream(600)


class Flaky(FolderStore):
    """A store that fails from a certain put on."""

    puts_left = 10**9

    def put(self, key: str, data: bytes) -> None:
        self.puts_left -= 1
        if self.puts_left < 0:
            raise StoreUnreachable("it does not answer", self.uri, "try again")
        super().put(key, data)


@pytest.fixture
def store(tmp_path: Path) -> Flaky:
    store = Flaky(tmp_path / "lake")
    store.prepare()
    return store


def archiver(tmp_path: Path, store: Any) -> Archiver:
    return Archiver(tmp_path / "log", Lake(store), lambda: 77)


def folder(tmp_path: Path) -> Path:
    return segments.symbol_folder(tmp_path / "log", "binance", "AAA")


def stored(store: Any) -> Ticks:
    return Ticks.concat([ticks for _, ticks in Lake(store).ticks("binance", "AAA", verify=True)])


def test_all_ticks_and_all_that_was_made_of_them_are_in_the_lake(tmp_path: Path, store: Flaky) -> None:
    writer = Writer(folder(tmp_path)).take(TICKS[:300]).roll().take(TICKS[300:])
    writer.log.close()
    assert archiver(tmp_path, store).run_once() == 2
    assert stored(store).to_bytes() == TICKS.to_bytes()
    lake = Lake(store)
    bars = lake.read("bars", "binance", ["AAA"])
    assert bars.num_rows == writer.engine.builder.counters["bars"]
    assert lake.read("features", "binance", ["AAA"]).num_rows == bars.num_rows
    assert lake.read("forecasts", "binance", ["AAA"]).num_rows == bars.num_rows - 2
    (record,) = lake.epochs("binance", "AAA")
    assert (record.epoch, record.first_sequence, record.fresh) == (1, 0, True)
    assert record.engine["symbol"] == "AAA"


def test_a_second_round_does_nothing(tmp_path: Path, store: Flaky) -> None:
    Writer(folder(tmp_path)).take(TICKS).log.close()
    agent = archiver(tmp_path, store)
    assert agent.run_once() == 1
    before = [one.key for one in store.list()]
    assert agent.run_once() == 0
    assert archiver(tmp_path, store).run_once() == 0
    assert [one.key for one in store.list()] == before


@pytest.mark.parametrize("puts", range(0, 18, 2))
def test_a_store_that_fails_in_the_middle_loses_and_doubles_nothing(
    tmp_path: Path, store: Flaky, puts: int
) -> None:
    writer = Writer(folder(tmp_path)).take(TICKS[:300]).checkpoint().roll().take(TICKS[300:])
    writer.log.close()
    store.puts_left = puts
    agent = archiver(tmp_path, store)
    agent.run_once()
    failed = bool(agent.state.problem)
    assert failed == (agent.state.failing_since_ns == 77)
    assert not failed or "does not answer" in agent.state.problem
    store.puts_left = 10**9
    again = archiver(tmp_path, store)
    again.run_once()
    assert again.state.problem == ""
    assert stored(store).to_bytes() == TICKS.to_bytes()
    trades = Lake(store).read("trades", "binance", ["AAA"])
    assert trades.num_rows == int((TICKS.kind == Kind.TRADE).sum())
    keys = [one.key for one in store.list("trades/")]
    assert len(keys) == 2, "the same rows have the same name"


def test_while_the_store_is_away_the_backlog_is_told(tmp_path: Path, store: Flaky) -> None:
    writer = Writer(folder(tmp_path)).take(TICKS[:300]).roll().take(TICKS[300:]).roll()
    store.puts_left = 0
    agent = archiver(tmp_path, store)
    agent.run_once()
    assert agent.state.waiting == 2
    assert agent.state.waiting_bytes == writer.log.backlog_bytes() - writer.log.bytes
    store.puts_left = 10**9
    agent.run_once()
    assert (agent.state.waiting, agent.state.waiting_bytes, agent.state.failing_since_ns) == (0, 0, None)


def test_a_checkpoint_in_the_lake_is_never_ahead_of_the_ticks_there(tmp_path: Path, store: Flaky) -> None:
    writer = Writer(folder(tmp_path)).take(TICKS[:300]).roll().checkpoint()
    writer.take(TICKS[300:400]).checkpoint().take(TICKS[400:]).checkpoint()
    archiver(tmp_path, store).run_once()
    lake = Lake(store)
    assert lake.end("binance", "AAA") == 300
    assert [one.sequence for one in lake.checkpoints("binance", "AAA")] == [300]


def test_a_damaged_segment_is_set_aside_and_the_others_go_on(tmp_path: Path, store: Flaky) -> None:
    writer = Writer(folder(tmp_path)).take(TICKS[:300]).roll().take(TICKS[300:]).roll()
    first, second = segments.segment_files(folder(tmp_path), "log")
    first.write_bytes(b"nothing of ours")
    agent = archiver(tmp_path, store)
    assert agent.run_once() == 1
    assert first.name in agent.state.damaged[0]
    assert first.with_suffix(".damaged").exists() and second.with_suffix(".kept").exists()
    assert writer.spec is SPEC


def test_what_is_whole_of_a_damaged_segment_is_stored_and_the_rest_is_told(
    tmp_path: Path, store: Flaky
) -> None:
    Writer(folder(tmp_path)).take(TICKS, write_output=False).log.close()
    (path,) = segments.segment_files(folder(tmp_path), "log")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    agent = archiver(tmp_path, store)
    agent.run_once()
    assert "damaged at byte" in agent.state.damaged[0]
    found = stored(store)
    assert 200 < len(found) < 400
    assert found.to_bytes() == TICKS[: len(found)].to_bytes()


def test_the_disk_keeps_only_what_a_restart_may_need(tmp_path: Path, store: Flaky) -> None:
    writer = Writer(folder(tmp_path))
    agent = archiver(tmp_path, store)
    for start in range(0, 600, 100):
        writer.take(TICKS[start : start + 100]).roll().checkpoint()
        agent.run_once()
    kept = segments.segment_files(folder(tmp_path), "kept")
    oldest = segments.checkpoint_files(folder(tmp_path))[-1].sequence
    assert [int(path.name[:20]) for path in kept] == list(range(oldest, 600, 100))
    assert len(segments.checkpoint_files(folder(tmp_path))) == segments.CHECKPOINTS_KEPT
    writer.die()


def test_trades_that_came_too_late_and_notes_are_stored_outside_the_stream(
    tmp_path: Path, store: Flaky
) -> None:
    from cluster.storage.frames import Note

    writer = Writer(folder(tmp_path)).take(TICKS[:300])
    records = TICKS[:1].records.copy()
    records["trade_id"], records["kind"] = 9_999, Kind.TRADE
    records["price"], records["size"] = 5.0, 1.0
    writer.log.append_late(Ticks(records))
    writer.log.append_notes([Note(5, "gap_given_up", 9_999, 9_999, 1, "why")])
    writer.log.close()
    archiver(tmp_path, store).run_once()
    lake = Lake(store)
    late = [row for row in lake.read("trades", "binance", ["AAA"]).to_pylist() if row["sequence"] is None]
    assert [row["trade_id"] for row in late] == [9_999]
    assert stored(store).to_bytes() == TICKS[:300].to_bytes()
    (note,) = lake.read("continuity", "binance", ["AAA"]).to_pylist()
    assert (note["event"], note["first_id"], note["detail"]) == ("gap_given_up", 9_999, "why")


def test_the_lake_keeps_the_newest_checkpoints_and_the_last_of_each_day(tmp_path: Path, store: Flaky) -> None:
    import os

    lake, day_s = Lake(store), 86_400
    for number in range(10):
        lake.put_checkpoint("binance", "AAA", 1, number, b"state")
        path = next((tmp_path / "lake").rglob(f"*-{number:012d}.ckpt"))
        day = number // 4  # four each on days 0 and 1, two on day 2
        os.utime(path, ns=(0, (day * day_s + number) * 10**9))
    assert lake.prune_checkpoints("binance", "AAA") == 6
    assert [one.sequence for one in lake.checkpoints("binance", "AAA")] == [9, 8, 7, 3]
    assert lake.prune_checkpoints("binance", "AAA") == 0
