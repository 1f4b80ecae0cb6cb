"""Does the work of a backfill in this process, or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any, Protocol

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import DataError
from jobs.backfilling import parts, spool
from jobs.backfilling.findings import SymbolFindings
from jobs.backfilling.parts import PartTask
from jobs.backfilling.spec import BackfillSpec
from jobs.backfilling.spool import Scan

Hear = Callable[[int, float], None]
"""Told of a file, or a task, by its number how far it is, from 0 to 1."""
_POLL_S = 0.2


class Workers(Protocol):
    """Who reads files and takes parts into the lake. Results come in the order of what was given."""

    def scan(self, paths: Sequence[Path], spec: BackfillSpec, folder: Path, hear: Hear) -> list[Scan]:
        """Read files into parts below a folder."""

    def take(self, tasks: Sequence[PartTask], hear: Hear) -> list[SymbolFindings]:
        """Take parts into the lake."""

    def digest(self, paths: Sequence[Path]) -> list[str]:
        """SHA-256 of the bytes of files."""


class Alone:
    """One after the other, in this process."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def scan(self, paths: Sequence[Path], spec: BackfillSpec, folder: Path, hear: Hear) -> list[Scan]:
        found = []
        for number, path in enumerate(paths):
            found.append(spool.scan(path, spec, folder / str(number), partial(hear, number)))
        return found

    def take(self, tasks: Sequence[PartTask], hear: Hear) -> list[SymbolFindings]:
        found = []
        for number, task in enumerate(tasks):
            found.append(parts.take(self._lake, task))
            hear(number, 1.0)
        return found

    def digest(self, paths: Sequence[Path]) -> list[str]:
        return [spool.file_digest(path) for path in paths]


class Together:
    """Spread over processes, each with a connection to the store of its own."""

    def __init__(self, pool: ProcessPoolExecutor, heard: Any) -> None:
        self._pool, self._heard = pool, heard

    def scan(self, paths: Sequence[Path], spec: BackfillSpec, folder: Path, hear: Hear) -> list[Scan]:
        futures = [
            self._pool.submit(_scan, number, path, spec, folder / str(number))
            for number, path in enumerate(paths)
        ]
        return self._results(futures, hear)

    def take(self, tasks: Sequence[PartTask], hear: Hear) -> list[SymbolFindings]:
        return self._results(
            [self._pool.submit(_take, number, task) for number, task in enumerate(tasks)], hear
        )

    def digest(self, paths: Sequence[Path]) -> list[str]:
        return list(self._pool.map(spool.file_digest, paths))

    def _results(self, futures: list[Future[Any]], hear: Hear) -> list[Any]:
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_S, FIRST_COMPLETED)
                self._listen(hear)
                for one in done:
                    one.result()
            self._listen(hear)
            return [one.result() for one in futures]
        except BrokenProcessPool:
            fix = "run it again, with fewer --workers: each has a day of one symbol in memory"
            raise DataError("a process of the backfill was killed", "backfill", fix) from None
        finally:
            for one in futures:
                one.cancel()

    def _listen(self, hear: Hear) -> None:
        while True:
            try:
                number, part = self._heard.get_nowait()
            except Empty:
                return
            hear(number, part)


@contextmanager
def workers(store: StoreSpec, count: int) -> Iterator[Workers]:
    """As many processes as that; with one, this one does it all."""
    if count == 1:
        yield Alone(Lake(open_store(store)))
        return
    # Fresh processes: a copy of one with threads, as Ray's drivers are, may hang.
    context = multiprocessing.get_context("spawn")
    heard = context.Queue()
    with ProcessPoolExecutor(count, context, _begin, (store, heard)) as pool:
        yield Together(pool, heard)


class _Process:
    """What a process of the pool works with."""

    lake: Lake
    heard: Any


def _begin(store: StoreSpec, heard: Any) -> None:
    _Process.lake, _Process.heard = Lake(open_store(store)), heard


def _scan(number: int, path: Path, spec: BackfillSpec, folder: Path) -> Scan:
    return spool.scan(path, spec, folder, lambda part: _Process.heard.put((number, part)))


def _take(number: int, task: PartTask) -> SymbolFindings:
    found = parts.take(_Process.lake, task)
    _Process.heard.put((number, 1.0))
    return found
