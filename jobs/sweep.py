"""`python -m jobs.sweep`: search for what forecasts best, on Ray Tune, and look once at what was held out.

Tries features, sampling, horizons, models, their parameters and trading rules. Bars, features and labels are
computed once for each that differs and shared by all trials. A trial is a whole walk-forward evaluation;
Optuna suggests them in rounds, the worse are stopped after some folds. The best is trained on all before the
held-out period and scored there exactly once; how much of it is luck is said beside it. The result goes to
the lake under sweeps/<run id>/. A sweep that was killed goes on where it was when it is started again; one
that is finished is shown again. docs/sweeps.md says how to read it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.registry import Registry
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import durations
from features.models.package import ModelPackage
from features.trading.spec import TradingSpec
from features.walk_forward import WalkForwardSpec
from jobs import command_line
from jobs.backtesting.job import data_digests
from jobs.backtesting.ray_session import ray_session
from jobs.code_version import code_version
from jobs.command_line import say
from jobs.history.arguments import add_history, history_of
from jobs.history.spec import HistorySpec
from jobs.politeness import be_polite
from jobs.sweeping import sweep, tables
from jobs.sweeping.data import Pair
from jobs.sweeping.defaults import default_space
from jobs.sweeping.in_process import InProcess
from jobs.sweeping.job import SweepJob
from jobs.sweeping.results import SweepResults
from jobs.sweeping.search import Row
from jobs.sweeping.settings import OBJECTIVES, SweepSettings
from jobs.sweeping.space import Space, load, parse_space
from jobs.sweeping.trial_spec import TrialSpec

_FILE_WIDTH = 150


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("sweep", __doc__ or "")
    add_history(made)
    made.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="FILE|KEY=VALUES",
        help='a YAML file, or like "model=choice(ridge, lightgbm)", "ridge.penalty=loguniform(1, 1000)", '
        '"horizon=5m"; may be given several times',
    )
    made.add_argument("--trials", type=int, default=50, metavar="N")
    made.add_argument("--seed", type=int, default=0, metavar="S")
    made.add_argument(
        "--round", type=int, default=10, metavar="N", help="trials suggested at once; as many run at a time"
    )
    made.add_argument("--folds", type=int, default=4, metavar="N", help="over the second half of the time")
    made.add_argument(
        "--walk-forward", metavar="SPEC", help='instead of --folds, like "train:20d,test:5d,rolling"'
    )
    made.add_argument("--embargo", default="", help="after the labels of training; the longest horizon")
    made.add_argument("--holdout", default="0.2", help="period at the end, like 14d, or a share; 0.2")
    made.add_argument(
        "--objective", choices=OBJECTIVES, default="skill", help="against naive, or of the rule"
    )
    made.add_argument("--trading", default="", metavar="SETTINGS", help='like "fee_bps=5,latency_bars=1"')
    made.add_argument("--max-concurrent", type=int, metavar="N", help="trials at a time")
    made.add_argument("--time-budget", metavar="TIME", help="begin no trial later than this, like 30m")
    made.add_argument("--out", type=Path, metavar="DIR", help="keep results and shared data in this folder")
    made.add_argument("--cache", type=Path, metavar="DIR", help="copies of shared data where the lake is S3")
    made.add_argument("--local", action="store_true", help="in this process, one trial after the other")
    made.add_argument(
        "--again", action="store_true", help="run the trials of an equal sweep anew; the look stays one"
    )
    made.add_argument("--report", type=Path, metavar="FILE", help="write the trials as an HTML page")
    made.add_argument("--publish", action="store_true", help="give the winner's model to the registry")
    return made


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Run the sweep that was asked for; the result, and 1 where no trial went through."""
    job, pairs = _job(arguments)
    results = job.open_results()
    results.store.prepare()
    if arguments.again:
        results.forget()
    manifest = results.finished()
    if manifest is None:
        say(f"sweep {job.run_id}: {job.settings.trials} trials, {len(pairs)} symbols")
        manifest = _swept(job, pairs, arguments)
    else:
        say(f"sweep {job.run_id}: done before; --again runs it anew")
    if arguments.publish and manifest["published"] is None:
        manifest = _published(job, results, manifest)
    if arguments.report is not None:
        from jobs.sweeping.report import write_report

        size = write_report(manifest, results.rows(), arguments.report)
        say(f"{arguments.report}: {size / 1e6:.1f} MB")
    if not arguments.json:
        console = Console()
        tables.show(console if console.is_terminal else Console(width=_FILE_WIDTH), manifest, results.rows())
        print(results.where)
    return {"where": results.where} | manifest, 0 if manifest["winner"] else 1


def settings_of(arguments: argparse.Namespace, history: HistorySpec) -> SweepSettings:
    """The settings that the user gave. Raises ConfigError."""
    walk = arguments.walk_forward
    return SweepSettings(
        space=_space(arguments.space, history),
        trials=arguments.trials,
        seed=arguments.seed,
        round_trials=arguments.round,
        folds=arguments.folds,
        walk_forward=None if walk is None else WalkForwardSpec.parse(walk),
        embargo=arguments.embargo,
        holdout=arguments.holdout,
        objective=arguments.objective,
        trading=TradingSpec.parse(arguments.trading),
    )


def _space(given: list[str], history: HistorySpec) -> Space:
    """The search space of one file at most, and of words."""
    words = [text for text in given if "=" in text]
    files = [Path(text) for text in given if "=" not in text]
    raw: dict[str, Any] = {}
    for file in files:
        raw |= load(file)
    return parse_space(raw, words, default_space(history))


def _job(arguments: argparse.Namespace) -> tuple[SweepJob, list[Pair]]:
    """The job and its symbols. Raises ConfigError."""
    history = history_of(arguments)
    settings = settings_of(arguments, history.spec)
    pairs = history.symbols()
    digests = data_digests(history, pairs)
    lake = command_line.lake_spec(arguments)
    place = lake if arguments.out is None else StoreSpec(uri=str(arguments.out.absolute()))
    code = code_version("features", "jobs/sweeping", "jobs/training", "jobs/history")
    identity = settings.run_id(asdict(history.spec) | {"code": code}, digests)
    job = SweepJob(lake, place, arguments.cache, history.spec, settings, digests, identity)
    return job, pairs


def _swept(job: SweepJob, pairs: list[Pair], arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the sweep, on Ray unless the user wants it here."""
    budget = arguments.time_budget
    seconds = None if budget is None else durations.parse_ns(budget, "--time-budget") / 1e9

    def report(row: Row, best: Row | None) -> None:
        say(tables.line_of(row, job.settings.trials, best))

    # Before Ray: what it starts here makes way as well.
    be_polite()
    if arguments.local:
        return sweep.run(job, InProcess(job), pairs, report, say, seconds)
    with ray_session(arguments.max_concurrent) as where:
        from jobs.sweeping.on_tune import OnTune, concurrency

        at_once = concurrency(arguments.max_concurrent, is_own=where.endswith("local Ray"))
        say(f"{where}, {at_once} trials at a time")
        return sweep.run(job, OnTune(job, at_once), pairs, report, say, seconds)


def _published(job: SweepJob, results: SweepResults, manifest: dict[str, Any]) -> dict[str, Any]:
    """Give the winner's model to the registry of the lake, as nobody's champion."""
    data = results.package()
    if data is None:
        say("there is no model to publish: the winner is an online learner, or there is none")
        return manifest
    package, spec = ModelPackage.from_bytes(data), TrialSpec.from_dict(manifest["winner"]["spec"])
    about = {
        "made_by": "jobs.sweep",
        "sweep": job.run_id,
        "trial": manifest["winner"]["number"],
        "library": spec.model,
        "parameters": spec.train_spec().all_parameters(),
        "train": spec.as_dict(),
        "scope": "pooled",
        "symbols": manifest["symbols"],
        "source": job.history.source,
        "features": list(spec.features),
        "bars": asdict(spec.bars),
        "trained_until_ns": manifest["periods"]["holdout_ns"],
        "package_digest": package.digest,
        "luck": manifest["luck"],
        "holdout": manifest["holdout"],
        "code_version": manifest["code_version"],
    }
    version = Registry(open_store(job.lake)).publish(package, about)
    manifest = manifest | {"published": version}
    results.finish(manifest)
    return manifest


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
