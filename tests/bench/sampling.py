"""Rounds of samples, each taken in a fresh child process.

Round 1 of every case, then round 2 of every case: slow drift of the machine hits all alike. What
other processes took of the CPU meanwhile is recorded; a sample taken beside too much of it is taken
again, once, and the calmer one is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.processes import busy_s, own_s
from tests.bench.suite import Benchmark, Case, Effort, Sample

ROOT = Path(__file__).resolve().parents[2]
FOREIGN_LIMIT_CORES = 0.15
_MARK = "@@sample@@"
_GRACE_S = 90.0
"""A child that started a Ray needs time to end it."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Results:
    """All samples of one benchmark."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    foreign_cores: list[float] = field(default_factory=list)

    def take(self, sample: Sample) -> None:
        """Add what one child measured."""
        for row, metrics in sample.rows.items():
            kept = self.rows.setdefault(row, {})
            for metric, values in metrics.items():
                kept.setdefault(metric, []).extend(values)
        self.notes += [note for note in sample.notes if note not in self.notes]
        self.foreign_cores.append(sample.foreign_cores or 0.0)


def run(benchmark: Benchmark, effort: Effort, say: Say) -> Results:
    """All rounds of a benchmark. A case that fails is named in the results and left out from then on."""
    results = Results()
    failed: set[str] = set()
    rounds = 1 if effort.quick else benchmark.rounds
    for number in range(1, rounds + 1):
        for case in benchmark.cases:
            if case in failed:
                continue
            say(f"{benchmark.name}: round {number} of {rounds}: {case}")
            try:
                results.take(_calm_sample(benchmark, case, effort))
            except ChildError as error:
                failed.add(case)
                results.failures.append(f"{case}: {error}")
                say(f"{benchmark.name}: {case} failed: {error}")
    return results


def run_child(case: Case, effort: Effort) -> None:
    """Called in the child: measure, and hand the numbers to the parent."""
    print(_MARK + json.dumps(asdict(case(effort))), flush=True)


class ChildError(Exception):
    """A child gave no sample; the text says why."""


def _calm_sample(benchmark: Benchmark, case: str, effort: Effort) -> Sample:
    sample = _sample(benchmark, case, effort)
    if (sample.foreign_cores or 0.0) <= FOREIGN_LIMIT_CORES or benchmark.rounds == 1 or effort.quick:
        return sample
    again = _sample(benchmark, case, effort)
    return min(sample, again, key=lambda one: one.foreign_cores or 0.0)


def _sample(benchmark: Benchmark, case: str, effort: Effort) -> Sample:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench", "--child", benchmark.name, case]
    if effort.quick:
        command.append("--quick")
    busy, own, began = busy_s(), own_s(), time.monotonic()
    # In our process group: Ctrl-C reaches the child too, which then ends what it has started.
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, complaint = child.communicate(timeout=benchmark.limit_s)
    except subprocess.TimeoutExpired:
        _end(child)
        raise ChildError(f"not done within {benchmark.limit_s:g} s") from None
    except BaseException:
        _end(child)
        raise
    foreign = max(0.0, (busy_s() - busy - (own_s() - own)) / (time.monotonic() - began))
    for line in reversed(said.splitlines()):
        if line.startswith(_MARK):
            sample = Sample(**json.loads(line.removeprefix(_MARK)))
            if sample.foreign_cores is None:
                sample.foreign_cores = foreign
            return sample
    last = (complaint or said).strip().splitlines()[-3:]
    raise ChildError(f"exit code {child.returncode}: " + " | ".join(last)[-500:])


def _end(child: subprocess.Popen[str]) -> None:
    """Ask the child to end and give it time to end what it has started."""
    child.terminate()
    try:
        child.communicate(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
