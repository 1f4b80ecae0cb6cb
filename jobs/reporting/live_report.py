"""The report of the live ledger and the continuity of a period, from the lake alone.

    write_live_report(lake, [("binance", "BTCUSDT")], start_ns, end_ns, Path("report.html"))

Actors may go on writing meanwhile: what is in the lake when it is read is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.gap_policy import GapPolicy
from cluster.registry import Registry
from cluster.storage.lake import Lake
from cluster.trade_order import order_of
from cluster.venues import get as get_venue
from features.errors import TickcastError
from jobs.reporting import wording
from jobs.reporting.continuity import SymbolContinuity, period_of, read_continuity
from jobs.reporting.continuity_sections import continuity_card, continuity_section
from jobs.reporting.forecast_charts import calibration_section, skill_section
from jobs.reporting.forecasts import Forecasts, SymbolForecasts, evidence_of
from jobs.reporting.importance import Importance, importance_section, of_manifest
from jobs.reporting.live_ledger import LiveSymbol, Saved, newest_checkpoint, read_symbol
from jobs.reporting.markup import Html, Section, definitions, details, join, paragraph
from jobs.reporting.page import Page
from jobs.reporting.verdicts import models_section, symbols_section, verdict_section

Pair = tuple[str, str]
_STATED = 0.9
"""Coverage shown where no engine says another."""
_MOST_VERSIONS = 12


def write_live_report(
    lake: Lake, pairs: Sequence[Pair], start_ns: int | None, end_ns: int | None, path: Path
) -> int:
    """Write the report; its size in bytes. An open end of the period is that of the lake's data."""
    return live_report(lake, pairs, start_ns, end_ns).write(path)


def live_report(lake: Lake, pairs: Sequence[Pair], start_ns: int | None, end_ns: int | None) -> Page:
    """The report of some symbols over `start_ns` <= time < `end_ns`; None is open."""
    first_ns, last_ns = period_of(lake, pairs) if start_ns is None or end_ns is None else (0, 0)
    begin = first_ns if start_ns is None else start_ns
    end = max(begin + 1, last_ns if end_ns is None else end_ns)
    ledgers = {pair: read_symbol(lake, *pair, start_ns, end_ns) for pair in pairs}
    saved = {pair: newest_checkpoint(lake, *pair) for pair in pairs}
    forecasts = _forecasts(pairs, ledgers, begin, end)
    continuity = [_continuity(lake, pair, begin, end, saved[pair]) for pair in pairs]
    sections = [
        verdict_section(forecasts, [continuity_card(continuity)]),
        symbols_section(forecasts),
        continuity_section(continuity, forecasts.names, begin, end),
        skill_section(forecasts),
        calibration_section(forecasts),
        _models(forecasts, saved),
        importance_section(_importance(lake, pairs)),
        _settings(lake, ledgers, begin, end),
    ]
    return Page(
        "Live ledger and continuity",
        f"{wording.many(len(pairs), 'symbol')}, {wording.period(begin, end)}.",
        [one for one in sections if one is not None],
        f"python -m jobs.report, from the lake at {lake.store.uri}.",
    )


def _forecasts(
    pairs: Sequence[Pair], ledgers: dict[Pair, LiveSymbol | None], begin: int, end: int
) -> Forecasts:
    known = [one for one in ledgers.values() if one is not None]
    horizons = list(dict.fromkeys(horizon for one in known for horizon in one.engine.horizons))
    symbols = []
    for pair in pairs:
        one = ledgers[pair]
        if one is None:
            symbols.append(SymbolForecasts(*pair, remark="no actor has ever run for it"))
            continue
        bars = {horizon: one.engine.horizon_bars(horizon) for horizon in one.engine.horizons}
        evidence = evidence_of(one.chunks, bars, begin, end) if one.answers else {}
        symbols.append(SymbolForecasts(*pair, one.scores, evidence, _remark(one), one.answers))
    coverage = known[0].engine.coverage if known else _STATED
    return Forecasts(symbols, horizons, coverage, begin, end)


def _remark(one: LiveSymbol) -> str:
    if not one.answers:
        return "no forecast was answered in this period"
    if one.lives > 1:
        return f"its engine began anew {one.lives - 1} times; the answers of all are scored together"
    return ""


def _continuity(lake: Lake, pair: Pair, begin: int, end: int, saved: Saved | None) -> SymbolContinuity:
    found = read_continuity(lake, *pair, begin, end)
    if saved is not None:
        found.kept = _counters(pair, saved)
    return found


def _counters(pair: Pair, saved: Saved) -> dict[str, Any]:
    """What a checkpoint's order of trades has counted; empty where this release can't read it."""
    try:
        order = order_of(get_venue(pair[0]), pair[1], GapPolicy())
        order.restore(saved.order)
    except TickcastError:
        return {}
    return dict(order.counts.as_dict())


def _models(forecasts: Forecasts, saved: dict[Pair, Saved | None]) -> Section | None:
    """Every learner's score, as the newest checkpoints know them."""
    symbols = []
    for one in forecasts.symbols:
        newest = saved[one.venue, one.symbol]
        if newest is not None:
            symbols.append(SymbolForecasts(one.venue, one.symbol, newest.scores))
    if not symbols:
        return None
    whole = Forecasts(symbols, forecasts.horizons, forecasts.coverage, forecasts.start_ns, forecasts.end_ns)
    note = (
        "The lake holds the answers of the forecast alone. What every learner has shown is taken from the "
        "newest checkpoint of each symbol: over its whole life, whatever period was asked for."
    )
    return models_section(whole, note)


def _importance(lake: Lake, pairs: Sequence[Pair]) -> list[Importance]:
    """Of the models that are pointed at now, from their manifests."""
    registry = Registry(lake.store)
    found: list[Importance] = []
    try:
        versions = {version for pair in pairs for version in registry.pointer(*pair).slots.values()}
        for version in sorted(versions)[-_MOST_VERSIONS:]:
            found += of_manifest(f"model {version}", registry.manifest(version))
    except TickcastError:
        return found
    return found


def _settings(lake: Lake, ledgers: dict[Pair, LiveSymbol | None], begin: int, end: int) -> Section:
    about = {"Lake": lake.store.uri, "Period": wording.period(begin, end)}
    parts: list[Html] = [definitions(about)]
    groups: dict[str, list[str]] = {}
    settings: dict[str, dict[str, str]] = {}
    for (_, symbol), one in ledgers.items():
        if one is None:
            continue
        # Engines that differ in nothing but their symbol are shown once.
        values = {
            name: wording.setting(getattr(one.engine, name)) for name in one.engine.__dataclass_fields__
        }
        values.pop("symbol")
        key = repr(values)
        groups.setdefault(key, []).append(symbol)
        settings[key] = values
    parts += [
        details(f"Engine of {', '.join(names)}", definitions(settings[key])) for key, names in groups.items()
    ]
    if not groups:
        parts.append(paragraph("No engine is known.", "quiet"))
    return Section("settings", "Settings", join(parts))
