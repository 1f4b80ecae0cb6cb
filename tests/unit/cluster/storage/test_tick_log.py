"""The tick log on a real disk: what was appended is there again, whatever ended the process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cluster.errors import LogBusy, LogFull
from cluster.storage import frames, segments
from cluster.storage.frames import Header, LateFrame, Note, NoteFrame, OutputFrame, TickFrame
from cluster.storage.log_policy import LogPolicy
from cluster.storage.tick_log import TickLog
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError
from features.ticks import Ticks
from tests.unit.features.engine_runs import market

SPEC = EngineSpec("AAA")
POLICY = LogPolicy(roll_bytes=20_000)


def some(count: int) -> Ticks:
    """So many ticks of a seeded market."""
    return market(count)[:count]


def header(sequence: int = 0, epoch: int = 1, created_ns: int = 1) -> Header:
    return Header(
        version=frames.VERSION,
        venue="binance",
        symbol="AAA",
        epoch=epoch,
        first_sequence=sequence,
        created_ns=created_ns,
        epoch_sequence=sequence,
        epoch_ns=created_ns,
        fresh=not sequence,
        engine=SPEC.to_json(),
        features=(),
    )


def opened(folder: Path, epoch: int = 1, policy: LogPolicy = POLICY) -> TickLog:
    log = TickLog(folder, policy)
    found = log.recover()
    log.begin(header(found.next_sequence, epoch, epoch))
    return log


def replayed(folder: Path, sequence: int = 0) -> Ticks:
    parts = [f.ticks for f in segments.replay(segments.recover(folder), sequence) if isinstance(f, TickFrame)]
    return Ticks.concat(parts)


def test_what_was_appended_is_replayed_bit_for_bit_over_segments(tmp_path: Path) -> None:
    ticks = some(2_000)
    log = opened(tmp_path)
    for start in range(0, 2_000, 7):
        log.append_ticks(ticks[start : start + 7], (start,))
        log.roll_if_due(0.0)
    log.close()
    assert len(segments.segment_files(tmp_path, "log")) > 5
    assert replayed(tmp_path).to_bytes() == ticks.to_bytes()
    assert replayed(tmp_path, 1_234).to_bytes() == ticks[1_234:].to_bytes()


def test_everything_a_step_made_keeps_every_bit(tmp_path: Path) -> None:
    ticks = some(3_000)
    step = SymbolEngine(SPEC).update(ticks)
    assert step.answers and step.forecasts
    log = opened(tmp_path)
    log.append_ticks(ticks, (1, 2, 3))
    log.append_output(2_999, step)
    log.append_notes([Note(5, "gap_found", 1, 2, 2)])
    log.append_late(ticks[:3])
    log.close()
    (path,) = segments.segment_files(tmp_path, "log")
    head, first, output, note, late = (frame for _, frame in segments.read_segment(path))
    assert isinstance(head, Header) and EngineSpec.from_json(head.engine) == SPEC
    assert isinstance(first, TickFrame) and first.counters[:4] == (1, 2, 3, 0)
    assert isinstance(output, OutputFrame) and output.sequence == 2_999
    assert output.bars.times.tobytes() == step.bars.times.tobytes()
    assert output.bars.values.tobytes() == step.bars.values.tobytes()
    assert output.features.tobytes() == step.features.tobytes()
    assert output.forecasts == step.forecasts
    assert repr(output.answers) == repr(step.answers)
    assert isinstance(note, NoteFrame) and note.notes == [Note(5, "gap_found", 1, 2, 2)]
    assert isinstance(late, LateFrame) and late.ticks.to_bytes() == ticks[:3].to_bytes()


@pytest.mark.parametrize("torn", [1, 11, 12, 13, 200])
def test_a_torn_tail_is_cut_and_all_before_it_counts(tmp_path: Path, torn: int) -> None:
    ticks = some(20)
    log = opened(tmp_path)
    log.append_ticks(ticks[:10], ())
    whole = frames.ticks(10, ticks[10:], ())
    os.write(log._fd, whole[:torn])
    os.close(log._lock)  # as the end of a process would
    again = opened(tmp_path, epoch=2)
    assert again.next_sequence == 10
    again.append_ticks(ticks[10:], ())
    again.close()
    assert replayed(tmp_path).to_bytes() == ticks.to_bytes()


def test_a_damaged_frame_ends_what_can_be_replayed(tmp_path: Path) -> None:
    ticks = some(30)
    log = opened(tmp_path)
    for start in (0, 10, 20):
        log.append_ticks(ticks[start : start + 10], ())
    log.close()
    (path,) = segments.segment_files(tmp_path, "log")
    data = bytearray(path.read_bytes())
    data[-900] ^= 1  # in the last batch
    path.write_bytes(data)
    found = segments.recover(tmp_path)
    assert found.next_sequence == 20
    assert path.name in found.problems[0] and "damaged at byte" in found.problems[0]


def test_a_segment_with_a_damaged_head_is_set_aside_and_named(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append_ticks(some(5), ())
    log.close()
    (path,) = segments.segment_files(tmp_path, "log")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    found = segments.recover(tmp_path)
    assert path.name in found.problems[0]
    assert path.with_suffix(".damaged").exists()


def test_a_log_of_a_newer_release_is_refused_with_its_version() -> None:
    newer = frames.header(msgspec.structs.replace(header(), version=9))
    with pytest.raises(DataError, match="version 9"):
        list(frames.read(newer))


def test_a_killed_process_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from tests.unit.cluster.storage.test_tick_log import opened
from tests.unit.cluster.storage.test_tick_log import some
log = opened(Path({str(tmp_path)!r}))
ticks = some(500)
for start in range(0, 500, 5):
    log.append_ticks(ticks[start:start + 5], ())
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4], check=False)
    assert done.returncode == -9
    TickLog(tmp_path, POLICY).recover()
    assert replayed(tmp_path).to_bytes() == some(500).to_bytes()


def test_only_one_process_at_a_time_has_the_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(LogBusy, match="another process"):
        TickLog(tmp_path, POLICY)
    log.close()
    TickLog(tmp_path, POLICY).close()


def test_a_full_disk_keeps_nothing_of_the_batch_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = some(30)
    log = opened(tmp_path)
    log.append_ticks(ticks[:10], ())
    real = os.write

    def short_write(fd: int, data: bytes) -> int:
        if fd != log._fd:
            return real(fd, data)
        real(fd, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", short_write)
    with pytest.raises(LogFull, match="No space left"):
        log.append_ticks(ticks[10:20], ())
    monkeypatch.undo()
    assert log.append_ticks(ticks[10:], ()) == 10
    log.close()
    assert replayed(tmp_path).to_bytes() == ticks.to_bytes()


def test_a_full_disk_while_a_segment_is_opened_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = some(20)
    log = opened(tmp_path)
    log.append_ticks(ticks[:10], ())

    def refuse(path: object, *more: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LogFull):
        log.roll_if_due(1e9)
    with pytest.raises(LogFull):
        log.append_ticks(ticks[10:], ())
    monkeypatch.undo()
    log.append_ticks(ticks[10:], ())
    log.close()
    assert replayed(tmp_path).to_bytes() == ticks.to_bytes()


def test_a_blocked_log_takes_nothing_and_says_why(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.blocked = "9 MiB wait for the lake"
    with pytest.raises(LogFull, match="9 MiB wait"):
        log.append_ticks(some(1), ())
    log.blocked = ""
    assert log.append_ticks(some(1), ()) == 0


def test_a_later_epoch_that_begins_lower_overrules_what_was_there(tmp_path: Path) -> None:
    ticks = some(40)
    log = opened(tmp_path)
    for start in (0, 10, 20):
        log.append_ticks(ticks[start : start + 10], ())
    log.close()
    # Another machine went on from tick 10, and its past came back to this one.
    other = TickLog(tmp_path, POLICY)
    other.recover()
    other.begin(header(10, epoch=2, created_ns=2))
    other.append_ticks(ticks[30:], ())
    other.close()
    assert replayed(tmp_path).to_bytes() == Ticks.concat([ticks[:10], ticks[30:]]).to_bytes()


def test_checkpoints_stay_until_two_newer_are_safe(tmp_path: Path) -> None:
    for sequence in (10, 20, 30, 40):
        segments.write_checkpoint(tmp_path, sequence, 1, b"state")
    assert [one.sequence for one in segments.checkpoint_files(tmp_path)] == [40, 30, 20]
    segments.write_checkpoint(tmp_path, 5, 2, b"state")
    assert segments.checkpoint_files(tmp_path)[0].sequence == 5, "a later epoch is newer"


def test_the_checkpoint_where_a_waiting_segment_begins_is_kept_for_the_lake(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append_ticks(some(10), ())
    log.roll_if_due(1e9)
    for sequence in (10, 20, 30, 40, 50):
        segments.write_checkpoint(tmp_path, sequence, 1, b"state")
    assert [one.sequence for one in segments.checkpoint_files(tmp_path)] == [50, 40, 30, 10]


def test_symbols_of_any_characters_have_folders_of_their_own(tmp_path: Path) -> None:
    names = ["BRK/A", "..", "a.b", "ä ö", "A%2FB", "BRK%2FA"]
    found = {segments.symbol_folder(tmp_path, "binance", name) for name in names}
    assert len(found) == len(names)
    assert all(tmp_path in path.resolve().parents and path.parent.name == "binance" for path in found)
