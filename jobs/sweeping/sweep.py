"""A whole sweep: data, trials, verdict. What runs them, and where, is a `Runner`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from features.errors import DataError
from jobs.code_version import code_version
from jobs.sweeping import verdict
from jobs.sweeping.data import Pair, Spent
from jobs.sweeping.job import SweepJob
from jobs.sweeping.search import FAILED, FINISHED, STOPPED, Row, Search
from jobs.sweeping.settings import Periods, periods_of
from jobs.sweeping.trial_spec import TrialSpec

Say = Callable[[str], None]


class Runner(Protocol):
    """Where the work is done."""

    def each(self, work: str, pairs: Sequence[Pair], *arguments: Any) -> Iterator[tuple[Pair, Any]]:
        """What a method of the job says of every symbol, in the order of the symbols."""

    def trials(self, pairs: list[Pair], periods: Periods, search: Search, seconds: float | None) -> None:
        """Run the trials of a search; with `seconds` none is begun later."""


@dataclass(frozen=True)
class Prepared:
    """What the trials work on."""

    pairs: list[Pair]
    left_out: dict[str, str]
    """Symbols that can't be used, and why."""
    periods: Periods
    spent: Spent
    seconds: float


def prepare(job: SweepJob, runner: Runner, pairs: Sequence[Pair]) -> Prepared:
    """Compute what the trials share. Raises DataError where no symbol can be used, and ConfigError."""
    began = time.perf_counter()
    spent, left_out, spans = Spent(), {}, {}
    for pair, (span, problem, cost) in runner.each("span", pairs):
        spent.add(cost)
        if problem:
            left_out[" ".join(pair)] = problem
        else:
            spans[pair] = span
    _some(spans, left_out)
    first_ns = min(first for first, _ in spans.values())
    periods = periods_of(job.settings, first_ns, max(last for _, last in spans.values()))
    usable = []
    for pair, (problem, cost) in runner.each("prepare", list(spans), periods.holdout_ns):
        spent.add(cost)
        if problem:
            left_out[" ".join(pair)] = problem
        else:
            usable.append(pair)
    _some(usable, left_out)
    return Prepared(usable, left_out, periods, spent, time.perf_counter() - began)


def _some(usable: Any, left_out: Mapping[str, str]) -> None:
    if not usable:
        name, why = next(iter(left_out.items()))
        raise DataError(f"no symbol can be used; {name}: {why}", "sweep", "choose another period or source")


def run(
    job: SweepJob,
    runner: Runner,
    pairs: Sequence[Pair],
    report: Callable[[Row, Row | None], None],
    say: Say,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Run a sweep to its end, going on from what is there; its manifest, which is written last.

    `report` is told each new row, and the best so far.
    """
    began = time.perf_counter()
    results = job.open_results()
    prepared = prepare(job, runner, pairs)
    say(_prepared(prepared))
    known, died = results.rows(), list[Row]()
    if known:
        say(f"{len(known)} trials were over before: they are not run again")

    def keep(row: Row) -> None:
        if row.get("again"):
            died.append(row)
        else:
            results.put_row(row)
        report(row, verdict.winner_of(search.rows | {row["number"]: row}))

    search = Search(job.settings, len(prepared.periods.folds), known, keep)
    runner.trials(prepared.pairs, prepared.periods, search, seconds)
    manifest = _manifest(job, prepared, search.rows) | _verdict(job, prepared, search.rows, say)
    results.put_table(search.rows.values())
    manifest |= {"seconds": time.perf_counter() - began, "published": None}
    # A sweep without a winner is not whole, and until it is, a new start tries again what has died.
    if manifest["winner"] is not None:
        for row in died:
            results.put_row(row)
        results.finish(manifest)
    return manifest


def _prepared(prepared: Prepared) -> str:
    spent = prepared.spent
    return (
        f"data of {len(prepared.pairs)} symbols in {prepared.seconds:.1f} s: read {spent.read_s:.1f} s, "
        f"features and labels {spent.features_s:.1f} s; {spent.computed} arrays computed, "
        f"{spent.found} were there"
    )


def _verdict(job: SweepJob, prepared: Prepared, rows: Mapping[int, Row], say: Say) -> dict[str, Any]:
    winner = verdict.winner_of(rows)
    if winner is None:
        failed = [row["problem"] for row in rows.values() if row["status"] == FAILED]
        why = f"no trial went through all folds; {failed[0]}" if failed else "no trial went through all folds"
        return {"winner": None, "why_no_winner": why, "luck": None, "holdout": None, "next": ""}
    holdout = verdict.look_once(job, prepared.pairs, prepared.periods, winner, say)
    short = {name: value for name, value in winner.items() if not name.startswith("returns")}
    return {
        "winner": short,
        "why_no_winner": "",
        "luck": verdict.luck_of(rows, winner),
        "holdout": holdout,
        "next": _next(TrialSpec.from_dict(winner["spec"])),
    }


def _next(spec: TrialSpec) -> str:
    """What to do with the winner."""
    if spec.is_batch:
        return ""
    return (
        f"an online learner: in the configuration write bars {spec.sampling}, horizons [{spec.horizon}], "
        f"models [naive, {spec.model}] and its features"
    )


def _manifest(job: SweepJob, prepared: Prepared, rows: Mapping[int, Row]) -> dict[str, Any]:
    status = [row["status"] for row in rows.values()]
    split = {"data": prepared.spent.read_s + prepared.spent.features_s, "learn": 0.0, "score": 0.0}
    for row in rows.values():
        for name, value in row.get("seconds", {}).items():
            split[name] += value
    return {
        "run_id": job.run_id,
        "settings": job.settings.as_dict(),
        "history": asdict(job.history),
        "data": dict(job.digests),
        "code_version": code_version(),
        "periods": asdict(prepared.periods),
        "symbols": [list(pair) for pair in prepared.pairs],
        "left_out": prepared.left_out,
        "counts": {
            "asked": job.settings.trials,
            "trials": len(rows),
            "finished": status.count(FINISHED),
            "stopped": status.count(STOPPED),
            "failed": status.count(FAILED),
        },
        "split": split,
        "data_seconds": {"read": prepared.spent.read_s, "features": prepared.spent.features_s},
        "created_at_ns": time.time_ns(),
    }
