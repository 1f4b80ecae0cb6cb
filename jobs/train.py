"""`python -m jobs.train`: train challengers on the history of a lake, and publish them.

For every symbol, or for all together with --pooled: the questions that a live engine would have asked, with
their answers, as rows; gradient boosted trees of XGBoost or LightGBM for the mean, the interval and the
direction; judged on the newest rows, which chose nothing. What is published is a version of the lake's
registry. It is in no slot yet: `jobs.promote` puts it into one. A run that was killed goes on where it was
when it is started again. docs/training.md says how to read the result.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cluster.errors import StoreError
from cluster.registry import Registry
from cluster.storage.objects import open_store
from features import durations
from features.errors import ConfigError, ModelRefused, TickcastError
from features.models.package import ModelPackage
from features.models.trees import LIBRARIES, XGBOOST
from jobs import command_line
from jobs.backtesting.arguments import add_rows, engine_for
from jobs.backtesting.ray_session import ray_session
from jobs.command_line import say
from jobs.history.arguments import add_history, history_of
from jobs.history.reader import History
from jobs.history.spec import STREAM
from jobs.politeness import be_polite
from jobs.training import on_ray
from jobs.training.data import RECORDED
from jobs.training.job import Made, Pair, TrainJob
from jobs.training.spec import HEADS, TrainSpec, parse_parameters

Unit = tuple[Pair, ...]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("train", __doc__ or "")
    add_history(made)
    _add_rows(made)
    _add_training(made)
    made.add_argument("--pooled", action="store_true", help="one model for all symbols together")
    made.add_argument("--again", action="store_true", help="train even what an equal run has published")
    made.add_argument("--dry-run", action="store_true", help="publish nothing")
    made.add_argument("--local", action="store_true", help="in this process, one model after the other")
    made.add_argument("--workers", type=int, metavar="N", help="models at a time on Ray; one a CPU")
    made.set_defaults(model=None)
    return made


def _add_rows(to: argparse.ArgumentParser) -> None:
    group = to.add_argument_group(
        "rows",
        'defaults fit the source; --config\'s are used where it sets them; --source "features" takes those'
        " that live engines wrote down",
    )
    add_rows(group)


def _add_training(to: argparse.ArgumentParser) -> None:
    usual = TrainSpec()
    group = to.add_argument_group("training")
    group.add_argument("--library", choices=LIBRARIES, default=XGBOOST)
    group.add_argument("--heads", default=",".join(HEADS), help="of mean, quantiles and up; all")
    group.add_argument("--coverage", type=float, metavar="SHARE", help="of the intervals, like 0.9")
    group.add_argument(
        "--valid-fraction",
        type=float,
        default=usual.valid_fraction,
        metavar="SHARE",
        help=f"of the time, at its end, half to stop and half to judge; {usual.valid_fraction}",
    )
    group.add_argument("--rounds", type=int, default=usual.rounds, help=f"at most; {usual.rounds}")
    group.add_argument(
        "--early-stop", type=int, default=usual.early_stop, metavar="ROUNDS", help=f"{usual.early_stop}"
    )
    group.add_argument("--embargo", metavar="TIME", help="left out between the parts, like 1h")
    group.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the library's own, like max_depth=4",
    )
    group.add_argument("--seed", type=int, default=usual.seed)
    group.add_argument("--threads", type=int, metavar="N", help="of one training; 1, with --pooled all CPUs")
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto: a GPU where the cluster has one",
    )


def run(arguments: argparse.Namespace, alone: bool = False) -> tuple[dict[str, Any], int]:
    """Train what was asked for; the result and the exit code.

    `alone`: this process does nothing else, and may be made to give way to all others.
    """
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"{arguments.workers} is below 1", "--workers")
    began = time.monotonic()
    job, history = _job(arguments)
    pairs = history.symbols()
    units: list[Unit] = [tuple(pairs)] if job.pooled else [(pair,) for pair in pairs]
    in_process = arguments.local or len(units) == 1
    if in_process and alone:
        be_polite(job.train.threads)
    registry = Registry(open_store(job.lake))
    with _where(arguments, in_process) as (where, device):
        job = replace(job, train=replace(job.train, device=device))
        data = job.data_of(history, pairs)
        keys = {unit: job.identity(unit, data) for unit in units}
        done = {} if arguments.again or arguments.dry_run else _published(registry, set(keys.values()))
        todo = [unit for unit in units if keys[unit] not in done]
        say(f"{len(units)} models to train with {job.train.library}, {len(units) - len(todo)} done; {where}")
        rows = [_row(unit, registry.manifest(done[keys[unit]])) for unit in units if keys[unit] in done]
        for unit, made in _made(job, todo, in_process, arguments.workers):
            rows.append(_publish(registry, unit, made, keys[unit], arguments.dry_run))
            say(_line(rows[-1]))
    rows.sort(key=lambda row: row["symbols"])
    result = _summary(rows, time.monotonic() - began)
    if not arguments.json:
        print(
            f"{result['published']} published, {result['skipped']} skipped, {result['failed']} failed "
            f"in {result['seconds']:.1f} s"
        )
    return result, 1 if result["failed"] else 0


def _job(arguments: argparse.Namespace) -> tuple[TrainJob, History]:
    """The job as asked for, and its history. Raises ConfigError."""
    recorded = arguments.source == RECORDED
    if recorded:
        arguments.source = STREAM
    history = history_of(arguments)
    engine = engine_for(arguments, history)
    threads = arguments.threads or ((os.cpu_count() or 1) if arguments.pooled else 1)
    spec = TrainSpec(
        library=arguments.library,
        heads=tuple(name.strip() for name in arguments.heads.split(",")),
        coverage=engine.coverage,
        valid_fraction=arguments.valid_fraction,
        rounds=arguments.rounds,
        early_stop=arguments.early_stop,
        embargo_ns=durations.parse_ns(arguments.embargo, "--embargo") if arguments.embargo else 0,
        parameters=parse_parameters(arguments.parameter),
        seed=arguments.seed,
        threads=threads,
    )
    lake = command_line.lake_spec(arguments)
    return TrainJob(lake, history.spec, recorded, engine, spec, arguments.pooled), history


@contextmanager
def _where(arguments: argparse.Namespace, in_process: bool) -> Iterator[tuple[str, str]]:
    """Where the models are trained, and on which device."""
    asked = arguments.device
    if in_process:
        yield "in this process", "cpu" if asked == "auto" else asked
        return
    with ray_session(arguments.workers) as where:
        able = arguments.library == XGBOOST and on_ray.has_gpu()
        yield where, ("cuda" if able else "cpu") if asked == "auto" else asked


def _made(
    job: TrainJob, units: list[Unit], in_process: bool, workers: int | None
) -> Iterator[tuple[Unit, Made | Exception]]:
    """What came of each unit. Raises what is wrong with the settings or the lake, and would be for all."""
    if in_process:
        for unit in units:
            yield unit, job.run(unit, say)
        return
    for unit, made in on_ray.run(job, units, workers):
        if isinstance(made, (ConfigError, StoreError)):
            raise made
        yield unit, made


def _published(registry: Registry, keys: set[str]) -> dict[str, int]:
    """Versions that equal trainings have published, by the identity of the training."""
    found = {}
    for version in registry.versions():
        try:
            key = registry.manifest(version).get("training")
        except ModelRefused:
            continue
        if key in keys:
            found[key] = version
    return found


def _publish(registry: Registry, unit: Unit, made: Made | Exception, key: str, dry: bool) -> dict[str, Any]:
    """Store what came of a training; its row of the result."""
    if isinstance(made, Exception):
        lines = [line for line in str(made).splitlines() if line.strip()] or [type(made).__name__]
        return _row(unit, {"failed": made.problem if isinstance(made, TickcastError) else lines[-1]})
    about = made.manifest | {"training": key, "created_ns": time.time_ns()}
    if made.package is not None and not dry:
        about["version"] = registry.publish(ModelPackage.from_bytes(made.package), about)
    return _row(unit, about)


def _row(unit: Unit, about: dict[str, Any]) -> dict[str, Any]:
    """One model as the result shows it."""
    names = (
        "version",
        "scope",
        "rows",
        "period",
        "package_digest",
        "training_set_digest",
        "metrics",
        "left_out",
    )
    found = {name: about[name] for name in (*names, "skipped", "failed") if name in about}
    return {"symbols": [f"{venue} {symbol}" for venue, symbol in unit], "version": None} | found


def _line(row: dict[str, Any]) -> str:
    names = row["symbols"]
    who = names[0] if len(names) == 1 else f"{len(names)} symbols together"
    for name in ("skipped", "failed"):
        if name in row:
            return f"{who}: {name}: {row[name]}"
    parts = [f"version {row['version']}" if row["version"] else "not published", f"{row['rows']:,} rows"]
    for horizon, one in row["metrics"].items():
        if "skipped" in one:
            parts.append(f"{horizon} skipped: {one['skipped']}")
            continue
        saved, low, high = (_percent(one["raw"][name]) for name in ("skill", "skill_low", "skill_high"))
        parts.append(
            f"{horizon} saves {saved} of naive's squared error ({low} to {high}), "
            f"trusted {one['slope']['trusted']:.0%}"
        )
    return f"{who}: {'; '.join(parts)}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:+.2%}"


def _summary(rows: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    return {
        "published": sum(row["version"] is not None for row in rows),
        "skipped": sum("skipped" in row for row in rows),
        "failed": sum("failed" in row for row in rows),
        "models": rows,
        "seconds": round(seconds, 3),
    }


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), functools.partial(run, alone=True)))
