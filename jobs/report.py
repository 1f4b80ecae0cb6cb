"""`python -m jobs.report`: a backtest, a sweep, or what was live in a period, as one HTML file.

With --backtest or --sweep the report of a finished run; without them that of what actors have stored: how
the forecasts did, scored again from their answers, and how whole the trades are. The file needs nothing but a
browser: no network, no server, nothing beside it. --png draws its charts as images, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from cluster.storage.lake import Lake
from features.errors import ConfigError
from jobs import command_line
from jobs.backtesting.result import Results, run_ids
from jobs.command_line import say
from jobs.history.arguments import time_ns
from jobs.reporting import images
from jobs.reporting.backtest_report import histories_of, report_of
from jobs.reporting.live_report import live_report
from jobs.reporting.page import Page
from jobs.reporting.sweep_report import sweep_report
from jobs.sweeping.results import SweepResults

_LIVE = ("trades", "bars", "answers", "continuity")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("report", __doc__ or "")
    command_line.add_lake(made)
    what = made.add_mutually_exclusive_group()
    what.add_argument("--backtest", metavar="RUN", help='the id of a backtest, or "last"')
    what.add_argument("--sweep", metavar="RUN", help="the id of a sweep")
    made.add_argument("--venue", help="only this venue")
    made.add_argument(
        "--symbol", action="append", default=[], help="only this one; may be given several times"
    )
    made.add_argument("--from", dest="start", metavar="TIME", help="event time, like 2026-11-21T10:00 (UTC)")
    made.add_argument("--to", dest="end", metavar="TIME", help="event time, exclusive")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the HTML file to write")
    made.add_argument("--png", type=Path, metavar="DIR", help="draw the charts here, with Debian's chromium")
    return made


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Write the report that was asked for; the result and the exit code."""
    began = time.monotonic()
    browser = images.find_browser() if arguments.png is not None else ""
    page = _page(arguments)
    size = page.write(arguments.out)
    drawn = images.write_images(arguments.out, arguments.png, browser) if browser else []
    seconds = round(time.monotonic() - began, 3)
    if not arguments.json:
        say(f"{arguments.out}: {page.lead} {size / 1e6:.1f} MB, {len(drawn)} images, {seconds:.1f} s")
    result = {
        "out": str(arguments.out),
        "title": page.title,
        "bytes": size,
        "sections": [one.identity for one in page.sections],
        "images": [str(one) for one in drawn],
        "seconds": seconds,
    }
    return result, 0


def _page(arguments: argparse.Namespace) -> Page:
    lake = command_line.open_lake(arguments)
    if arguments.backtest is None and arguments.sweep is None:
        start_ns, end_ns = time_ns(arguments.start, "--from"), time_ns(arguments.end, "--to")
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise ConfigError("the period ends before it begins", "--from/--to", "give an earlier --from")
        return live_report(lake, _chosen(lake, arguments.venue, arguments.symbol), start_ns, end_ns)
    for option, value in (("venue", "venue"), ("symbol", "symbol"), ("from", "start"), ("to", "end")):
        if getattr(arguments, value):
            raise ConfigError(
                "a run is shown whole", f"--{option}", "leave --venue, --symbol, --from and --to out"
            )
    if arguments.sweep is not None:
        return sweep_report(SweepResults(lake.store, arguments.sweep))
    results = Results(lake.store, _run_id(lake, arguments.backtest))
    manifest = results.manifest()
    return report_of(results, manifest, histories=histories_of(lake, manifest))


def _run_id(lake: Lake, text: str) -> str:
    if text != "last":
        return text
    known = run_ids(lake.store)
    if not known:
        raise ConfigError("there is no finished backtest", lake.store.uri, "run jobs.backtest first")
    return known[-1]


def _chosen(lake: Lake, venue: str | None, symbols: list[str]) -> list[tuple[str, str]]:
    known = sorted(pair for pair in lake.symbols(_LIVE) if venue in (None, pair[0]))
    missing = sorted(set(symbols) - {symbol for _, symbol in known})
    if missing or not known:
        names = ", ".join(symbol for _, symbol in known[:20])
        raise ConfigError(
            f"{', '.join(missing) + ' is not' if missing else 'no symbol is'} in this lake",
            lake.store.uri,
            f"there are: {names or 'none'}",
        )
    return [pair for pair in known if not symbols or pair[1] in symbols]


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
