"""What a run has on its disk: the tick logs, symbol by symbol, and the lake."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.storage import segments
from tests.bench.soak_readings import LogOnDisk


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    state: str
    first: int
    """Sequence of its first tick."""
    created_ns: int
    bytes: int


class LogWatch:
    """Looks at the log folder of one symbol again and again, while an actor and an archiver work in it."""

    def __init__(self, folder: Path, clock_ns: Callable[[], int]) -> None:
        self.folder = folder
        self._clock_ns = clock_ns
        self._seen: set[str] = set()

    def look(self) -> LogOnDisk:
        """How it is now."""
        sizes = _sizes(self.folder)
        found = sorted(_segments(sizes), key=lambda one: one.name)
        pairs = list(itertools.pairwise(found))
        checkpoints = segments.checkpoint_files(self.folder)
        here = {one.name for one in found}
        self._seen |= here
        return LogOnDisk(
            bytes=sum(sizes.values()),
            segments=len(found),
            oldest_s=(self._clock_ns() - found[0].created_ns) / 1e9 if found else 0.0,
            checkpoint_bytes=max((sizes.get(one.path.name, 0) for one in checkpoints), default=0),
            bytes_per_s=max((one.bytes / _lasted_s(one, after) for one, after in pairs), default=0.0),
            overdue=tuple(one.name for one, after in pairs if _is_overdue(one, after, checkpoints)),
            removed=len(self._seen - here),
        )


def tree_size(folder: Path) -> tuple[int, int]:
    """Number and bytes of all files below a folder; files that come and go meanwhile may be missed."""
    files = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(os.path.join(parent, name)).st_size
                files += 1
    return files, size


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in folder.iterdir():
        # A checkpoint is written beside its name, a segment renamed: what has gone is no longer here.
        with contextlib.suppress(FileNotFoundError):
            sizes[path.name] = path.stat().st_size
    return sizes


def _segments(sizes: dict[str, int]) -> list[_Segment]:
    """A segment that was renamed while the folder was read is taken once."""
    found: dict[str, _Segment] = {}
    for file, size in sizes.items():
        name, _, state = file.rpartition(".")
        if state in ("open", "log", "kept"):
            first, _, created_ns = name.partition("-")
            found[name] = _Segment(name, state, int(first), int(created_ns), size)
    return list(found.values())


def _lasted_s(one: _Segment, after: _Segment) -> float:
    return max((after.created_ns - one.created_ns) / 1e9, 1e-3)


def _is_overdue(one: _Segment, after: _Segment, checkpoints: list[segments.CheckpointFile]) -> bool:
    newest = checkpoints[: segments.CHECKPOINTS_KEPT]
    if one.state != "kept" or len(newest) < segments.CHECKPOINTS_KEPT:
        return False
    return after.first <= min(checkpoint.sequence for checkpoint in newest)
