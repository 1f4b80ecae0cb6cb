"""Benchmark 5: memory of a symbol actor, and what it is made of.

Ten actors in a real Tickcast's Ray take on one piece after the other; in between, each process's memory
is read. USS is what a process holds alone, PSS adds its share of what several hold (libraries, mapped
files). The running symbol actors themselves are the last row.
"""

from __future__ import annotations

import statistics
import time

from tests.bench.memory_stages import STAGES
from tests.bench.processes import memory_mb
from tests.bench.running import TEN_SYMBOLS, Running, tickcast
from tests.bench.suite import Benchmark, Column, Effort, Sample, Table

_SETTLE_S = 2.0
_ACTORS = "symbol actor, running"
_LIMIT_S = 120.0


def _run(effort: Effort) -> Sample:
    sample = Sample()
    symbols = TEN_SYMBOLS[: effort.pick(10, 2)]
    with tickcast(symbols, 8.0) as running:
        time.sleep(effort.pick(30, 2))
        _running_actors(sample, running)
        _stages(sample, len(symbols))
    sample.notes.append(f"{len(symbols)} actors; medians over them")
    return sample


def _running_actors(sample: Sample, running: Running) -> None:
    for process in running.titled("ray::SymbolActor"):
        sample.add(_ACTORS, **memory_mb(process.pid))
    whole = sum(memory_mb(process.pid)["pss_mb"] for process in running.processes())
    sample.notes.append(f"all of it (actors, API, Ray, exchange) takes {whole:,.0f} MB PSS")


def _stages(sample: Sample, actors: int) -> None:
    import ray

    from tests.bench.memory_stages import Stages

    made = [ray.remote(num_cpus=0)(Stages).remote() for _ in range(actors)]
    pids = ray.get([actor.pid.remote() for actor in made], timeout=_LIMIT_S)
    before = 0.0
    for number, stage in enumerate(STAGES):
        ray.get([actor.take_on.remote(number) for actor in made], timeout=_LIMIT_S)
        time.sleep(_SETTLE_S)
        found = [memory_mb(pid) for pid in pids]
        for one in found:
            sample.add(stage, **one)
        now = statistics.median(one["uss_mb"] for one in found)
        sample.add(stage, step_mb=now - before)
        before = now


BENCHMARK = Benchmark(
    name="memory",
    title="memory of a symbol actor",
    cases={"ten symbols": _run},
    tables=(
        Table(
            "An actor that takes on piece after piece",
            (
                Column("uss_mb", "USS MB", against=STAGES[0], spread=True),
                Column("step_mb", "this piece, USS MB"),
                Column("pss_mb", "PSS MB", against=STAGES[0]),
                Column("rss_mb", "RSS MB"),
            ),
            (*STAGES, _ACTORS),
            "holds",
        ),
    ),
    rounds=1,
    limit_s=300.0,
)
