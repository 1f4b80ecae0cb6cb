"""What a soak has shown: trends, limits with their reasons, and whether they were kept.

Pure: from the notes of a run to verdicts. A verdict that a run is too short or too noisy for is neither
passed nor failed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluster.storage.segments import CHECKPOINTS_KEPT
from tests.bench import soak_watch
from tests.bench.report import number
from tests.bench.soak_readings import Latency, Reading, Soak, SoakSpec
from tests.bench.trend import UNKNOWN, Trend, trend

WARM_UP_SHARE = 0.25
"""Of the run. Until then histories fill, and the allocators find their size."""
SHORTEST_TREND_S = 900.0
"""After the warm-up. Over less, a memory that is flat can't be told from one that grows by a page now and
then, and one burst of other load decides about latency."""
GROWTH_PER_H = 0.01
"""Of what a kind of process holds. At this rate it doubles in four days: over a long weekend a machine with
room for twice the memory holds out. What grows faster is a leak."""
LEAST_GROWTH_MB_PER_H = 1.0
"""For each process. Allocators move by so much without a trend."""
RAY_GROWTH_MB_PER_H = 10.0
"""For each process of Ray's own. Its tables of tasks, events and metrics have caps that take hours to reach;
at this rate one process takes four days to a gigabyte."""
RAYS_OWN = frozenset(
    {soak_watch.GCS, soak_watch.RAYLET, soak_watch.SERVE, soak_watch.DASHBOARD, soak_watch.REST}
)
EXEMPT = {
    soak_watch.EXCHANGE: "keeps its newest 2,000,000 trades of each symbol, which takes hours to fill",
    soak_watch.ONLOOKER: "is not part of Tickcast",
}
SLACK_S = 10.0
"""A machine that carries a soak beside other work may let the archiver wait for so long."""
SIZE_SLACK = 1.5
"""The market's storms send 2.5 times the calm rate: the open segment may grow faster than closed ones did."""
LATENCY_RATIO = {"p50_ms": 1.5, "p99_ms": 2.0}
"""Last third against first third. Regimes of the market and other load move a sound run by less than this;
a queue that builds up or a state that grows with time shows as a multiple."""
LATENCY_FLOOR_MS = {"p50_ms": 1.0, "p99_ms": 10.0}
"""Differences below this are the scheduler's, whatever their ratio."""
BEHIND_S = 5.0
"""What actors say of themselves is up to a second old, and their batch may wait for a core. A symbol that is
further behind the exchange than this does not keep up."""

_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was looked at."""

    what: str
    found: str
    limit: str
    passed: bool | None
    """None: the run was too short or too noisy to tell."""


def verdicts(soak: Soak) -> list[Verdict]:
    """Everything, in the order in which it is printed."""
    return [*memory(soak), *log_size(soak), *latency(soak), *nothing_lost(soak)]


def after_warm_up(soak: Soak) -> list[Reading]:
    """The readings that count for trends."""
    begin_s = WARM_UP_SHARE * soak.readings[-1].at_s
    return [one for one in soak.readings if one.at_s >= begin_s]


def thirds(soak: Soak) -> list[list[Reading]]:
    """The readings of the first, middle and last third of the run; some of a short run may be empty."""
    end_s = soak.readings[-1].at_s
    parts: list[list[Reading]] = [[], [], []]
    for one in soak.readings:
        parts[min(int(3 * one.at_s / end_s), 2)].append(one)
    return parts


def latency_of(readings: Sequence[Reading]) -> Latency:
    """Of these readings: each quantile is the median over their minutes, so that one storm is not all."""
    minutes = [
        [value for one in minute for value in one.latencies_ms]
        for _, minute in itertools.groupby(readings, key=lambda one: one.at_s // _WINDOW_S)
    ]
    filled = [np.array(minute) for minute in minutes if minute]
    if not filled:
        return Latency(0, math.nan, math.nan, math.nan)
    quantiles = [np.quantile(minute, (0.5, 0.9, 0.99)) for minute in filled]
    p50, p90, p99 = np.median(quantiles, axis=0).tolist()
    return Latency(sum(map(len, filled)), p50, p90, p99)


def kinds(soak: Soak) -> list[str]:
    """Kinds of processes, those that hold most first."""
    last = soak.readings[-1].memory
    return sorted(last, key=lambda kind: -last[kind].written_mb)


def memory_trend(soak: Soak, kind: str) -> Trend:
    """Of all processes of a kind together, in MB an hour."""
    found = [one for one in after_warm_up(soak) if kind in one.memory]
    return trend([one.at_s for one in found], [one.memory[kind].written_mb for one in found])


def memory(soak: Soak) -> list[Verdict]:
    """Whether each kind of process is flat, and the symbol actor that grows most."""
    found = []
    last = soak.readings[-1]
    for kind in kinds(soak):
        if kind in EXEMPT:
            continue
        held = last.memory[kind]
        least = RAY_GROWTH_MB_PER_H if kind in RAYS_OWN else LEAST_GROWTH_MB_PER_H
        limit = max(GROWTH_PER_H * held.written_mb, least * held.processes)
        found.append(_flat(soak, kind, memory_trend(soak, kind), limit))
    steepest, grown = _steepest_actor(soak)
    if steepest:
        limit = max(GROWTH_PER_H * last.actors_mb[steepest], LEAST_GROWTH_MB_PER_H)
        found.append(_flat(soak, f"the steepest actor, {steepest}", grown, limit))
    return found


def _steepest_actor(soak: Soak) -> tuple[str, Trend]:
    readings = after_warm_up(soak)
    found = {}
    for symbol in soak.readings[-1].actors_mb:
        there = [one for one in readings if symbol in one.actors_mb]
        found[symbol] = trend([one.at_s for one in there], [one.actors_mb[symbol] for one in there])
    if not found:
        return "", UNKNOWN
    return max(found.items(), key=lambda item: item[1].low)


def _flat(soak: Soak, what: str, grown: Trend, limit: float) -> Verdict:
    passed: bool | None = None
    if _trend_s(soak) >= SHORTEST_TREND_S:
        passed = False if grown.low > limit else (True if grown.high <= limit else None)
    return Verdict(
        f"memory is flat: {what}",
        f"{signed(grown.per_hour)} MB/h ({signed(grown.low)} to {signed(grown.high)})",
        f"{number(limit)} MB/h",
        passed,
    )


def held_s(spec: SoakSpec) -> float:
    """How much of the stream a log folder may hold: a segment as it grows, until it is in the lake and three
    checkpoints are past its end."""
    cadence_s = min(spec.checkpoint_every_s, spec.roll_after_s)
    return spec.roll_after_s + CHECKPOINTS_KEPT * cadence_s + SLACK_S


def log_bound_bytes(soak: Soak, symbol: str) -> float:
    """How large the folder of a symbol may be, from how fast its segments grow."""
    logs = [one.logs[symbol] for one in soak.readings]
    rate = max(one.bytes_per_s for one in logs)
    checkpoint = max(one.checkpoint_bytes for one in logs)
    # Beside those kept: one for each segment that waits for the lake, and one being written.
    checkpoints = CHECKPOINTS_KEPT + 1 + math.ceil(held_s(soak.spec) / soak.spec.roll_after_s)
    return SIZE_SLACK * rate * held_s(soak.spec) + checkpoints * checkpoint


def log_size(soak: Soak) -> list[Verdict]:
    """Whether the logs hold no more than they must."""
    oldest_s = max(log.oldest_s for one in soak.readings for log in one.logs.values())
    filled = {symbol: _filled(soak, symbol) for symbol in soak.spec.symbols}
    fullest = max(filled, key=lambda symbol: filled[symbol])
    stayed = _overstayed(soak)
    removed = sum(one.removed for one in soak.readings[-1].logs.values())
    return [
        Verdict(
            "the oldest segment on disk",
            f"{oldest_s:.0f} s old",
            f"{held_s(soak.spec):.0f} s",
            oldest_s <= held_s(soak.spec),
        ),
        Verdict(
            f"the log folder nearest its bound, {fullest}",
            f"{number(filled[fullest] * log_bound_bytes(soak, fullest) / 1e6)} MB",
            f"{number(log_bound_bytes(soak, fullest) / 1e6)} MB",
            filled[fullest] <= 1.0 if removed else None,
        ),
        Verdict(
            "segments go once checkpoints and lake cover them",
            f"{removed} went, {len(stayed)} stayed",
            f"none stays for {SLACK_S:.0f} s",
            False if stayed else (True if removed else None),
        ),
    ]


def _filled(soak: Soak, symbol: str) -> float:
    """The largest size of a log folder as a share of its bound."""
    return max(one.logs[symbol].bytes for one in soak.readings) / max(1.0, log_bound_bytes(soak, symbol))


def _overstayed(soak: Soak) -> set[tuple[str, str]]:
    """Segments that might have been removed for too long."""
    since_s: dict[tuple[str, str], float] = {}
    found = set()
    for one in soak.readings:
        for symbol, log in one.logs.items():
            for name in log.overdue:
                if one.at_s - since_s.setdefault((symbol, name), one.at_s) > SLACK_S:
                    found.add((symbol, name))
    return found


def latency(soak: Soak) -> list[Verdict]:
    """Whether forecasts take longer at the end than at the beginning."""
    first, _, last = map(latency_of, thirds(soak))
    found = []
    for name, ratio in LATENCY_RATIO.items():
        before, after = getattr(first, name), getattr(last, name)
        limit = max(ratio * before, before + LATENCY_FLOOR_MS[name])
        long_enough = _trend_s(soak) >= SHORTEST_TREND_S
        found.append(
            Verdict(
                f"latency does not grow: {name.removesuffix('_ms')}",
                f"{number(before)} ms in the first third, {number(after)} ms in the last",
                f"{number(limit)} ms",
                bool(after <= limit) if long_enough else None,
            )
        )
    return found


def nothing_lost(soak: Soak) -> list[Verdict]:
    """Whether every trade that was published is where it should be."""
    wrong = {name: count for name, count in soak.readings[-1].counters.items() if count}
    differing = {symbol: one.problem for symbol, one in soak.lake.items() if one.problem}
    problems = list(dict.fromkeys(text for one in soak.readings for text in one.problems))
    behind = max((one.behind for one in soak.lake.values()), default=0)
    allowed = BEHIND_S * soak.spec.ticks_per_s / len(soak.spec.symbols)
    stored = sum(one.trades for one in soak.lake.values())
    return [
        Verdict(
            "nothing missing, dropped, repeated or restarted",
            ", ".join(f"{count} {name}" for name, count in wrong.items()) or "all counters are 0",
            "0",
            not wrong,
        ),
        Verdict("nobody complains", "; ".join(problems[:3]) or "nobody did", "", not problems),
        Verdict(
            "the lake holds what was published, up to the last closed segment",
            next((f"{symbol}: {text}" for symbol, text in differing.items()), f"{stored:,} trades, the same"),
            "no difference",
            not differing and stored > 0,
        ),
        Verdict(
            "the slowest symbol keeps up with the exchange",
            f"{behind:,} trades behind",
            f"{allowed:,.0f}",
            behind <= allowed,
        ),
    ]


def signed(value: float) -> str:
    """A slope, as people read it."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}" if math.isfinite(value) else "?"


def _trend_s(soak: Soak) -> float:
    return (1.0 - WARM_UP_SHARE) * soak.readings[-1].at_s
