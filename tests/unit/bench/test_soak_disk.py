"""What a soak sees of a log folder, on real tick logs and checkpoints."""

from __future__ import annotations

from pathlib import Path

from cluster.storage import frames, segments
from cluster.storage.frames import Header
from cluster.storage.log_policy import LogPolicy
from cluster.storage.tick_log import TickLog
from tests.bench import sources
from tests.bench.soak_disk import LogWatch, tree_size

SECOND = 1_000_000_000
POLICY = LogPolicy(fsync="never")


def write_segment(folder: Path, sequence: int, created_s: int, ticks: int) -> None:
    """A closed segment."""
    log = TickLog(folder, POLICY)
    log.begin(
        Header(frames.VERSION, "binance", "AAA", 1, sequence, created_s * SECOND, 0, 0, True, "{}", ("a",))
    )
    log.append_ticks(sources.ticks(ticks), ())
    log.close()


def keep(folder: Path) -> None:
    """Mark all closed segments as taken to the lake."""
    for path in segments.segment_files(folder, "log"):
        path.rename(path.with_suffix(".kept"))


def watch(folder: Path, now_s: float) -> LogWatch:
    return LogWatch(folder, lambda: round(now_s * SECOND))


def test_size_age_and_growth_are_those_of_the_files(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, 100, 50)
    write_segment(tmp_path, 50, 110, 50)
    found = watch(tmp_path, 117).look()
    sizes = [path.stat().st_size for path in segments.segment_files(tmp_path, "log")]
    assert (found.segments, found.bytes) == (2, sum(sizes))
    assert found.oldest_s == 17.0
    assert found.bytes_per_s == sizes[0] / 10.0


def test_a_segment_is_overdue_once_the_lake_and_three_checkpoints_cover_it(tmp_path: Path) -> None:
    for i in range(3):
        write_segment(tmp_path, 50 * i, 100 + i, 50)
    looker = watch(tmp_path, 110)
    for sequence in (60, 70):
        segments.write_checkpoint(tmp_path, sequence, 1, b"state")
    keep(tmp_path)
    assert looker.look().overdue == (), "two checkpoints: a restart may need the segment"
    segments.write_checkpoint(tmp_path, 80, 1, b"state")
    assert [name[:20] for name in looker.look().overdue] == [f"{0:020d}"]
    segments.write_checkpoint(tmp_path, 149, 1, b"state")
    assert len(looker.look().overdue) == 1, "the second one ends behind the oldest of three"


def test_a_segment_that_waits_for_the_lake_is_never_overdue(tmp_path: Path) -> None:
    for i in range(3):
        write_segment(tmp_path, 50 * i, 100 + i, 50)
    for sequence in (110, 120, 130):
        segments.write_checkpoint(tmp_path, sequence, 1, b"state")
    assert watch(tmp_path, 110).look().overdue == ()


def test_what_has_gone_is_counted_once(tmp_path: Path) -> None:
    for i in range(3):
        write_segment(tmp_path, 50 * i, 100 + i, 50)
    looker = watch(tmp_path, 110)
    assert looker.look().removed == 0
    keep(tmp_path)
    assert looker.look().removed == 0, "taken to the lake is not gone"
    segments.segment_files(tmp_path, "kept")[0].unlink()
    assert looker.look().removed == 1
    assert looker.look().removed == 1


def test_checkpoints_are_part_of_the_size(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, 100, 50)
    looker = watch(tmp_path, 110)
    before = looker.look().bytes
    segments.write_checkpoint(tmp_path, 50, 1, bytes(1_000))
    found = looker.look()
    assert found.bytes == before + 1_000
    assert found.checkpoint_bytes == 1_000


def test_the_size_of_a_tree_is_that_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(bytes(10))
    (tmp_path / "a" / "b" / "two").write_bytes(bytes(32))
    assert tree_size(tmp_path) == (2, 42)
    assert tree_size(tmp_path / "missing") == (0, 0)
