"""What a soak makes of its notes: every fault that it is there for fails its verdict, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.bench import soak_report, soak_verdicts, soak_watch
from tests.bench.soak_readings import LakeCheck, LogOnDisk, Memory, Reading, Soak, SoakSpec

SPEC = SoakSpec(minutes=60.0, symbols=("AAA", "BBB"), ticks_per_s=100.0)
LOG = LogOnDisk(
    bytes=4_000_000,
    segments=2,
    oldest_s=90.0,
    checkpoint_bytes=100_000,
    bytes_per_s=50_000.0,
    overdue=(),
    removed=100,
)
HELD = LakeCheck(ticks=180_000, trades=170_000, behind=10, problem="")


def reading(at_s: float) -> Reading:
    return Reading(
        at_s=at_s,
        memory={
            soak_watch.ACTORS: Memory(2, 230.0, 240.0, 500.0),
            soak_watch.EXCHANGE: Memory(1, 50 + at_s, 240.0, 90.0),
        },
        actors_mb={"AAA": 115.0, "BBB": 115.0},
        logs={"AAA": LOG, "BBB": LOG},
        lake_files=100,
        lake_bytes=1_000_000,
        waiting_segments=0,
        latencies_ms=[1.0] * 95 + [9.0] * 5,
        ticks=int(100 * at_s),
        late=3,
        counters={"missing": 0, "malformed": 0},
        problems=[],
        foreign_cores=0.1,
    )


def soak(change: Callable[[Reading], dict[str, Any]] = lambda one: {}, minutes: float = 60.0) -> Soak:
    """A sound run of an hour, but for what `change` says of each reading."""
    readings = [reading(5.0 * i) for i in range(1, round(12 * minutes) + 1)]
    changed = [replace(one, **change(one)) for one in readings]
    return Soak(SPEC, changed, {"AAA": HELD, "BBB": HELD})


def failed(run: Soak) -> list[str]:
    return [one.what for one in soak_verdicts.verdicts(run) if one.passed is False]


def with_log(**values: Any) -> dict[str, Any]:
    return {"logs": {"AAA": LOG, "BBB": replace(LOG, **values)}}


def test_a_sound_run_passes_everything() -> None:
    assert [one for one in soak_verdicts.verdicts(soak()) if not one.passed] == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda one: {"memory": {soak_watch.ACTORS: Memory(2, 230.0 + one.at_s / 360, 240.0, 500.0)}},
            "memory is flat: symbol actors",
        ),
        (
            lambda one: {"actors_mb": {"AAA": 115.0, "BBB": 115.0 + one.at_s / 720}},
            "memory is flat: the steepest actor, BBB",
        ),
        (lambda one: with_log(oldest_s=90.0 + one.at_s / 60), "the oldest segment on disk"),
        (lambda one: with_log(bytes=one.at_s * 50_000), "the log folder nearest its bound, BBB"),
        (
            lambda one: with_log(overdue=("7-1",) if 100 < one.at_s < 130 else ()),
            "segments go once checkpoints and lake cover them",
        ),
        (
            lambda one: {"latencies_ms": [1.0 + one.at_s / 600] * 100},
            "latency does not grow: p50",
        ),
        (
            lambda one: {"latencies_ms": [1.0] * 95 + [9.0 + one.at_s / 60] * 5},
            "latency does not grow: p99",
        ),
        (lambda one: {"counters": {"missing": 1}}, "nothing missing, dropped, repeated or restarted"),
        (lambda one: {"problems": ["AAA: the disk is full"] if one.at_s == 600 else []}, "nobody complains"),
    ],
)
def test_each_fault_fails_its_verdict_alone(change: Callable[[Reading], dict[str, Any]], what: str) -> None:
    assert failed(soak(change)) == [what]


def test_a_difference_between_lake_and_market_fails() -> None:
    run = soak()
    run.lake["BBB"] = replace(HELD, problem="3 trades differ")
    (verdict,) = [one for one in soak_verdicts.verdicts(run) if one.passed is False]
    assert verdict.found == "BBB: 3 trades differ"


def test_a_symbol_that_does_not_keep_up_fails() -> None:
    run = soak()
    run.lake["BBB"] = replace(HELD, behind=251)  # 50 ticks a second of each symbol, for five seconds
    assert failed(run) == ["the slowest symbol keeps up with the exchange"]


def test_one_storm_and_a_moment_of_other_load_do_not_fail() -> None:
    def stormy(one: Reading) -> dict[str, Any]:
        slow = 3000 <= one.at_s < 3240
        briefly = with_log(overdue=("7-1",)) if one.at_s in (100, 105) else {}
        return {"latencies_ms": [50.0 if slow else 1.0] * 100, **briefly}

    assert failed(soak(stormy)) == []


def test_a_short_run_is_not_judged_by_its_trends() -> None:
    def growing(one: Reading) -> dict[str, Any]:
        return {
            "memory": {soak_watch.ACTORS: Memory(2, 230.0 + one.at_s, 240.0, 500.0)},
            "latencies_ms": [one.at_s] * 100,
        }

    assert failed(soak(growing)) != []
    untold = [one.what for one in soak_verdicts.verdicts(soak(growing, minutes=2.0)) if one.passed is None]
    assert failed(soak(growing, minutes=2.0)) == []
    assert len(untold) == 4


def test_growth_that_the_noise_hides_is_neither_passed_nor_failed() -> None:
    def restless(one: Reading) -> dict[str, Any]:
        wobble = np.random.default_rng(int(one.at_s // 100)).normal(0.0, 10.0)
        return {"memory": {soak_watch.ACTORS: Memory(2, 230.0 + wobble, 240.0, 500.0)}}

    (verdict,) = [one for one in soak_verdicts.memory(soak(restless)) if "symbol actors" in one.what]
    assert verdict.passed is None


def test_memory_before_the_warm_up_does_not_count() -> None:
    def warming(one: Reading) -> dict[str, Any]:
        return {"memory": {soak_watch.ACTORS: Memory(2, 230.0 - max(0.0, 800.0 - one.at_s), 240.0, 500.0)}}

    assert failed(soak(warming)) == []


def test_a_log_that_has_not_rolled_yet_says_nothing_about_its_bound() -> None:
    run = soak(lambda one: {"logs": dict.fromkeys(SPEC.symbols, replace(LOG, removed=0, bytes_per_s=0.0))})
    assert failed(run) == []


def test_the_printed_report_shows_every_kind_and_every_verdict() -> None:
    run = soak(lambda one: {"counters": {"missing": 7}})
    printed = soak_report.text(run, soak_verdicts.verdicts(run))
    assert "7 missing" in printed
    assert "| NO " in printed
    for text in (soak_watch.ACTORS, soak_watch.EXCHANGE, "ticks a second", "tick to forecast, p99 ms"):
        assert text in printed
