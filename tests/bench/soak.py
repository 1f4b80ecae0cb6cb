"""`python -m tests.bench.soak`: run Tickcast on a generated market for an hour, and see what changes.

    python -m tests.bench.soak                                      an hour, 10 symbols, 2,000 ticks a second
    python -m tests.bench.soak --minutes 2 --symbols 4 --ticks-per-s 400 --roll-after-s 5
    python -m tests.bench.soak --json FILE                          write every reading too

Ticks are trades and quotes, as in the demo: ten quotes a second of each symbol, the rest trades. That is
the market's average; its regimes send from 0.6 to 2.5 times as many trades.

Every few seconds it reads the memory of every process, the size of every log and of the lake, how long
forecasts took, and all counters. At the end it makes the market's trades again from its seed and compares
them with those in the lake. It prints tables and verdicts; the exit code is 1 when a verdict fails. Trends
are not judged where a run is too short to tell. Limits and their reasons: tests/bench/soak_verdicts.py.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from cluster.exchange.market import STEP_NS
from tests.bench import soak_lake, soak_report, soak_verdicts
from tests.bench.running import TEN_SYMBOLS, tickcast
from tests.bench.soak_readings import Soak, SoakSpec
from tests.bench.soak_watch import Watch

QUOTES_PER_S = 1e9 / STEP_NS
"""Of each symbol of a generated market."""
_SAY_EVERY_S = 60.0
Say = Callable[[str], None]


def run(spec: SoakSpec, say: Say) -> Soak:
    """Start a Tickcast, watch it for as long as the spec says, end it."""
    trades_per_s = spec.ticks_per_s / len(spec.symbols) - QUOTES_PER_S
    storage = {"log": {"roll_after_s": spec.roll_after_s, "checkpoint_every_s": spec.checkpoint_every_s}}
    soak = Soak(spec)
    say("starting")
    with tickcast(spec.symbols, trades_per_s, storage=storage) as running:
        watch = Watch(running)
        _watch(watch, soak, say)
        watch.close()
        say("comparing the lake with the market")
        soak.lake = soak_lake.check(running)
        say("stopping")
    return soak


def _watch(watch: Watch, soak: Soak, say: Say) -> None:
    said_s, end_s = 0.0, 60.0 * soak.spec.minutes
    while not soak.readings or soak.readings[-1].at_s < end_s:
        due_s = min((len(soak.readings) + 1) * soak.spec.every_s, end_s)
        time.sleep(max(0.0, due_s - watch.lasted_s))
        soak.readings.append(watch.read())
        if watch.lasted_s - said_s >= _SAY_EVERY_S:
            said_s = watch.lasted_s
            say(soak_report.line(soak))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    default = SoakSpec()
    words = argparse.ArgumentParser(prog="python -m tests.bench.soak", description="A soak of Tickcast.")
    words.add_argument("--minutes", type=float, default=default.minutes, help="how long (60)")
    words.add_argument(
        "--symbols", type=int, default=len(TEN_SYMBOLS), choices=range(1, len(TEN_SYMBOLS) + 1), metavar="N"
    )
    words.add_argument(
        "--ticks-per-s", type=float, default=default.ticks_per_s, help="trades and quotes of all (2000)"
    )
    words.add_argument("--every-s", type=float, default=default.every_s, help="between two readings (5)")
    words.add_argument(
        "--roll-after-s", type=float, default=default.roll_after_s, help="age of a segment (60)"
    )
    words.add_argument(
        "--checkpoint-every-s", type=float, default=default.checkpoint_every_s, help="of each symbol (10)"
    )
    words.add_argument("--json", type=Path, metavar="FILE", help="write all readings and verdicts here")
    return words


def spec_of(words: argparse.ArgumentParser, arguments: argparse.Namespace) -> SoakSpec:
    """What the command line asks for; ends with an error message when that can't be."""
    least = QUOTES_PER_S * arguments.symbols
    if arguments.ticks_per_s <= least:
        words.error(f"--ticks-per-s: {arguments.symbols} symbols have {least:g} quotes a second; give more")
    for name in ("minutes", "every_s", "roll_after_s", "checkpoint_every_s"):
        if getattr(arguments, name) <= 0:
            words.error(f"--{name.replace('_', '-')}: give a number above zero")
    return SoakSpec(
        minutes=arguments.minutes,
        symbols=TEN_SYMBOLS[: arguments.symbols],
        ticks_per_s=arguments.ticks_per_s,
        every_s=arguments.every_s,
        roll_after_s=arguments.roll_after_s,
        checkpoint_every_s=arguments.checkpoint_every_s,
    )


def main() -> int:
    """Exit code 1 when a verdict fails."""
    words = parser()
    arguments = words.parse_args()
    spec = spec_of(words, arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    soak = run(spec, _say)
    verdicts = soak_verdicts.verdicts(soak)
    print(soak_report.text(soak, verdicts), flush=True)
    if arguments.json:
        written = asdict(soak) | {"verdicts": [asdict(one) for one in verdicts]}
        arguments.json.write_text(json.dumps(written), encoding="utf-8")
    return int(any(one.passed is False for one in verdicts))


def _interrupt(number: int, frame: object) -> None:
    # Once: a second signal must not cut short the end of what has been started.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
