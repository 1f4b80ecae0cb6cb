"""`python -m jobs.promote`: put a trained model into shadow, make it champion, or go back.

A model that `jobs.train` has published is put into a challenger's slot first: with --shadow it is asked and
scored on the live ledger beside everything else, and never heard. Without a further option a challenger is
promoted if it passes the gate: better than the champion beyond chance (than naive, where there is none), on
the live ledger or on a stated period of the lake. --force skips the gate, --rollback makes the champion
before the present one champion again. Running actors follow within seconds, without losing a tick or a
forecast; --wait waits until the lake shows it. Exit code 1 when a symbol was refused, with the numbers.

    python -m jobs.promote --lake LAKE --all --latest --shadow
    python -m jobs.promote --lake LAKE --all                      # the gate, on the live ledger
    python -m jobs.promote --lake LAKE --symbol BTCUSDT --rollback
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from cluster import config
from cluster.registry import Pointer, Registry
from cluster.storage.lake import Lake
from features.engine import EngineSpec
from features.errors import ConfigError, TickcastError
from jobs import command_line
from jobs.command_line import say
from jobs.history.arguments import time_ns
from jobs.history.spec import STREAM, HistorySpec
from jobs.promotion import evidence
from jobs.promotion.change import Change, Desk
from jobs.promotion.gate import GateSpec, Judgement

_WAIT_S = 180.0
_LOOK_EVERY_S = 2.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_line.parser("promote", __doc__ or "")
    command_line.add_lake(made)
    made.add_argument("--venue", help="the venue, where the lake has several")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--symbol", action="append", default=[], help="may be given several times")
    which.add_argument(
        "--all", action="store_true", help="all symbols of the config, or with an actor in the lake"
    )
    model = made.add_mutually_exclusive_group()
    model.add_argument("--version", type=int, help="the model; without it, the challenger that is in shadow")
    model.add_argument("--latest", action="store_true", help="the newest model of the registry")
    act = made.add_mutually_exclusive_group()
    act.add_argument("--shadow", action="store_true", help="into a challenger's slot")
    act.add_argument("--force", action="store_true", help="make it champion without the gate")
    act.add_argument("--rollback", action="store_true", help="back to the champion before")
    act.add_argument("--clear", action="store_true", help="empty the slot")
    act.add_argument("--status", action="store_true", help="show pointers, slots and duels")
    act.add_argument(
        "--prune", type=int, metavar="KEEP", help="remove models never used, but for the newest KEEP"
    )
    made.add_argument("--slot", type=int, help="the slot for --shadow (1) and --clear (0, the champion's)")
    made.add_argument(
        "--gate", choices=("ledger", "period"), default="ledger", help="where the numbers are from"
    )
    made.add_argument(
        "--source", default=STREAM, help=f"of the period: candles:1m …, trades or stream ({STREAM})"
    )
    made.add_argument(
        "--from", dest="start", metavar="TIME", help="of the period: like 2026-11-21T10:00 (UTC)"
    )
    made.add_argument("--to", dest="end", metavar="TIME", help="of the period: exclusive")
    made.add_argument("--level", type=float, default=0.05, help="chance to pass without being better (0.05)")
    made.add_argument("--min-answers", type=int, default=500, help="at every horizon (500)")
    made.add_argument(
        "--wait",
        type=float,
        nargs="?",
        const=_WAIT_S,
        metavar="SECONDS",
        help=f"until the lake shows that the actors have swapped ({_WAIT_S:g})",
    )
    return made


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Do what was asked for every symbol; the result and the exit code."""
    lake = command_line.open_lake(arguments)
    registry = Registry(lake.store)
    began = time.monotonic()
    if arguments.prune is not None:
        gone = registry.prune(arguments.prune)
        say(f"removed {len(gone)} models: {', '.join(map(str, gone)) or 'none'}")
        return {"pruned": gone}, 0
    desk = Desk(lake, registry, GateSpec(arguments.level, arguments.min_answers))
    done = []
    for venue, symbol in _symbols(arguments, lake):
        done.append(_one(arguments, desk, venue, symbol))
        say(str(done[-1]))
    if arguments.wait is not None:
        _wait(lake, [one for one in done if one.wanted is not None], arguments.wait)
    result = {
        "symbols": [one.as_dict() for one in done],
        "changed": sum(one.changed for one in done),
        "refused": sum(one.refused for one in done),
        "waiting": sum(one.waiting for one in done),
        "seconds": round(time.monotonic() - began, 3),
    }
    return result, 1 if result["refused"] or result["waiting"] else 0


def _one(arguments: argparse.Namespace, desk: Desk, venue: str, symbol: str) -> Change:
    """Do what was asked for one symbol; a fault of one does not keep the others."""
    try:
        now = desk.registry.pointer(venue, symbol)
        spec = _spec(arguments, desk.lake, venue, symbol)
        if arguments.status:
            return desk.status(venue, symbol)
        if arguments.rollback:
            return desk.rollback(venue, symbol, now)
        if arguments.clear:
            return desk.clear(venue, symbol, now, arguments.slot or 0)
        version = _version(arguments, desk.registry, now)
        if arguments.shadow:
            return desk.shadow(
                venue, symbol, now, 1 if arguments.slot is None else arguments.slot, version, spec
            )
        judgement = None if arguments.force else _judge(arguments, desk, venue, symbol, now, version, spec)
        return desk.promote(venue, symbol, now, version, spec, judgement)
    except ConfigError:
        raise  # the command itself is wrong
    except TickcastError as error:
        return Change(venue, symbol, "failed", reason=str(error))


def _judge(
    arguments: argparse.Namespace,
    desk: Desk,
    venue: str,
    symbol: str,
    now: Pointer,
    version: int,
    spec: EngineSpec | None,
) -> Judgement:
    if arguments.gate == "ledger":
        return evidence.on_the_ledger(desk.lake, venue, symbol, version, now.champion, desk.gate)
    if spec is None:
        raise ConfigError(f"no actor of {symbol} has run yet", "--gate period", "give --config FILE")
    start_ns, end_ns = time_ns(arguments.start, "--from"), time_ns(arguments.end, "--to")
    if start_ns is None or end_ns is None:
        raise ConfigError("the period is not stated", "--gate period", "give --from and --to")
    history = HistorySpec(arguments.source, venue, (symbol,), start_ns, end_ns)
    return evidence.on_a_period(desk.lake, desk.registry, history, spec, version, now.champion, desk.gate)


def _symbols(arguments: argparse.Namespace, lake: Lake) -> list[tuple[str, str]]:
    settings = config.load(arguments.config) if arguments.config else None
    if settings is not None:
        venue = arguments.venue or settings.venue.name
        known = [(venue, symbol) for symbol in settings.normalised_symbols()]
    else:
        known = sorted(pair for pair in lake.symbols() if arguments.venue in (None, pair[0]))
    if arguments.all or (arguments.status and not arguments.symbol):
        return known
    if not arguments.symbol:
        raise ConfigError("no symbol is named", "promote", "give --symbol S, or --all")
    venues = {venue for venue, _ in known} or ({arguments.venue} if arguments.venue else set())
    if len(venues) != 1:
        names = ", ".join(sorted(venues)) or "nothing"
        raise ConfigError(f"the lake has {names}", "--venue", "name the venue")
    (venue,) = venues
    unknown = sorted(set(arguments.symbol) - {symbol for _, symbol in known})
    if unknown:
        names = ", ".join(symbol for _, symbol in known[:20])
        raise ConfigError(f"{', '.join(unknown)} is not there", "--symbol", f"there are: {names or 'none'}")
    return [(venue, symbol) for symbol in dict.fromkeys(arguments.symbol)]


def _version(arguments: argparse.Namespace, registry: Registry, now: Pointer) -> int:
    if arguments.latest:
        versions = registry.versions()
        if not versions:
            raise ConfigError("there is no model in the registry", registry.store.uri, "run jobs.train first")
        return versions[-1]
    if arguments.version is not None:
        return int(arguments.version)
    if arguments.shadow or arguments.force:
        raise ConfigError("no model is named", "promote", "give --version N, or --latest")
    return evidence.challenger_of(dict(now.slots))


def _spec(arguments: argparse.Namespace, lake: Lake, venue: str, symbol: str) -> EngineSpec | None:
    """What the symbol's engine computes: as its last actor said, else as the config has it."""
    live = evidence.live_spec(lake, venue, symbol)
    if live is not None or arguments.config is None:
        return live
    return config.load(arguments.config).engine_spec(symbol)


def _wait(lake: Lake, changes: list[Change], seconds: float) -> None:
    """Wait until the newest state of every symbol in the lake has what it should."""
    deadline = time.monotonic() + seconds
    for one in changes:
        one.waiting = True
    while left := [one for one in changes if one.waiting]:
        for one in left:
            state = evidence.live_state(lake, one.venue, one.symbol)
            one.waiting = state is None or not one.is_met(state.versions)
            if not one.waiting:
                say(f"{one.symbol}: its actor has it")
        if time.monotonic() > deadline:
            names = ", ".join(one.symbol for one in changes if one.waiting)
            if names:
                say(f"not within {seconds:g} s: {names}; `python -m cluster status` says why")
            return
        if any(one.waiting for one in changes):
            time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
