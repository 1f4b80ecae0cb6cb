"""Which history, on the command line of a job.

add_history(parser)
history = history_of(arguments)
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from features.errors import ConfigError
from jobs import command_line
from jobs.history.reader import History
from jobs.history.spec import HistorySpec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_history(to: argparse.ArgumentParser, source: str = "candles:1m") -> argparse._MutuallyExclusiveGroup:
    """Let the user say which history the job works on: lake, source, venue, symbols, period.

    Returns the group that names the lake, for jobs that take their data from elsewhere too.
    """
    lake = command_line.add_lake(to)
    to.add_argument(
        "--source",
        default=source,
        help=f"candles:1m, candles:1d …, trades (with quotes, by time), or stream (as recorded); {source}",
    )
    to.add_argument("--venue", help="only this venue")
    to.add_argument("--symbol", action="append", default=[], help="only this one; may be given several times")
    to.add_argument("--from", dest="start", metavar="TIME", help="event time, like 2026-11-21T10:00 (UTC)")
    to.add_argument("--to", dest="end", metavar="TIME", help="event time, exclusive")
    return lake


def spec_of(arguments: argparse.Namespace) -> HistorySpec:
    """The history that the user asked for. Raises ConfigError."""
    return HistorySpec(
        arguments.source,
        arguments.venue,
        tuple(arguments.symbol),
        time_ns(arguments.start, "--from"),
        time_ns(arguments.end, "--to"),
    )


def history_of(arguments: argparse.Namespace) -> History:
    """The history that the user asked for, in the lake that he named. Raises ConfigError."""
    return History(command_line.open_lake(arguments), spec_of(arguments))


def time_ns(text: str | None, where: str) -> int | None:
    """A time as people write it in ns since 1970 UTC, exact to the microsecond; None stays None."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time", where, "write it like 2026-11-21T10:00") from None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1_000
