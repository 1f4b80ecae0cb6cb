"""The tick log: what one symbol's actor takes in, appended to local disk before it counts as seen.

    log = TickLog(folder, policy)               # owns the folder: another process can't open it
    recovery = log.recover()                    # what is there: newest checkpoint, ticks since
    log.begin(header)                           # a new segment, with our epoch in its head
    log.append_ticks(ticks, counters)           # then feed the engine
    log.append_output(sequence, step)           # what the engine made of them

A segment being written is `<first sequence>.open`. Closed it is `.log`, and the archiver takes it to the
lake; then it is `.kept`, for restarts, until a checkpoint covers it. A process may be killed at any
moment: what it had written is whole, or is a torn tail that the next one cuts off.

For one thread; `sync` and `force` alone may be called from another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from cluster.errors import LogBusy, LogFull
from cluster.storage import frames
from cluster.storage.frames import Header, Note
from cluster.storage.log_policy import LogPolicy
from cluster.storage.segments import Recovery, fsync_folder, recover, seal, segment_files
from features.engine import Step
from features.errors import TickcastError
from features.ticks import Ticks

_LOCK = "lock"
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""Faults of a disk that may pass."""


class TickLog:
    """The log of one symbol in a folder of its own."""

    def __init__(self, folder: Path, policy: LogPolicy) -> None:
        """Take the folder. Raises LogBusy while another process, or a dying one, still has it."""
        self.folder = folder
        self.policy = policy
        self.next_sequence = 0
        self.bytes = 0
        """Size of the open segment."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise LogBusy(
                "another process writes this log", str(folder), "it ends first, or is ended"
            ) from None
        self.writes = 0
        """Frames written since it was opened."""
        self.blocked = ""
        """Why nothing may be written for now; set by whoever watches the backlog."""
        self._fd = -1
        self._path = folder
        self._head_bytes = 0
        self._opened_s = 0.0
        self._unsynced = False
        self._header: Header | None = None

    def recover(self) -> Recovery:
        """What the folder holds: the newest usable checkpoint and the ticks from there on.

        Cuts the torn tail of a segment that a killed process was writing, and closes it.
        """
        problems = [seal(path) for path in segment_files(self.folder, "open")]
        found = recover(self.folder)
        found.problems += filter(None, problems)
        self.next_sequence = found.next_sequence
        return found

    def begin(self, header: Header) -> None:
        """Open a segment, before the first append. Raises LogFull when the disk has no room."""
        self.next_sequence = header.first_sequence
        self._open(header)

    def append_ticks(self, ticks: Ticks, counters: tuple[int, ...]) -> int:
        """Write a batch; returns the sequence of its first tick. From here on it is kept.

        Raises LogFull when the disk has no room: nothing of the batch is kept, and it may be tried again.
        """
        sequence = self.next_sequence
        self._write(frames.ticks(sequence, ticks, counters))
        self.next_sequence = sequence + len(ticks)
        return sequence

    def append_output(self, sequence: int, step: Step) -> None:
        """Write what the ticks up to and with `sequence` have brought about. Raises LogFull."""
        self._write(frames.output(sequence, step))

    def append_late(self, ticks: Ticks) -> None:
        """Write trades that belong into the lake but no longer into the stream. Raises LogFull."""
        self._write(frames.late(ticks))

    def append_notes(self, notes: list[Note]) -> None:
        """Write what happened to the continuity. Raises LogFull."""
        self._write(frames.notes(notes))

    def roll_if_due(self, now_s: float) -> bool:
        """Close the segment that is old or large enough and open the next. Raises LogFull."""
        if self._fd < 0 or self.bytes <= self._head_bytes:
            return False
        if self.bytes < self.policy.roll_bytes and now_s - self._opened_s < self.policy.roll_after_s:
            return False
        self._finish()
        self._open_next()
        return True

    def sync(self) -> None:
        """Force what was written to the disk, as well as may be. At the pace of the policy, in a thread."""
        if self._unsynced:
            with contextlib.suppress(OSError):
                self.force()

    def force(self) -> None:
        """Force what was written to the disk; may be called in a thread. Raises OSError if it can't be."""
        fd = self._fd
        if fd < 0:
            return  # closed: that has forced it
        self._unsynced = False
        try:
            os.fdatasync(fd)
        except OSError as error:
            if error.errno != errno.EBADF:  # closed under us
                self._unsynced = True
                raise

    def backlog_bytes(self) -> int:
        """What waits for the lake: closed segments that the archiver has not taken, and the open one."""
        total = self.bytes
        for path in segment_files(self.folder, "log"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def close(self) -> None:
        """Close the segment for the archiver to take, and give the folder free."""
        if self._fd >= 0:
            self._finish()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open(self, header: Header) -> None:
        path = self.folder / f"{header.first_sequence:020d}-{header.created_ns:020d}.open"
        data = frames.header(header)
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            _write_all(self._fd, data)
            fsync_folder(self.folder)
        except OSError as error:
            if self._fd >= 0:
                os.close(self._fd)
                path.unlink(missing_ok=True)
                self._fd = -1
            raise self._trouble(error) from error
        self._header, self._path = header, path
        self.bytes = self._head_bytes = len(data)
        self._opened_s = time.monotonic()

    def _open_next(self) -> None:
        assert self._header is not None, "begin comes first"
        self._open(self._header.followed_by(self.next_sequence, time.time_ns()))

    def _finish(self) -> None:
        """Sync, close and rename; a segment that holds nothing is removed."""
        empty = self.bytes <= self._head_bytes
        if not empty:
            with contextlib.suppress(OSError):
                os.fdatasync(self._fd)
        os.close(self._fd)
        self._fd = -1
        if empty:
            self._path.unlink()
        else:
            self._path.rename(self._path.with_suffix(".log"))
        self.bytes = 0

    def _write(self, data: bytes) -> None:
        if self.blocked:
            raise LogFull(
                self.blocked, str(self.folder), "ticks are taken in again once the lake has caught up"
            )
        if self._fd < 0:
            # The disk was full when the last segment had been closed.
            self._open_next()
        try:
            _write_all(self._fd, data)
            if self.policy.fsync == "always":
                os.fdatasync(self._fd)
        except OSError as error:
            self._undo()
            raise self._trouble(error) from error
        self.bytes += len(data)
        self.writes += 1
        self._unsynced = True

    def _undo(self) -> None:
        """Half a frame must not stay before the next one."""
        with contextlib.suppress(OSError):
            os.lseek(self._fd, self.bytes, os.SEEK_SET)
            os.ftruncate(self._fd, self.bytes)

    def _trouble(self, error: OSError) -> TickcastError:
        fix = (
            "free some space; ticks are taken in again as soon as there is room"
            if error.errno in _PASSING
            else "see to it that the folder can be written to"
        )
        return LogFull(f"the tick log can't be written: {error.strerror}", str(self.folder), fix)


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])
