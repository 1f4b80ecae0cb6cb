"""A soak as text: Markdown tables and verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.bench import soak_verdicts
from tests.bench.report import aligned, number
from tests.bench.soak_readings import Reading, Soak
from tests.bench.soak_verdicts import Verdict, signed

_WORDS = {True: "yes", False: "NO", None: "can't tell"}


def text(soak: Soak, verdicts: Sequence[Verdict]) -> str:
    """Everything that a soak has found out, ready to be printed."""
    spec = soak.spec
    parts = [
        f"## soak: {spec.minutes:g} minutes, {len(spec.symbols)} symbols, {spec.ticks_per_s:,.0f} ticks/s",
        "",
        "**The run by thirds**",
        "",
        *_thirds(soak),
        "",
        "**Memory, all processes of a kind together**",
        "",
        *_memory(soak),
        "",
        "**Verdicts**",
        "",
        *aligned(
            ["what", "found", "limit", "kept"],
            [[one.what, _in_a_cell(one.found), one.limit, _WORDS[one.passed]] for one in verdicts],
        ),
        "",
        *_notes(soak),
    ]
    return "\n".join([*parts, ""])


def line(soak: Soak) -> str:
    """How it goes, in a line."""
    last = soak.readings[-1]
    written_mb = sum(one.written_mb for one in last.memory.values())
    recent = soak_verdicts.latency_of([one for one in soak.readings if one.at_s > last.at_s - 60.0])
    return (
        f"{last.at_s / 60:.0f} min: {last.ticks:,} ticks, {written_mb:,.0f} MB, largest log "
        f"{number(_log_mb([last]))} MB, lake {number(last.lake_bytes / 1e6)} MB, "
        f"tick to forecast p50 {number(recent.p50_ms)} ms, p99 {number(recent.p99_ms)} ms"
    )


def _in_a_cell(text: str) -> str:
    """Words of others, as one cell of a table."""
    return " ".join(text.replace("|", "/").split())


def _thirds(soak: Soak) -> list[str]:
    parts = soak_verdicts.thirds(soak)
    latencies = [soak_verdicts.latency_of(part) for part in parts]
    rows = [
        ["ticks a second", *(number(_rate(part)) for part in parts)],
        ["tick to forecast, p50 ms", *(number(one.p50_ms) for one in latencies)],
        ["tick to forecast, p90 ms", *(number(one.p90_ms) for one in latencies)],
        ["tick to forecast, p99 ms", *(number(one.p99_ms) for one in latencies)],
        ["forecasts timed", *(f"{one.count:,}" for one in latencies)],
        ["trades after their bar had closed", *(_late(part) for part in parts)],
        ["largest log folder, MB", *(number(_log_mb(part)) for part in parts)],
        ["closed segments that wait for the lake, most", *(str(_waiting(part)) for part in parts)],
        ["lake at the end, files", *(_at_end(part, "lake_files", 1) for part in parts)],
        ["lake at the end, MB", *(_at_end(part, "lake_bytes", 1e6) for part in parts)],
        ["CPU that others took, cores", *(_foreign(part) for part in parts)],
    ]
    return aligned(["", "first third", "second", "last"], rows)


def _memory(soak: Soak) -> list[str]:
    begin, end = soak_verdicts.after_warm_up(soak)[0], soak.readings[-1]
    rows = []
    for kind in soak_verdicts.kinds(soak):
        before, after = begin.memory.get(kind), end.memory[kind]
        grown = soak_verdicts.memory_trend(soak, kind)
        rows.append(
            [
                kind,
                str(after.processes),
                number(before.written_mb) if before else "",
                number(after.written_mb),
                number(after.uss_mb),
                number(after.rss_mb),
                signed(grown.per_hour),
                f"{signed(grown.low)} to {signed(grown.high)}",
            ]
        )
    head = ["kind", "processes", "MB after the warm-up", "at the end", "USS MB", "RSS MB"]
    head += ["MB/h", "95 % interval"]
    return aligned(head, rows)


def _notes(soak: Soak) -> list[str]:
    return [
        "- tick to forecast: from an actor's receipt of the tick that closes a bar to a Ray client's hands; "
        "each quantile is the median over those of the minutes",
        "- MB: what the processes have written, each for itself; USS adds pages of files that nobody else "
        "on the machine happens to have too",
        f"- warm-up: the first {100 * soak_verdicts.WARM_UP_SHARE:.0f} % of the run; "
        f"trends are judged over {soak_verdicts.SHORTEST_TREND_S / 60:.0f} minutes or more after it",
        *(f"- no limit for {kind}: it {why}" for kind, why in soak_verdicts.EXEMPT.items()),
    ]


def _rate(part: Sequence[Reading]) -> float:
    if len(part) < 2:
        return float("nan")
    return (part[-1].ticks - part[0].ticks) / (part[-1].at_s - part[0].at_s)


def _late(part: Sequence[Reading]) -> str:
    return f"{part[-1].late - part[0].late:,}" if part else ""


def _log_mb(part: Sequence[Reading]) -> float:
    return max((log.bytes for one in part for log in one.logs.values()), default=0) / 1e6


def _waiting(part: Sequence[Reading]) -> int:
    return max((one.waiting_segments for one in part), default=0)


def _at_end(part: Sequence[Reading], name: str, unit: float) -> str:
    return number(getattr(part[-1], name) / unit) if part else ""


def _foreign(part: Sequence[Reading]) -> str:
    return f"{statistics.median(one.foreign_cores for one in part):.2f}" if part else ""
