"""`python -m jobs.parity`: prove that live and batch are the same, to the last bit.

Replays the stored ticks of a lake through the batch path and compares bars, features, forecasts and answers
with what the live actors wrote down when they made them. Every file read is checked against the digest in
its name. Exit code 0 when not one bit differs, 1 when one does or a file is damaged, with the first place
named.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Any

from cluster.storage.lake import Lake
from features.errors import ConfigError
from jobs import command_line
from jobs.command_line import say
from jobs.parity_check import SymbolParity, check_symbol


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("parity", __doc__ or "")
    command_line.add_lake(made)
    made.add_argument("--venue", help="only this venue")
    made.add_argument(
        "--symbol", action="append", default=[], help="only this one; may be given several times"
    )
    made.add_argument("--from", dest="start", metavar="TIME", help="event time, like 2026-11-21T10:00 (UTC)")
    made.add_argument("--to", dest="end", metavar="TIME", help="event time, exclusive")
    made.add_argument("--archived", action="store_true", help="read the archive too")
    return made


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Compare all symbols asked for; the result and the exit code."""
    lake = command_line.open_lake(arguments)
    start_ns, end_ns = (_time_ns(text) for text in (arguments.start, arguments.end))
    began = time.monotonic()
    found = []
    for venue, symbol in _chosen(lake, arguments.venue, arguments.symbol):
        found.append(check_symbol(lake, venue, symbol, start_ns, end_ns, arguments.archived))
        say(_line(found[-1]))
    result = _summary(found, time.monotonic() - began)
    if not arguments.json:
        print(
            f"{result['ticks']:,} ticks, {result['rows']:,} rows compared in {result['seconds']:.1f} s: "
            f"{result['differences']} differ"
        )
    return result, 0 if result["same"] else 1


def _chosen(lake: Lake, venue: str | None, symbols: list[str]) -> list[tuple[str, str]]:
    known = sorted(pair for pair in lake.symbols() if venue in (None, pair[0]))
    missing = sorted(set(symbols) - {symbol for _, symbol in known})
    if missing or not known:
        names = ", ".join(symbol for _, symbol in known[:20])
        raise ConfigError(
            f"{', '.join(missing)} is not in this lake" if missing else "no symbol is in this lake",
            lake.store.uri,
            f"there are: {names or 'none'}",
        )
    return [pair for pair in known if not symbols or pair[1] in symbols]


def _time_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time", "--from/--to", "write it like 2026-11-21T10:00") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def _line(one: SymbolParity) -> str:
    rows = ", ".join(f"{count:,} {table}" for table, count in one.rows.items())
    if one.same:
        return f"{one.symbol}: {one.ticks:,} ticks, {rows}: the same to the last bit"
    return f"{one.symbol}: {one.problem or f'{one.differences} rows differ, first {one.first}'}"


def _summary(found: list[SymbolParity], seconds: float) -> dict[str, Any]:
    first = next((one for one in found if not one.same), None)
    return {
        "same": first is None,
        "ticks": sum(one.ticks for one in found),
        "rows": sum(sum(one.rows.values()) for one in found),
        "differences": sum(one.differences for one in found),
        "first_difference": None if first is None else first.problem or str(first.first),
        "symbols": [one.as_dict() for one in found],
        "seconds": round(seconds, 3),
    }


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
