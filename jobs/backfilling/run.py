"""A whole backfill: files in batches, sorted out by symbol and period, taken into the lake, noted as done.

    report = Backfill(lake, spec, workers).run(paths, progress)

Which process does what, and when, changes nothing of the result. A file that has been imported whole is
noted in the lake (`imports/`) and not read again; one that was half done is done again, and finds its rows
there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Protocol

from cluster.errors import ObjectMissing, StoreError
from cluster.storage import layout
from cluster.storage.lake import Lake
from jobs.backfilling.findings import Report
from jobs.backfilling.parts import Part, PartTask
from jobs.backfilling.spec import BackfillSpec
from jobs.backfilling.spool import Entry, Scan
from jobs.backfilling.workers import Workers

_BATCH_BYTES = 4 << 30
"""Files of about so many bytes are sorted out at a time: local disk has room for them."""
_TASK_ROWS = 2_000_000
"""About so many rows of one symbol are taken by one process."""


class Progress(Protocol):
    """Who is told how it goes."""

    def reading(self, file: str, part: float) -> None:
        """A file has been read so far, from 0 to 1."""

    def taking(self, done: int, of: int) -> None:
        """So many tasks of the batch are in the lake."""


@dataclass(slots=True)
class Backfilled:
    """What a run has done."""

    report: Report = field(default_factory=Report)
    imported: list[str] = field(default_factory=list)
    """Files that are in the lake now."""
    before: list[str] = field(default_factory=list)
    """Files that an earlier run had imported whole: not read again."""


class Backfill:
    """Takes files into a lake. For one run."""

    def __init__(self, lake: Lake, spec: BackfillSpec, by: Workers) -> None:
        self._lake, self._spec, self._workers = lake, spec, by

    def run(self, paths: Sequence[Path], progress: Progress) -> Backfilled:
        """Import files; of two that contradict each other the one named first is right.

        Raises ConfigError or DataError for a file that can't be recognised or read: what came before it is
        in the lake.
        """
        done = Backfilled()
        keys = [layout.import_key(self._spec.digest(one)) for one in self._workers.digest(paths)]
        waiting: list[tuple[Path, str]] = []
        for path, key in zip(paths, keys, strict=True):
            if not self._spec.replace and self._is_noted(key):
                done.before.append(str(path))
            elif key not in (one for _, one in waiting):
                waiting.append((path, key))
        for batch in _batches(waiting):
            self._batch(batch, done, progress)
        return done

    def _batch(self, batch: list[tuple[Path, str]], done: Backfilled, progress: Progress) -> None:
        paths = [path for path, _ in batch]
        try:
            with TemporaryDirectory(prefix="tickcast-backfill-", ignore_cleanup_errors=True) as folder:
                scans = self._workers.scan(
                    paths,
                    self._spec,
                    Path(folder),
                    lambda number, part: progress.reading(paths[number].name, part),
                )
                tasks = _tasks(scans, self._spec)
                finished: list[int] = []

                def hear(number: int, part: float) -> None:
                    finished.append(number)
                    progress.taking(len(finished), len(tasks))

                found = self._workers.take(tasks, hear)
        except OSError as error:
            fix = "make room for the files there, or set TMPDIR to another folder"
            said = error.strerror or str(error)
            raise StoreError(f"sorting out failed: {said}", gettempdir(), fix) from error
        for scan in scans:
            done.report.add(scan.report)
        for task, findings in zip(tasks, found, strict=True):
            done.report.of(task.symbol).add(findings)
        for (path, key), scan in zip(batch, scans, strict=True):
            self._note(key, path, scan)
            done.imported.append(str(path))

    def _is_noted(self, key: str) -> bool:
        try:
            self._lake.store.get(key)
        except ObjectMissing:
            return False
        return True

    def _note(self, key: str, path: Path, scan: Scan) -> None:
        note = {
            "version": 1,
            "file": path.name,
            "venue": self._spec.venue,
            "kind": scan.kind,
            "interval_ns": scan.interval_ns,
            "rows": sum(found.read for found in scan.report.symbols.values()),
            "symbols": sorted(scan.report.symbols),
        }
        self._lake.store.put(key, json.dumps(note, sort_keys=True).encode())


def _batches(files: list[tuple[Path, str]]) -> Iterator[list[tuple[Path, str]]]:
    batch: list[tuple[Path, str]] = []
    size = 0
    for one in files:
        bytes_ = one[0].stat().st_size
        if batch and size + bytes_ > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += bytes_
    if batch:
        yield batch


def _tasks(scans: Sequence[Scan], spec: BackfillSpec) -> list[PartTask]:
    """What is to be taken into the lake, symbol by symbol, in pieces of about `_TASK_ROWS`."""
    grouped: dict[tuple[str, str, int], dict[str, dict[int, list[Entry]]]] = {}
    for number, scan in enumerate(scans):
        for entry in scan.entries:
            periods = grouped.setdefault((entry.symbol, scan.kind, scan.interval_ns), {})
            periods.setdefault(entry.period, {}).setdefault(number, []).append(entry)
    names = tuple(scan.path.name for scan in scans)
    tasks = []
    for (symbol, kind, interval_ns), periods in sorted(grouped.items()):
        parts = [
            Part(period, tuple((number, tuple(entries)) for number, entries in sorted(files.items())))
            for period, files in sorted(periods.items())
        ]
        for start, end in pairwise(_cuts(parts, kind)):
            before = parts[start - 1] if start else None
            after = parts[end] if end < len(parts) else None
            piece = tuple(parts[start:end])
            tasks.append(
                PartTask(spec.venue, symbol, kind, interval_ns, spec.replace, names, before, piece, after)
            )
    return tasks


def _cuts(parts: list[Part], kind: str) -> list[int]:
    """Where to cut the parts of a symbol. Candles stay together: parts may lie in one partition."""
    cuts, rows = [0], 0
    for place, part in enumerate(parts):
        if rows and rows + part.rows > _TASK_ROWS and kind != "candles":
            cuts.append(place)
            rows = 0
        rows += part.rows
    return [*cuts, len(parts)]
