"""The archiver: takes closed segments of the tick logs of one machine to the lake.

One for each node, beside the symbol actors and apart from them: its work never stalls a tick, and the
actors stay small. It keeps no state: what is still to do is what lies on the disk. A segment goes to the
lake table by table; each file is named by its content, so a segment that was half done when the archiver
died is simply done again. Then, and only then, a checkpoint that it covers follows: a checkpoint in the
lake is never ahead of the ticks in the lake.

What is in the lake and behind the oldest checkpoint on disk is removed from the disk.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import StoreError
from cluster.storage import segments
from cluster.storage.epochs import EpochRecord
from cluster.storage.frames import Frame, Header
from cluster.storage.lake import Lake
from cluster.storage.segment_tables import tables_of
from features.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ArchiveState:
    """How the archiver of a node is doing."""

    segments: int = 0
    """Segments taken to the lake since it started."""
    waiting: int = 0
    """Closed segments that are not in the lake yet."""
    waiting_bytes: int = 0
    failing_since_ns: int | None = None
    """Since when the lake has not taken anything; None while it does."""
    problem: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    """Symbols whose segments the lake can't take, and why."""
    damaged: list[str] = field(default_factory=list)
    """Segments that can't be read; they are set aside, not deleted."""


class Archiver:
    """Takes what lies under `log_root` to the lake. For one thread; calls block."""

    def __init__(self, log_root: Path, lake: Lake, clock_ns: Callable[[], int]) -> None:
        self._root = log_root
        self._lake = lake
        self._clock_ns = clock_ns
        self._epochs_put: set[tuple[str, str, int]] = set()
        self._checkpoints_put: dict[Path, tuple[int, int]] = {}
        self.state = ArchiveState()

    def run_once(self) -> int:
        """Take all that waits to the lake; the number of segments that went.

        A store that fails ends the round: `state` says why, and the next round goes on from there.
        """
        done = 0
        try:
            for folder in self._folders():
                done += self._archive_folder(folder)
            self._recovered()
        except StoreError as error:
            if self.state.failing_since_ns is None:
                self.state.failing_since_ns = self._clock_ns()
                logger.warning("the lake takes nothing: %s", error)
            self.state.problem = str(error)
        self._count_waiting()
        return done

    def _archive_folder(self, folder: Path) -> int:
        """One symbol. A fault of its data must not keep those of the others from the lake."""
        done = 0
        try:
            for path in segments.segment_files(folder, "log"):
                done += self._archive(path)
                self._recovered()
            self._put_checkpoint(folder)
            self._clear(folder)
            self.state.refused.pop(folder.name, None)
        except FileNotFoundError:
            pass  # an actor that starts renames and drops files; the next round sees what is there
        except StoreError:
            raise
        except Exception as error:
            if folder.name not in self.state.refused:
                logger.exception("the log of %s can't be archived", folder.name)
            self.state.refused[folder.name] = f"{type(error).__name__}: {error}"
        return done

    def _folders(self) -> Iterator[Path]:
        for venue in sorted(self._root.glob("*")):
            if venue.is_dir():
                yield from (folder for folder in sorted(venue.glob("*")) if folder.is_dir())

    def _archive(self, path: Path) -> int:
        found: list[Frame] = []
        problem = ""
        try:
            for _, frame in segments.read_segment(path):
                found.append(frame)
        except DataError as error:
            problem = str(error)
        header = found[0] if found else None
        if isinstance(header, Header):
            self._put_epoch(header)
            for name, table in tables_of(header, found).items():
                self._lake.write(name, header.venue, header.symbol, header.epoch, table)
        if problem:
            # What could be read is safe now; the rest is for somebody to look at.
            self.state.damaged.append(problem)
            logger.error("a segment is set aside: %s", problem)
            path.rename(path.with_suffix(".damaged"))
            return 0
        path.rename(path.with_suffix(".kept"))
        self.state.segments += 1
        return 1

    def _put_epoch(self, header: Header) -> None:
        key = (header.venue, header.symbol, header.epoch)
        if key in self._epochs_put:
            return
        self._lake.put_epoch(
            EpochRecord(
                venue=header.venue,
                symbol=header.symbol,
                epoch=header.epoch,
                first_sequence=header.epoch_sequence,
                started_ns=header.epoch_ns,
                engine=json.loads(header.engine),
                fresh=header.fresh,
            )
        )
        self._epochs_put.add(key)

    def _put_checkpoint(self, folder: Path) -> None:
        """The newest checkpoint that the ticks in the lake reach, if it is not there yet."""
        waiting = segments.segment_files(folder, "open", "log")
        kept = segments.segment_files(folder, "kept")
        if not kept:
            return
        reach = int(waiting[0].name[:20]) if waiting else None
        for one in segments.checkpoint_files(folder):
            if reach is not None and one.sequence > reach:
                continue
            if (one.epoch, one.sequence) > self._checkpoints_put.get(folder, (0, -1)):
                header = segments.read_header(kept[-1])
                self._lake.put_checkpoint(
                    header.venue, header.symbol, one.epoch, one.sequence, one.path.read_bytes()
                )
                self._checkpoints_put[folder] = (one.epoch, one.sequence)
                self._lake.prune_checkpoints(header.venue, header.symbol)
            return

    def _clear(self, folder: Path) -> None:
        """Remove what is in the lake and not needed for a restart."""
        checkpoints = segments.checkpoint_files(folder)
        if len(checkpoints) < 2:
            return
        # A restart may have to fall back to the oldest of them.
        oldest = min(one.sequence for one in checkpoints[: segments.CHECKPOINTS_KEPT])
        files = segments.segment_files(folder, "open", "log", "kept")
        for path, following in itertools.pairwise(files):
            if path.suffix == ".kept" and int(following.name[:20]) <= oldest:
                path.unlink(missing_ok=True)
        reached = [int(path.name[:20]) for path in files if path.suffix != ".kept"]
        for old in checkpoints[segments.CHECKPOINTS_KEPT :]:
            if old.sequence not in reached:
                old.path.unlink(missing_ok=True)

    def _recovered(self) -> None:
        if self.state.failing_since_ns is not None:
            logger.warning("the lake takes segments again")
        self.state.failing_since_ns = None
        self.state.problem = ""

    def _count_waiting(self) -> None:
        sizes = []
        for folder in self._folders():
            for path in segments.segment_files(folder, "log"):
                try:
                    sizes.append(path.stat().st_size)
                except FileNotFoundError:
                    continue
        self.state.waiting, self.state.waiting_bytes = len(sizes), sum(sizes)
