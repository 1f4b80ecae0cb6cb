"""Imports for tests: in this process, into any store, told to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.storage.lake import Lake
from jobs.backfilling.run import Backfill, Backfilled
from jobs.backfilling.spec import BackfillSpec
from jobs.backfilling.workers import Alone

VENUE = "test"


class Silent:
    """Progress that nobody looks at."""

    def reading(self, file: str, part: float) -> None:
        pass

    def taking(self, done: int, of: int) -> None:
        pass


def backfill(store: Any, *paths: Path, **settings: Any) -> Backfilled:
    """Import files."""
    lake = Lake(store)
    return Backfill(lake, BackfillSpec(VENUE, **settings), Alone(lake)).run(paths, Silent())


def stored(store: Any, table: str, symbol: str = "A") -> pa.Table:
    """What the lake has of a symbol."""
    return Lake(store).read(table, VENUE, symbol, verify=True)


def refused(done: Backfilled, symbol: str = "A") -> dict[str, int]:
    """How many rows were refused, by kind."""
    return {kind: one.count for kind, one in done.report.of(symbol).refused.items()}


def repaired(done: Backfilled, symbol: str = "A") -> dict[str, int]:
    """How many rows were put right, by kind."""
    return {kind: one.count for kind, one in done.report.of(symbol).repaired.items()}


def text_file(folder: Path, name: str, *lines: str) -> Path:
    """A file of these lines."""
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
