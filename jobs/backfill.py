"""`python -m jobs.backfill FILE... --lake URI --venue NAME`: take files of market data into the lake.

Parquet and CSV files with trades, quotes or candles, of one symbol or many, and Binance's public dumps.
Kind, columns and interval are told from each file where they can be. Rows are checked; what was kept, put
right and refused is reported for each symbol. A file imported twice changes nothing, and an import that was
killed is finished by running it again. Exit code 1 when no row could be kept, 2 when a file can't be read.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from features import durations
from features.errors import ConfigError
from jobs import command_line
from jobs.backfilling import run as backfilling
from jobs.backfilling.findings import Finding, Report
from jobs.backfilling.run import Backfill, Backfilled
from jobs.backfilling.spec import FORMATS, KINDS, BackfillSpec
from jobs.backfilling.workers import workers
from jobs.command_line import say

_TABLE_ROWS = 60
"""Symbols that the table for people shows; those with refusals come first."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("backfill", __doc__ or "")
    command_line.add_lake(made)
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="Parquet, CSV, zipped CSV")
    made.add_argument("--venue", required=True, help="under which name the lake has it")
    made.add_argument("--kind", choices=KINDS, help="what the rows are (told from the columns)")
    made.add_argument("--interval", help="length of candles, like 1m (told from the file)")
    made.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="which column of the file is ours, like price=last_px; OURS= leaves it out; several times",
    )
    made.add_argument("--symbol", help="of all rows, where a file has no column for it")
    made.add_argument(
        "--format", choices=FORMATS, default="auto", help="auto: told from the file and its name"
    )
    made.add_argument("--replace", action="store_true", help="candles that differ replace those stored")
    made.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    return made


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The job as the command line asks for it: its result, and 1 where no row could be kept."""
    spec = spec_of(arguments)
    if arguments.workers < 1:
        raise ConfigError(f"{arguments.workers} is below 1", "--workers", "give at least 1")
    store = command_line.lake_spec(arguments)
    lake = Lake(open_store(store))
    lake.store.prepare()
    began_s = time.monotonic()
    with workers(store, arguments.workers) as by, _progress(len(arguments.files)) as progress:
        done = Backfill(lake, spec, by).run(arguments.files, progress)
    result = summary(done, time.monotonic() - began_s)
    if not arguments.json:
        show(done, result)
    return result, 0 if result["kept"] or done.before else 1


def spec_of(arguments: argparse.Namespace) -> BackfillSpec:
    """The settings that the user gave. Raises ConfigError."""
    pairs = []
    for text in arguments.map:
        ours, equals, theirs = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} names no two columns", "--map", "write it like price=last_px")
        pairs.append((ours, theirs))
    interval = arguments.interval
    return BackfillSpec(
        arguments.venue,
        arguments.kind,
        None if interval is None else durations.parse_ns(interval, "--interval"),
        tuple(pairs),
        arguments.symbol,
        arguments.format,
        arguments.replace,
    )


def summary(done: Backfilled, seconds: float) -> dict[str, Any]:
    """What was done, as plain values."""
    found = done.report.symbols
    return {
        "files": len(done.imported),
        "files_before": len(done.before),
        "read": sum(one.read for one in found.values()),
        "kept": sum(one.kept for one in found.values()),
        "already": sum(one.already for one in found.values()),
        "refused": sum(finding.count for one in found.values() for finding in one.refused.values()),
        "symbols": {symbol: found[symbol].as_dict() for symbol in sorted(found)},
        "seconds": round(seconds, 3),
    }


def show(done: Backfilled, result: dict[str, Any], console: Console | None = None) -> None:
    """Print the report for people."""
    to = console or Console(soft_wrap=False)
    if done.report.symbols:
        to.print(_table(done.report))
        for text in _examples(done.report):
            to.print(text, highlight=False, markup=False)
    for path in done.before:
        to.print(f"{path}: imported before, not read again", highlight=False)
    to.print(
        f"{result['files']} files: {result['read']:,} rows read, {result['kept']:,} kept "
        f"({result['already']:,} of them were there), {result['refused']:,} refused, "
        f"in {result['seconds']:.1f} s",
        highlight=False,
    )


def _table(report: Report) -> Table:
    table = Table()
    for name in ("symbol", "read", "kept", "repaired", "refused"):
        table.add_column(name, justify="right" if name in ("read", "kept") else "left", overflow="fold")
    found = sorted(report.symbols.items(), key=lambda one: (not one[1].refused, not one[1].repaired, one[0]))
    for symbol, one in found[:_TABLE_ROWS]:
        kept = f"{one.kept:,}"
        table.add_row(symbol or "(none)", f"{one.read:,}", kept, _said(one.repaired), _said(one.refused))
    if len(found) > _TABLE_ROWS:
        table.add_row(f"{len(found) - _TABLE_ROWS} more", "", "", "", "see --json")
    return table


def _said(findings: dict[str, Finding]) -> str:
    return "\n".join(f"{one.count:,} {kind}" for kind, one in findings.items())


def _examples(report: Report) -> list[str]:
    """The first row of each kind."""
    first: dict[str, str] = {}
    for one in report.symbols.values():
        for kind, finding in (one.repaired | one.refused).items():
            first.setdefault(kind, finding.first)
    return [f"{kind}, first {said}" for kind, said in first.items()]


class _Lines:
    """Progress line by line, for logs."""

    def reading(self, file: str, part: float) -> None:
        if part >= 1.0:
            say(f"{file}: read")

    def taking(self, done: int, of: int) -> None:
        if done == of or done % max(1, of // 10) == 0:
            say(f"{done} of {of} pieces are in the lake")


class _Bars:
    """Progress as bars on a terminal."""

    def __init__(self, progress: Progress, files: int) -> None:
        self._progress = progress
        self._parts: dict[str, float] = {}
        self._reading = progress.add_task("reading", total=files)
        self._taking = progress.add_task("into the lake", total=None)

    def reading(self, file: str, part: float) -> None:
        self._parts[file] = part
        self._progress.update(self._reading, completed=sum(self._parts.values()))

    def taking(self, done: int, of: int) -> None:
        self._progress.update(self._taking, completed=done, total=of)


@contextmanager
def _progress(files: int) -> Iterator[backfilling.Progress]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bars(progress, files)


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
