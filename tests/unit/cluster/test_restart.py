"""A restart goes on exactly where the log ends, whatever is left of the checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.restart import Restored, restore
from cluster.storage import frames, segments
from cluster.storage.frames import Note
from cluster.storage.tick_log import TickLog
from cluster.trade_order import TradeOrder
from features.engine import EngineSpec, SymbolEngine
from features.ticks import Ticks
from tests.unit.cluster.stream_logs import POLICY, SPEC, Writer, stream

TICKS = stream(600)


def restarted(folder: Path, spec: EngineSpec = SPEC) -> Restored:
    log = TickLog(folder, POLICY)
    found = restore(log.recover(), spec, lambda: TradeOrder(spec.symbol, 1000))
    log.close()
    return found


def uninterrupted(ticks: Ticks = TICKS, spec: EngineSpec = SPEC) -> SymbolEngine:
    engine = SymbolEngine(spec)
    engine.update(ticks)
    return engine


@pytest.mark.parametrize("checkpoint_at", [0, 200, 590, 600])
def test_the_state_is_that_of_a_run_that_was_never_interrupted(tmp_path: Path, checkpoint_at: int) -> None:
    writer = Writer(tmp_path).take(TICKS[:checkpoint_at])
    if checkpoint_at:
        writer.checkpoint()
    writer.take(TICKS[checkpoint_at:])
    order = writer.order.snapshot()
    writer.die()
    found = restarted(tmp_path)
    assert found.engine.digest() == uninterrupted().digest()
    assert found.order.snapshot() == order
    assert (found.next_sequence, found.replayed, found.fresh) == (600, 600 - checkpoint_at, False)
    assert found.problems == []
    assert found.unlogged == []


def test_with_nothing_on_disk_it_begins_at_the_beginning(tmp_path: Path) -> None:
    found = restarted(tmp_path)
    assert (found.next_sequence, found.fresh, found.answers) == (0, True, None)


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:200]).checkpoint().take(TICKS[200:400]).checkpoint()
    writer.take(TICKS[400:]).die()
    newest = segments.checkpoint_files(tmp_path)[0].path
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    found = restarted(tmp_path)
    assert found.engine.digest() == uninterrupted().digest()
    assert found.replayed == 400
    assert newest.name in found.problems[0] and "damaged" in found.problems[0]


def test_without_any_usable_checkpoint_the_whole_log_is_replayed(tmp_path: Path) -> None:
    Writer(tmp_path).take(TICKS[:300]).checkpoint().take(TICKS[300:]).die()
    segments.checkpoint_files(tmp_path)[0].path.write_bytes(b"nothing")
    found = restarted(tmp_path)
    assert found.engine.digest() == uninterrupted().digest()
    assert (found.replayed, found.fresh) == (600, False)


def test_a_checkpoint_of_a_newer_release_is_passed_over_with_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path).take(TICKS[:300]).checkpoint().take(TICKS[300:])
    monkeypatch.setattr("cluster.checkpoint._VERSION", 9)
    writer.checkpoint().die()
    monkeypatch.undo()
    found = restarted(tmp_path)
    assert found.engine.digest() == uninterrupted().digest()
    assert "newer than ours" in found.problems[0]


def test_with_other_settings_the_engine_is_new_but_no_trade_is_forgotten(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:300]).checkpoint().take(TICKS[300:])
    counters = writer.order.counters()
    writer.die()
    other = replace(SPEC, horizons=("7s",))
    found = restarted(tmp_path, other)
    assert found.fresh
    assert found.engine.digest() == SymbolEngine(other).digest()
    assert found.next_sequence == 600
    assert found.order.counters() == counters
    assert "other settings" in found.problems[0]


def test_what_the_killed_process_had_made_and_not_written_is_written_now(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:500])
    writer.take(TICKS[500:], write_output=False).die()
    found = restarted(tmp_path)
    engine = SymbolEngine(SPEC)
    engine.update(TICKS[:500])
    missing = engine.update(TICKS[500:])
    assert found.unlogged, "bars closed in the last hundred ticks"
    assert sum(len(step.bars) for _, step in found.unlogged) == len(missing.bars)
    assert all(sequence >= 500 for sequence, _ in found.unlogged)


def test_gaps_that_were_given_up_are_still_known(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:300]).checkpoint()
    writer.log.append_notes([Note(1, "gap_given_up", 100, 105, 6), Note(2, "gap_repaired", 102, 102, 1)])
    writer.take(TICKS[300:]).die()
    assert restarted(tmp_path).order.lost == [(100, 101), (103, 105)]


def test_ticks_that_came_from_the_lake_count_as_seen(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:300]).checkpoint()
    seen, order = writer.order.report()["seen"], TradeOrder("AAA", 1000)
    writer.log._write(frames.ticks(300, TICKS[300:], ()))
    writer.die()
    found = restarted(tmp_path)
    trades = int((TICKS.kind == 0).sum())
    assert seen < trades == found.order.report()["seen"] == found.order.report()["last_id"]
    assert order.report()["seen"] == 0
    assert found.engine.digest() == uninterrupted().digest()


def test_a_damaged_segment_ends_the_replay_there(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:200]).checkpoint().roll().take(TICKS[200:400]).roll()
    writer.take(TICKS[400:]).die()
    middle = segments.segment_files(tmp_path, "log")[1]
    data = bytearray(middle.read_bytes())
    data[len(data) // 2] ^= 1
    middle.write_bytes(data)
    found = restarted(tmp_path)
    assert 200 < found.next_sequence < 400
    assert "damaged at byte" in found.problems[0]
    engine = SymbolEngine(SPEC)
    engine.update(TICKS[: found.next_sequence])
    assert found.engine.digest() == engine.digest()


def test_notes_in_a_segment_without_ticks_are_known_after_a_restart(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:300]).checkpoint()
    writer.log.append_notes([Note(1, "gap_given_up", 5, 6, 2)])
    writer.roll().die()
    assert restarted(tmp_path).order.lost == [(5, 6)]


def test_a_gap_that_was_noted_before_its_ticks_were_logged_is_found_anew(tmp_path: Path) -> None:
    writer = Writer(tmp_path).take(TICKS[:300])
    last_id = writer.order.report()["last_id"]
    writer.log.append_notes([Note(1, "gap_given_up", last_id + 1, last_id + 4, 4)])
    writer.die()
    assert restarted(tmp_path).order.lost == []


def test_settings_that_come_back_do_not_bring_an_old_engine_back(tmp_path: Path) -> None:
    Writer(tmp_path).take(TICKS[:200]).checkpoint().die()
    other = replace(SPEC, horizons=("7s",))
    Writer(tmp_path, epoch=2, spec=other).take(TICKS[200:400]).checkpoint().die()
    found = restarted(tmp_path)
    assert found.fresh
    assert (found.next_sequence, found.engine.digest()) == (400, SymbolEngine(SPEC).digest())


def test_a_segment_that_a_newer_release_was_writing_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(tmp_path).take(TICKS[:200]).die()
    monkeypatch.setattr("cluster.storage.frames.VERSION", 0)
    found = restarted(tmp_path)
    assert "newer than 0" in found.problems[0]
    assert list(tmp_path.glob("*.damaged"))


def test_damage_in_the_middle_of_an_open_segment_is_no_torn_tail(tmp_path: Path) -> None:
    Writer(tmp_path).take(TICKS[:400]).die()
    (path,) = segments.segment_files(tmp_path, "open")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = restarted(tmp_path)
    assert 0 < found.next_sequence < 400
    assert "is damaged at byte" in found.problems[0]
    assert path.with_suffix(".damaged").read_bytes() == data
