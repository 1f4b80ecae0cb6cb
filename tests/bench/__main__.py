"""`python -m tests.bench`: measure, and print tables beside rivals and limits.

    python -m tests.bench                        everything, some twenty minutes
    python -m tests.bench --only kernels http    some of it
    python -m tests.bench --quick                one short round, to see that it works
    python -m tests.bench --json FILE            write all samples too

What each benchmark measures and how to read it: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import (
    backtest,
    http_service,
    kernels,
    latency,
    memory,
    report,
    sampling,
    skill,
    sweeps,
    tick_path,
    trading,
    training,
)
from tests.bench.suite import Benchmark, Effort

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        kernels,
        tick_path,
        latency,
        http_service,
        memory,
        skill,
        trading,
        backtest,
        training,
        sweeps,
    )
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmarks of Tickcast.")
    words.add_argument("--only", nargs="+", metavar="NAME", choices=sorted(BENCHMARKS), help="only these")
    words.add_argument("--quick", action="store_true", help="one short round: shows that it works")
    words.add_argument("--json", type=Path, metavar="FILE", help="write all samples here too")
    words.add_argument("--child", nargs=2, metavar=("BENCHMARK", "CASE"), help=argparse.SUPPRESS)
    return words


def main() -> int:
    """Exit code 1 when a case failed."""
    arguments = parser().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    effort = Effort(arguments.quick)
    if arguments.child:
        name, case = arguments.child
        sampling.run_child(BENCHMARKS[name].cases[case], effort)
        return 0
    print(f"# Tickcast benchmarks\n\n{_machine()}\n", flush=True)
    failed = False
    written: dict[str, Any] = {"machine": _machine(), "quick": arguments.quick, "benchmarks": {}}
    for name in arguments.only or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        if why := benchmark.missing():
            print(f"## {name}: {benchmark.title}\n\nskipped: {why}\n", flush=True)
            continue
        results = sampling.run(benchmark, effort, _say)
        print(report.text(benchmark, results), flush=True)
        failed = failed or bool(results.failures)
        written["benchmarks"][name] = {
            "rows": report.summary(results),
            "notes": results.notes,
            "failures": results.failures,
            "foreign_cores": results.foreign_cores,
        }
        if arguments.json:
            arguments.json.write_text(json.dumps(written, indent=1), encoding="utf-8")
    return int(failed)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once: a second signal must not cut short the end of what has been started.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"Python {platform.python_version()} on {cores} cores, which the load shares with what is measured"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
