"""`python -m jobs.backtest`: replay history through the live engine, and trade on what it says.

Every symbol goes from its first bar to its last through the engine that runs live: features, forecasts,
answers, learning from each, in that order. Rules turn what is known at the end of a bar into positions;
accounts fill them from the next bar on and pay for it. Forecasts are scored beside naive. The result goes to
the lake under backtests/<run id>/. A run that was killed goes on where it was when it is started again; one
that is finished is shown again. docs/backtesting.md says how to read it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError
from features.forecaster import MIXTURE
from jobs import command_line
from jobs.backtesting import on_ray, tables
from jobs.backtesting.arguments import add_engine, add_trading, settings_of
from jobs.backtesting.data_files import lake_of
from jobs.backtesting.job import BacktestJob, data_digests
from jobs.backtesting.ray_session import ray_session
from jobs.backtesting.result import Manifest, Results, SymbolResult, plain
from jobs.backtesting.settings import run_id
from jobs.backtesting.summary import summarise
from jobs.code_version import code_version
from jobs.command_line import say
from jobs.history.arguments import add_history, history_of
from jobs.politeness import be_polite
from jobs.reporting.backtest_report import histories_of, report_of

Pair = tuple[str, str]
_FILE_WIDTH = 140
_OUT = Path(".tickcast/backtests")
"""Where results go that have no lake."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("backtest", __doc__ or "")
    lake = add_history(made)
    lake.add_argument(
        "--data",
        action="append",
        type=Path,
        metavar="FILE",
        help="Parquet or CSV, no lake; several times",
    )
    add_engine(made)
    add_trading(made)
    made.add_argument(
        "--trials", type=int, metavar="N", help="variants tried to find these rules, if more than are given"
    )
    made.add_argument("--out", type=Path, metavar="DIR", help="keep the result in this folder")
    made.add_argument(
        "--report", type=Path, metavar="FILE", help="write an HTML report, too: docs/reports.md"
    )
    made.add_argument("--again", action="store_true", help="forget what an equal run has done before")
    made.add_argument("--local", action="store_true", help="in this process, one symbol after the other")
    made.add_argument("--workers", type=int, metavar="N", help="symbols at a time on Ray; one a CPU")
    return made


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Run the backtest that was asked for; the result and the exit code."""
    for name in ("workers", "trials"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise ConfigError(f"{getattr(arguments, name)} is below 1", f"--{name}")
    if arguments.data is None:
        return _run(arguments)
    with lake_of(arguments.data, arguments.venue) as (place, source):
        arguments.lake, arguments.source = place.uri, source
        arguments.out = arguments.out or _OUT
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    began = time.monotonic()
    job, pairs, data = _job(arguments)
    results = job.open_results()
    results.store.prepare()
    if arguments.again:
        results.forget()
    manifest = results.finished()
    if manifest is None:
        say(f"run {job.run_id}: {len(pairs)} symbols, {len(job.settings.rules)} rules")
        symbols = sorted(_symbols(job, pairs, arguments), key=lambda one: (one.venue, one.symbol))
        manifest = _manifest(job, symbols, data, arguments.trials, time.monotonic() - began)
        # A run with symbols that failed is not whole: the next start tries them again.
        if not manifest.summary["failed"]:
            results.put_manifest(manifest)
    else:
        say(f"run {job.run_id}: done before; --again runs it anew")
    if not arguments.json:
        console = Console()
        tables.show(console if console.is_terminal else Console(width=_FILE_WIDTH), manifest)
        print(f"{results.where}: {manifest.summary['bars']:,} bars in {manifest.seconds:.1f} s")
    if arguments.report is not None:
        histories = histories_of(command_line.open_lake(arguments), manifest)
        report_of(results, manifest, histories=histories).write(arguments.report)
    return _plain(manifest, results), 1 if manifest.summary["failed"] else 0


def _job(arguments: argparse.Namespace) -> tuple[BacktestJob, list[Pair], dict[str, str]]:
    """The job, its symbols, and the identity of their data. Raises ConfigError."""
    history = history_of(arguments)
    settings = settings_of(arguments, history)
    pairs = history.symbols()
    data = data_digests(history, pairs)
    lake = command_line.lake_spec(arguments)
    place = lake if arguments.out is None else StoreSpec(uri=str(arguments.out.absolute()))
    more = {
        "trials": arguments.trials,
        "code": code_version("features", "jobs/backtesting", "jobs/history", "jobs/training"),
    }
    identity = run_id(settings, asdict(history.spec) | more, data)
    return BacktestJob(lake, place, history.spec, settings, identity), pairs, data


def _symbols(job: BacktestJob, pairs: list[Pair], arguments: argparse.Namespace) -> Iterator[SymbolResult]:
    """The symbols' results as they are finished; on Ray where there are several and nobody objects."""
    if arguments.local or len(pairs) == 1:
        be_polite()
        for venue, symbol in pairs:
            yield job.run(venue, symbol, say)
        return
    with ray_session(arguments.workers, own=arguments.data is not None) as where:
        say(f"{where}, a symbol a task")
        for done, result in enumerate(on_ray.run(job, pairs, arguments.workers), 1):
            say(f"{done} of {len(pairs)} symbols: {result.symbol}, {result.bars:,} bars")
            yield result


def _manifest(
    job: BacktestJob,
    symbols: list[SymbolResult],
    data: dict[str, str],
    trials: int | None,
    seconds: float,
) -> Manifest:
    settings = job.settings
    results = job.open_results()
    fed = [one for one in symbols if one.bars]
    tried = max(trials or 0, len(settings.rules))
    return Manifest(
        run_id=job.run_id,
        settings=settings.as_dict() | {"history": asdict(job.history)},
        digests=settings.digests() | {"data": run_id(settings, {}, data)},
        code_version=code_version(),
        start_ns=min((one.first_ns for one in fed), default=0),
        end_ns=max((one.last_ns for one in fed), default=0),
        rules=settings.rules,
        trials=tried,
        symbols=tuple(symbols),
        summary=summarise(results, settings, symbols, tried),
        seconds=seconds,
        created_at_ns=time.time_ns(),
    )


def _plain(manifest: Manifest, results: Results) -> dict[str, Any]:
    """The result for machines: the manifest, without the scores of single learners."""
    values = plain(asdict(manifest))
    for symbol in values["symbols"]:
        symbol["scores"] = [score for score in symbol["scores"] if score["model"] == MIXTURE]
    found: dict[str, Any] = {"where": results.where} | values
    return found


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
