"""Rows sorted out by symbol and period on local disk, so that no file has to fit into memory.

A part is what one symbol has of one file in one period: a UTC day of trades or quotes, a month of candles
shorter than a day, a year of longer ones. Parts lie as record batches in files that are removed after the
import. The rows of a part keep the order of their file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.storage import layout
from jobs.backfilling.findings import Report
from jobs.backfilling.forms import pieces, recognise
from jobs.backfilling.rows import COLUMNS, Columns, typed
from jobs.backfilling.source import readable
from jobs.backfilling.spec import BackfillSpec

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_DIGEST_CHUNK = 1 << 20
MALFORMED = "malformed line"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record batch of one part."""

    symbol: str
    period: str
    """The first day of the part, YYYY-MM-DD."""
    path: Path
    batch: int
    rows: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One file, read and sorted out."""

    path: Path
    kind: str
    interval_ns: int
    entries: tuple[Entry, ...]
    report: Report


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file. Raises DataError where it can't be read."""
    with readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scan(path: Path, spec: BackfillSpec, folder: Path, progress: Callable[[float], None]) -> Scan:
    """Read a file into parts below `folder`, which is its own; `progress` hears how far it is, from 0 to 1.

    Raises ConfigError where it can't be told what the file is, DataError where it can't be read.
    """
    form = recognise(path, spec)
    folder.mkdir(parents=True, exist_ok=True)
    report, entries, row = Report(), [], 0
    newest: dict[str, int] = {}

    def malformed(text: str) -> None:
        found = report.of(form.symbol or "")
        found.read += 1
        found.refuse(MALFORMED, 1, f"{path.name}: {text}")

    for number, (raw, part) in enumerate(pieces(form, malformed)):
        codes, names, columns = typed(form, raw, row, report)
        row += raw.num_rows
        order = np.argsort(codes, kind="stable")
        codes, columns = codes[order], {name: column[order] for name, column in columns.items()}
        _count_disorder(codes, names, columns, newest, path.name, report)
        entries += _write(folder / f"{number}.arrow", form.kind, form.interval_ns, codes, names, columns)
        progress(min(part, 0.99))
    progress(1.0)
    return Scan(path, form.kind, form.interval_ns, tuple(entries), report)


def load(entries: list[Entry]) -> Columns:
    """The rows of the entries of one file and part, in the order of the file."""
    batches = []
    for entry in entries:
        with pa.memory_map(str(entry.path)) as source:
            batches.append(pa.ipc.open_file(source).get_batch(entry.batch))
    table = pa.Table.from_batches(batches)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _count_disorder(
    codes: NDArray[np.int64],
    names: list[str],
    columns: Columns,
    newest: dict[str, int],
    file: str,
    report: Report,
) -> None:
    """Count the rows that are older than the row before them of their symbol."""
    if not len(codes):
        return
    at_ns = columns["at_ns"]
    back = np.zeros(len(codes), np.bool_)
    back[1:] = (at_ns[1:] < at_ns[:-1]) & (codes[1:] == codes[:-1])
    edges = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(edges[1:], len(codes))
    for start, end in zip(edges.tolist(), ends.tolist(), strict=True):
        name = names[int(codes[start])]
        back[start] = at_ns[start] < newest.get(name, -1)
        newest[name] = int(at_ns[end - 1])
        found = np.flatnonzero(back[start:end])
        if len(found):
            row = int(columns["row"][start + int(found[0])]) + 1
            report.of(name).repair(
                "out of order", len(found), f"{file} row {row} is older than the one before"
            )


def _write(
    path: Path,
    kind: str,
    interval_ns: int,
    codes: NDArray[np.int64],
    names: list[str],
    columns: Columns,
) -> list[Entry]:
    """One batch for each part, in the order of symbols and periods."""
    if not len(codes):
        return []
    starts = _period_starts(kind, interval_ns, columns["at_ns"])
    order = np.lexsort((starts, codes))
    codes, starts = codes[order], starts[order]
    edges = np.flatnonzero((np.diff(codes, prepend=-1) != 0) | (np.diff(starts, prepend=-1) != 0))
    sizes = np.diff(np.append(edges, len(codes)))
    table = pa.table({name: columns[name][order] for name in ("row", "at_ns", *COLUMNS[kind])})
    batch = table.combine_chunks().to_batches()[0]
    entries = []
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=_OPTIONS) as writer:
        for number, (start, size) in enumerate(zip(edges.tolist(), sizes.tolist(), strict=True)):
            writer.write_batch(batch.slice(start, size))
            period = layout.date_of(int(starts[start]))
            entries.append(Entry(names[int(codes[start])], period, path, number, size))
    return entries


def _period_starts(kind: str, interval_ns: int, at_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    unit = "D" if kind != "candles" else "M" if interval_ns < layout.DAY_NS else "Y"
    starts: NDArray[np.int64] = at_ns.astype("M8[ns]").astype(f"M8[{unit}]").astype("M8[ns]").astype(np.int64)
    return starts


def period_end_ns(kind: str, interval_ns: int, period: str) -> int:
    """When the part that begins on this day is over."""
    start = datetime.fromisoformat(period).replace(tzinfo=UTC)
    if kind != "candles":
        return layout.day_start_ns(period) + layout.DAY_NS
    months = 1 if interval_ns < layout.DAY_NS else 12
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return layout.day_start_ns(f"{year:04d}-{month + 1:02d}-01")
