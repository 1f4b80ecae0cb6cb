"""A symbol's newest state from the lake to the local disk, where a restart finds it.

For a symbol that moves to another machine, whose old one is gone. What is brought looks like what the log
of this machine would have left: a checkpoint, and a segment that says which epoch it is from.

The stream goes on from the checkpoint, not from the last tick that is in the lake: up to the checkpoint all
that was made of the ticks is there too, and behind it an upload may have broken off. What lies behind it
stops counting as soon as the new epoch is known; its trades are fetched again, and are stored once.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from cluster.storage import frames, segments
from cluster.storage.epochs import EpochRecord
from cluster.storage.lake import Lake
from cluster.storage.stream import StreamHole
from features.ticks import Ticks

_BATCH = 8192
_TICKS_WITHOUT_CHECKPOINT = 10_000
"""So many are brought where no checkpoint is: enough to know which trades came last."""


def bring(lake: Lake, venue: str, symbol: str, folder: Path, last_epoch: int) -> int:
    """Write checkpoint and ticks into `folder` if an epoch above `last_epoch` is in the lake.

    Returns the number of ticks brought. Raises StoreError, and DataError when the lake has a hole.
    """
    records = sorted(lake.epochs(venue, symbol), key=lambda one: one.epoch)
    if not records or records[-1].epoch <= last_epoch:
        return 0
    _drop_superseded(folder, records)
    end = lake.end(venue, symbol)
    usable = [one for one in lake.checkpoints(venue, symbol) if one.sequence <= end]
    if not usable:
        return _write_segment(lake, records[-1], folder, max(0, end - _TICKS_WITHOUT_CHECKPOINT), end)
    for one in reversed(usable[: segments.CHECKPOINTS_KEPT]):
        segments.write_checkpoint(folder, one.sequence, one.epoch, lake.get_checkpoint(one))
    return _write_segment(lake, records[-1], folder, usable[0].sequence, usable[0].sequence)


def _drop_superseded(folder: Path, records: list[EpochRecord]) -> None:
    """Checkpoints of a past that a later epoch has overruled."""
    for one in segments.checkpoint_files(folder):
        if any(other.epoch > one.epoch and other.first_sequence < one.sequence for other in records):
            one.path.unlink(missing_ok=True)


def _write_segment(lake: Lake, newest: EpochRecord, folder: Path, first: int, end: int) -> int:
    """A segment with the ticks from `first` to before `end`. It begins no engine's life."""
    count = 0
    head = frames.Header(
        version=frames.VERSION,
        venue=newest.venue,
        symbol=newest.symbol,
        epoch=newest.epoch,
        first_sequence=first,
        created_ns=newest.started_ns,
        epoch_sequence=newest.first_sequence,
        epoch_ns=newest.started_ns,
        fresh=False,
        engine=json.dumps(newest.engine),
        features=(),
    )
    path = folder / f"{first:020d}-{newest.started_ns:020d}.kept"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(frames.header(head))
        # An upload that broke off may have left a hole near the end: the stream goes on from there.
        with contextlib.suppress(StreamHole):
            stream = lake.ticks(newest.venue, newest.symbol, first, end - 1) if first < end else ()
            for sequence, ticks in stream:
                for start in range(0, len(ticks), _BATCH):
                    part: Ticks = ticks[start : start + _BATCH]
                    file.write(frames.ticks(sequence + start, part, ()))
                count += len(ticks)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    segments.fsync_folder(folder)
    return count
