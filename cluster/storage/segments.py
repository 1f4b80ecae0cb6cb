"""The files of a tick log on disk: finding, sealing and reading segments and checkpoints.

A folder has segments (`.open`, `.log`, `.kept`; see `tick_log`) and checkpoints, each named
`<next sequence>-<epoch>.ckpt`. A checkpoint is written beside its name and renamed when it is whole;
the one before stays until there are two newer.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cluster.storage import frames
from cluster.storage.frames import Frame, Header, TickFrame
from features.errors import DataError

CHECKPOINTS_KEPT = 3
_HEAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, order=True)
class CheckpointFile:
    """A checkpoint on disk: the state after the ticks before `sequence`."""

    sequence: int
    epoch: int
    path: Path


@dataclass(slots=True)
class Recovery:
    """What a log folder holds for a restart."""

    checkpoints: list[CheckpointFile] = field(default_factory=list)
    """Newest first."""
    next_sequence: int = 0
    """One past the newest tick of the log, or of the newest checkpoint if that is further."""
    last_epoch: int = 0
    """The highest epoch that has written here; 0 for none."""
    segments: list[Path] = field(default_factory=list)
    """All segments that are left, oldest first."""
    problems: list[str] = field(default_factory=list)
    """What was found damaged, in words for the operator."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to restart from."""
        return not self.checkpoints and not self.next_sequence


def segment_files(folder: Path, *states: str) -> list[Path]:
    """The segments in these states ("open", "log", "kept"), oldest first."""
    found = (path for state in states for path in folder.glob(f"*.{state}"))
    return sorted(found, key=lambda path: path.name)


def read_segment(path: Path) -> Iterator[tuple[int, Frame]]:
    """The frames of a segment with the offset at which each ends.

    Raises DataError after the last whole one if the segment goes on, and for one that is none.
    """
    data, end = _bytes_of(path), 0
    try:
        for end, frame in frames.read(data):
            yield end, frame
    except DataError as error:
        raise DataError(error.problem, str(path), error.fix) from None
    if end < len(data):
        raise DataError(f"damaged at byte {end} of {len(data)}", str(path), "what is before it counts")


def _bytes_of(path: Path, most: int = -1) -> bytes:
    """The content of a segment, also if the archiver has taken it to the lake and renamed it meanwhile.

    Raises DataError for one that is gone: it was in the lake, and behind all checkpoints.
    """
    for place in (path, path.with_suffix(".kept")):
        with contextlib.suppress(FileNotFoundError), place.open("rb") as file:
            return file.read(most)
    raise DataError("the segment is not needed any more", str(path))


def read_header(path: Path) -> Header:
    """Whose segment it is. Raises DataError for a file whose head is damaged."""
    try:
        with contextlib.suppress(StopIteration):
            _, first = next(frames.read(_bytes_of(path, _HEAD_BYTES)))
            if isinstance(first, Header):
                return first
    except DataError as error:
        raise DataError(error.problem, str(path), error.fix) from None
    raise DataError("the head of the segment is damaged", str(path), "the file is set aside")


def seal(path: Path) -> str:
    """Close a segment that a killed process left open: cut its torn tail. What was wrong with it, if
    anything was.

    A segment without a whole header holds nothing and is removed. One that a newer release wrote, or that
    goes on after its damage, is set aside: no kill leaves that behind.
    """
    data = path.read_bytes()
    end = 0
    try:
        for end, _ in frames.read(data):  # noqa: B007
            pass
    except DataError as error:
        if data.startswith(frames.MAGIC):
            path.rename(path.with_suffix(".damaged"))
            return f"{path.name} is set aside: {error}"
    if end <= len(frames.MAGIC):
        path.unlink()
        return ""
    if frames.goes_on(data, end):
        # What is whole before the damage still counts, for a restart and for the lake.
        path.with_suffix(".damaged").write_bytes(data)
        problem = f"{path.name} is damaged at byte {end} of {len(data)}; what is before it counts"
    else:
        problem = ""
    if end < len(data):
        os.truncate(path, end)
    path.rename(path.with_suffix(".log"))
    return problem


def recover(folder: Path) -> Recovery:
    """Look through a folder whose open segments have been sealed."""
    found = Recovery(checkpoints=checkpoint_files(folder))
    heads: list[Header] = []
    for path in segment_files(folder, "log", "kept"):
        try:
            head = read_header(path)
        except DataError as error:
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_suffix(".damaged"))
                found.problems.append(str(error))
            continue
        found.last_epoch = max(found.last_epoch, head.epoch)
        found.segments.append(path)
        heads.append(head)
    if found.checkpoints:
        found.next_sequence = found.checkpoints[0].sequence
        found.last_epoch = max(found.last_epoch, *(one.epoch for one in found.checkpoints))
    elif heads:
        # What the newest epoch does not build on leads nowhere.
        found.next_sequence = min(h.first_sequence for h in heads if h.epoch == found.last_epoch)
    try:
        for _, frame in _frames_from(found, found.next_sequence):
            if isinstance(frame, TickFrame):
                found.next_sequence = max(found.next_sequence, frame.sequence + len(frame.ticks))
    except DataError as error:
        found.problems.append(str(error))
    return found


def replay(recovery: Recovery, sequence: int) -> Iterator[Frame]:
    """The frames from the one with this sequence on, as far as they follow each other without a hole.

    Raises DataError at a damaged place.

    A batch that begins before `sequence` is cut to what lies after. Where two segments hold the same
    sequence, the one of the later epoch counts.
    """
    for _, frame in _frames_from(recovery, sequence):
        yield frame


def _frames_from(recovery: Recovery, sequence: int) -> Iterator[tuple[Header, Frame]]:
    heads = _heads_from(recovery, sequence)
    following = sequence
    for i, (head, path) in enumerate(heads):
        # Where a later epoch has begun anew below our end, what follows here was never part of its past.
        limit = min((h.first_sequence for h, _ in heads if h.epoch > head.epoch), default=None)
        if limit is not None and limit < head.first_sequence:
            continue
        after = heads[i + 1][0].first_sequence if i + 1 < len(heads) else None
        if after is not None and after < following:
            continue  # all of it lies before
        reached = head.first_sequence
        for _, frame in read_segment(path):
            if isinstance(frame, TickFrame):
                reached = frame.sequence + len(frame.ticks)
                if reached <= following or (limit is not None and frame.sequence >= limit):
                    continue
                if frame.sequence > following:
                    return  # a hole: what follows can't be replayed
                frame = TickFrame(following, frame.ticks[following - frame.sequence :], frame.counters)
                following = reached
            elif reached < sequence:
                continue  # belongs to ticks before the start
            yield head, frame


def _heads_from(recovery: Recovery, sequence: int) -> list[tuple[Header, Path]]:
    """The segments that may hold what is at or after a sequence, with their heads, oldest first.

    The archiver removes what lies before all checkpoints; a file that is gone is none that we need.
    """
    names = [int(path.name[:20]) for path in recovery.segments]
    found = []
    for i, path in enumerate(recovery.segments):
        if i + 1 < len(names) and names[i + 1] < sequence:
            continue
        with contextlib.suppress(DataError):
            found.append((read_header(path), path))
    return found


def checkpoint_files(folder: Path) -> list[CheckpointFile]:
    """The checkpoints on disk, newest first: of the highest epoch, then the furthest."""
    found = []
    for path in folder.glob("*.ckpt"):
        sequence, _, epoch = path.stem.partition("-")
        if sequence.isdigit() and epoch.isdigit():
            found.append(CheckpointFile(int(sequence), int(epoch), path))
    return sorted(found, key=lambda one: (one.epoch, one.sequence), reverse=True)


def write_checkpoint(folder: Path, sequence: int, epoch: int, data: bytes) -> None:
    """Write a checkpoint, whole or not at all, and drop the oldest. May be called in a thread."""
    path = folder / f"{sequence:020d}-{epoch:015d}.ckpt"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    fsync_folder(folder)
    # Where a segment that is not in the lake yet begins, the archiver wants the state of that moment.
    wanted = {int(segment.name[:20]) for segment in segment_files(folder, "open", "log")}
    for old in checkpoint_files(folder)[CHECKPOINTS_KEPT:]:
        if old.sequence not in wanted:
            old.path.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make new and renamed files in a folder last."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def symbol_folder(root: Path, venue: str, symbol: str) -> Path:
    """Where the log of a symbol lies, whatever its characters."""
    venue, symbol = (quote(name, safe="").replace(".", "%2E") for name in (venue, symbol))
    return root / venue / symbol
