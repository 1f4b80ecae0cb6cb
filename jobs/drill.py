"""`python -m jobs.drill`: let everything go wrong, and prove that nothing was lost.

Starts a Tickcast of its own on a local exchange that plays a tape, with a real S3 server where rclone is
installed. Kills actors and the supervisor, cuts sockets, drops, doubles, swaps and spoils messages, takes
the store and the exchange away. At the end the lake must hold exactly what was published, every engine
must be in the state of a run that was never interrupted, and the continuity reports must say what was done.
Touches nothing but what it has started, on loopback.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from features.errors import ConfigError
from jobs import command_line, drill_checks
from jobs.drill_checks import Check
from jobs.drill_faults import FaultHand, Injected
from jobs.drill_plan import DrillKind, DrillSpec, PlannedFault, plan
from jobs.drill_run import DrillRun, running
from jobs.s3_server import rclone

_START_LIMIT_S = 90.0
_RECOVERY_LIMIT_S = 90.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault, and how long it took until all was as before."""

    injected: Injected
    recovery_s: float

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return {**self.injected.as_json(), "recovery_s": round(self.recovery_s, 3)}


def drill(spec: DrillSpec, folder: Path, say: Say) -> dict[str, Any]:
    """Run one drill; what happened and what was found, as plain values."""
    planned = plan(spec)
    with running(spec, folder, say) as run:
        run.until("every symbol has a forecast", lambda: _all_known(run), _START_LIMIT_S)
        struck = _strike(run, planned, say)
        say("waiting for the end of the tape")
        run.until("the tape is at its end", run.finished, spec.seconds + _RECOVERY_LIMIT_S)
        last = run.published()
        for symbol in spec.symbols:
            run.until(f"{symbol} has all", lambda: _reach(run, symbol) >= last[symbol], _RECOVERY_LIMIT_S)  # noqa: B023
        digests = {symbol: run.ask(f"symbol:{symbol}", "digest") for symbol in spec.symbols}
        reports = {symbol: run.ask(f"symbol:{symbol}", "continuity") for symbol in spec.symbols}
        config, store = run.config, run.store
    # Tickcast has ended and its lake is complete. The S3 server has ended with it: it is started once more.
    if store is not None:
        store.start()
    try:
        checks = _check(run, Lake(open_store(config.lake_spec())), digests, reports, struck, say)
    finally:
        if store is not None:
            store.kill()
    return _result(spec, struck, checks, reports)


def _strike(run: DrillRun, planned: list[PlannedFault], say: Say) -> list[Struck]:
    struck = []
    with FaultHand(run, run.exchange, run.store) as hand:
        for number, fault in enumerate(planned, start=1):
            injected = hand.carry_out(fault)
            recovery_s = _recovery_s(run, injected)
            struck.append(Struck(injected, recovery_s))
            what = f"{fault.kind.value} {fault.symbol}".strip()
            say(f"{number}/{len(planned)} {what}: as before after {recovery_s:.2f} s")
        hand.finish()
    return struck


def _recovery_s(run: DrillRun, injected: Injected) -> float:
    """Wait until the symbols concerned know what was published after the fault; the time since then.

    For an actor that was killed that is a fresh forecast from the API; for messages, that the stream has
    gone on past them.
    """
    symbols = (injected.symbol,) if injected.symbol else run.spec.symbols
    goal = run.published()
    for symbol in symbols:
        known = run.newest_known if injected.kind is DrillKind.KILL_ACTOR else lambda s: _reach(run, s)
        wanted = min(goal[symbol], _last_on_tape(run, symbol))
        run.until(
            f"{symbol} goes on after {injected.kind.value}",
            lambda: known(symbol) >= wanted,  # noqa: B023
            _RECOVERY_LIMIT_S,
        )
    if injected.kind is DrillKind.KILL_SUPERVISOR:
        run.until("a supervisor", run.supervisor_pid, _RECOVERY_LIMIT_S)
    return time.time() - injected.when_ns / 1e9


def _reach(run: DrillRun, symbol: str) -> int:
    """Id of the newest trade that the actor of a symbol has taken in with all before it; -1 without one."""
    report: dict[str, Any] | None = run.ask(f"symbol:{symbol}", "continuity")
    if not report or "continuity" not in report:
        return -1
    return int(report["continuity"]["last_id"])


def _last_on_tape(run: DrillRun, symbol: str) -> int:
    """A forecast knows the trades up to its bar's end: the last ones on a tape are in none."""
    return int(drill_checks.published_trades(run.tape, symbol).num_rows - 2 * run.spec.rate)


def _all_known(run: DrillRun) -> bool:
    return all(run.newest_known(symbol) >= 0 for symbol in run.spec.symbols)


def _check(
    run: DrillRun,
    lake: Lake,
    digests: dict[str, Any],
    reports: dict[str, Any],
    struck: list[Struck],
    say: Say,
) -> list[Check]:
    venue, injected = run.config.venue.name, [one.injected for one in struck]
    checks = []
    for symbol in run.spec.symbols:
        say(f"checking {symbol}")
        published = drill_checks.published_trades(run.tape, symbol)
        report = reports[symbol]["continuity"]
        checks.append(drill_checks.check_lake(lake, venue, symbol, published))
        checks.append(drill_checks.check_digest(run.config.engine_spec(symbol), digests[symbol], published))
        checks += drill_checks.check_continuity(lake, venue, symbol, report, injected)
        checks.append(drill_checks.check_parity(lake, venue, symbol))
    return checks


def _result(
    spec: DrillSpec, struck: list[Struck], checks: list[Check], reports: dict[str, Any]
) -> dict[str, Any]:
    times: dict[str, list[float]] = {}
    for one in struck:
        times.setdefault(one.injected.kind.value, []).append(one.recovery_s)
    return {
        "passed": all(check.passed for check in checks),
        "seed": spec.seed,
        "store": spec.store,
        "symbols": list(spec.symbols),
        "faults": [one.as_dict() for one in struck],
        "recovery_s": {
            kind: {
                "count": len(all_s),
                "median": round(statistics.median(all_s), 3),
                "worst": round(max(all_s), 3),
            }
            for kind, all_s in times.items()
        },
        "checks": [check.as_dict() for check in checks],
        "continuity": {symbol: report["continuity"] for symbol, report in reports.items()},
    }


def _show(result: dict[str, Any]) -> None:
    print(f"{'fault':20}{'count':>6}{'median s':>10}{'worst s':>10}")
    for kind, one in result["recovery_s"].items():
        print(f"{kind:20}{one['count']:>6}{one['median']:>10.2f}{one['worst']:>10.2f}")
    for check in result["checks"]:
        mark = "ok    " if check["passed"] else "FAILED"
        print(f"{mark} {check['symbol']:8} {check['what']:12} {check['detail']}")
    print("passed" if result["passed"] else "FAILED")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    one = command_line.parser("drill", __doc__ or "")
    one.add_argument("--symbols", type=int, default=4, help="how many (4)")
    one.add_argument("--faults", type=int, default=24, help="how many (24)")
    one.add_argument("--seconds", type=float, default=120.0, help="length of the tape (120)")
    one.add_argument("--rate", type=float, default=50.0, help="trades a second and symbol (50)")
    one.add_argument("--seed", type=int, default=0, help="of the market and the faults (0)")
    one.add_argument("--store", choices=("s3", "folder"), help="s3 needs rclone (s3 where it is installed)")
    one.add_argument("--keep", type=Path, metavar="FOLDER", help="work here and leave everything behind")
    return one


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The drill as the command line asks for it: its result and the exit code."""
    spec = DrillSpec(
        symbols=tuple(f"DRILL{number}" for number in range(1, arguments.symbols + 1)),
        seed=arguments.seed,
        faults=arguments.faults,
        seconds=arguments.seconds,
        rate=arguments.rate,
        store=arguments.store or ("s3" if rclone() else "folder"),
    )
    with tempfile.TemporaryDirectory(prefix="tickcast-drill-") as temporary:
        folder = arguments.keep or Path(temporary)
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError("is not empty", f"--keep {folder}", "name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        result = drill(spec, folder, command_line.say)
    if not arguments.json:
        _show(result)
    return result, 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
