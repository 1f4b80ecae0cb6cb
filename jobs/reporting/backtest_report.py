"""The report of a backtest, from what it has left in the lake.

    write_report(Results(store, run_id), Path("report.html"))

Called by `jobs.backtest --report` and `jobs.report --backtest`. Rows are read one symbol at a time and in
parts: memory is bounded by what is drawn, not by the period.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.storage.lake_reader import LakeReader
from features import durations
from features.engine import EngineSpec
from features.errors import ConfigError
from jobs.backtesting.job import LakeSource
from jobs.backtesting.result import Manifest, Results, SymbolResult
from jobs.backtesting.summary import portfolio_curves
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from jobs.reporting import permutation, wording
from jobs.reporting.answers import AnswerRows
from jobs.reporting.forecast_charts import ALL, MOST_SYMBOLS, calibration_section, skill_section
from jobs.reporting.forecasts import Forecasts, SymbolForecasts, evidence_of
from jobs.reporting.importance import Importance, importance_section
from jobs.reporting.markup import Cell, Column, Html, Section, definitions, details, join, paragraph, table
from jobs.reporting.page import Page
from jobs.reporting.permutation import permuted
from jobs.reporting.rules import rule_cards, rules_section
from jobs.reporting.trading import CurveBuilder, RuleCurves, curves_section, points_each
from jobs.reporting.trials import TrialsTable
from jobs.reporting.verdicts import models_section, symbols_section, verdict_section

_ANSWERS = ("made_at_ns", "forecast", "lower", "upper", "outcome")
_CURVE = ["rule", "end_ns", "price", "position", "equity"]
_MOST_PERIODS = 200_000
"""Points in time at which the accounts of all symbols are added up, at most."""
_NO_HISTORY = "What the run was fed is not at hand, so nothing can be said of its features."
_PERIODS = ("1m", "5m", "15m", "1h", "4h", "1d")


def write_report(
    results: Results,
    path: Path,
    trials: TrialsTable | None = None,
    importance: Sequence[Importance] = (),
    histories: Sequence[permutation.History] = (),
) -> int:
    """Write the report of a finished run; its size in bytes. Raises DataError for a run that is not finished.

    `trials` are those of a sweep that chose this run's settings; `importance` is that of models it used. With
    `histories`, each symbol's bars or ticks, the report says what features are worth (some seconds).
    """
    return report_of(results, results.manifest(), trials, importance, histories).write(path)


def report_of(
    results: Results,
    manifest: Manifest,
    trials: TrialsTable | None = None,
    importance: Sequence[Importance] = (),
    histories: Sequence[permutation.History] = (),
) -> Page:
    """The report of a run whose manifest is at hand, which may be one with symbols that failed."""
    engine = EngineSpec.from_json(json.dumps(manifest.settings["engine"]))
    forecasts = _forecasts(results, manifest, engine)
    sections = [
        verdict_section(forecasts, rule_cards(manifest.summary)),
        symbols_section(forecasts),
        curves_section(*_curves(results, manifest, forecasts.names)),
        rules_section(manifest, forecasts.names),
        skill_section(forecasts),
        calibration_section(forecasts),
        models_section(forecasts),
        importance_section(importance, permuted(engine, histories) if histories else (), _NO_HISTORY),
        trials.section() if trials is not None else None,
        _settings_section(results, manifest, forecasts),
    ]
    made = wording.moment(manifest.created_at_ns)
    return Page(
        "Backtest",
        f"{wording.many(len(manifest.symbols), 'symbol')}, {wording.count(manifest.summary['bars'])} bars, "
        f"{wording.period(manifest.start_ns, manifest.end_ns)}. Run {manifest.run_id}.",
        [one for one in sections if one is not None],
        f"python -m jobs.report --backtest {manifest.run_id}; run finished {made} UTC, code "
        f"{manifest.code_version}. Past results say little about future ones.",
    )


def histories_of(lake: LakeReader, manifest: Manifest) -> list[permutation.History]:
    """What each scored symbol of a run was fed; none where it isn't in this lake."""
    try:
        values = dict(manifest.settings["history"])
        spec = HistorySpec(**(values | {"symbols": tuple(values["symbols"])}))
        known = set(History(lake, spec).symbols())
    except (TypeError, KeyError, ConfigError):
        return []
    pairs = [(one.venue, one.symbol) for one in manifest.symbols if one.answers]
    return [LakeSource(History(lake, spec), *pair).read for pair in pairs if pair in known]


def _forecasts(results: Results, manifest: Manifest, engine: EngineSpec) -> Forecasts:
    bars = {horizon: engine.horizon_bars(horizon) for horizon in engine.horizons}
    symbols = []
    for one in manifest.symbols:
        chunks = {horizon: _Answers(results, one, horizon).read for horizon in engine.horizons}
        evidence = {}
        if one.answers and not one.failed:
            evidence = evidence_of(chunks, bars, manifest.start_ns, manifest.end_ns)
        remark = f"FAILED: {one.remark}" if one.failed else one.remark
        symbols.append(SymbolForecasts(one.venue, one.symbol, one.scores, evidence, remark, one.bars))
    return Forecasts(symbols, engine.horizons, engine.coverage, manifest.start_ns, manifest.end_ns)


class _Answers:
    """The answers of one symbol and horizon, read from the run as often as asked for."""

    def __init__(self, results: Results, symbol: SymbolResult, horizon: str) -> None:
        self._results, self._symbol, self._horizon = results, symbol, horizon

    def read(self) -> Iterator[AnswerRows]:
        """The rows in order, a part of the table at a time."""
        one = self._symbol
        for rows in self._results.parts("answers", one.venue, one.symbol, one.parts.get("answers", 0)):
            yield answer_rows(rows.filter(pc.equal(rows["horizon"], self._horizon)))


def answer_rows(rows: pa.Table) -> AnswerRows:
    """Rows of answers as arrays; the probability of a rise where there is such a column."""
    made, forecast, lower, upper, outcome = (rows[name].to_numpy() for name in _ANSWERS)
    has_p_up = "p_up" in rows.column_names
    p_up = rows["p_up"].to_numpy() if has_p_up else np.full(rows.num_rows, np.nan)
    return AnswerRows(made, forecast, lower, upper, outcome, p_up)


def _curves(
    results: Results, manifest: Manifest, names: Mapping[tuple[str, str], str]
) -> tuple[dict[str, list[RuleCurves]], int]:
    """The curves by name of symbol, all together first where there are several; how many are left out."""
    traded = [one for one in manifest.symbols if one.rules]
    shown = traded[:MOST_SYMBOLS]
    most = points_each(len(shown) + 1, len(manifest.rules))
    found = {}
    if len(traded) > 1:
        found[ALL] = _together(results, manifest, traded, most)
    for one in shown:
        found[names[one.venue, one.symbol]] = _of_symbol(results, manifest, one, most)
    return found, len(traded) - len(shown)


def _of_symbol(results: Results, manifest: Manifest, one: SymbolResult, most: int) -> list[RuleCurves]:
    capital = manifest.settings["trading"]["capital"]
    builders = {
        rule.rule: CurveBuilder(rule.rule, capital, rule.performance["bars"], most) for rule in one.rules
    }
    for rows in results.parts("curve", one.venue, one.symbol, one.parts.get("curve", 0), _CURVE):
        for rule, builder in builders.items():
            own = rows.filter(pc.equal(rows["rule"], rule))
            columns = {name: own[name].to_numpy() for name in _CURVE[1:]}
            builder.add(columns["end_ns"], columns["equity"], columns["position"], columns["price"])
    return [builder.curves() for builder in builders.values()]


def _together(
    results: Results, manifest: Manifest, symbols: Sequence[SymbolResult], most: int
) -> list[RuleCurves]:
    """All accounts added up at the end of every period: before its first bar one holds its capital."""
    capital = manifest.settings["trading"]["capital"]
    period_ns = _period_ns(manifest.end_ns - manifest.start_ns)
    curves = []
    held = portfolio_curves(results, manifest.rules, capital, symbols, period_ns)
    for rule, (ends, total) in zip(manifest.rules, held, strict=True):
        builder = CurveBuilder(rule, capital * len(symbols), len(ends), most)
        builder.add(ends, total)
        curves.append(builder.curves())
    return curves


def _period_ns(span_ns: int) -> int:
    sizes = [durations.parse_ns(text) for text in _PERIODS]
    return next((size for size in sizes if span_ns // size <= _MOST_PERIODS), sizes[-1])


def _settings_section(results: Results, manifest: Manifest, forecasts: Forecasts) -> Section:
    parts: list[Html] = []
    for title, values in _settings(manifest).items():
        if values:
            parts.append(details(title, definitions(values)))
    columns = (
        Column("Symbol", False),
        Column("Venue", False),
        Column("Bars"),
        Column("First bar (UTC)", False),
        Column("Last bar (UTC)", False),
        Column("Sessions"),
        Column("Forecasts"),
        Column("Answers"),
        Column("Seconds"),
        Column("Remark", False),
    )
    rows = [_data_row(forecasts.names[one.venue, one.symbol], one) for one in manifest.symbols]
    parts.append(table("What every symbol was fed.", columns, rows))
    parts += _swaps(results, manifest, forecasts)
    if not manifest.symbols:
        parts.append(paragraph("The run has no symbol.", "quiet"))
    return Section("settings", "Settings and data", join(parts))


def _swaps(results: Results, manifest: Manifest, forecasts: Forecasts) -> list[Html]:
    """The models that were trained on the way; nothing where there are none."""
    rows = []
    for one in manifest.symbols:
        if one.failed or not one.parts.get("swaps"):
            continue
        name = forecasts.names[one.venue, one.symbol]
        for swap in results.read("swaps", one.venue, one.symbol).to_pylist():
            times = (wording.moment(swap[column]) for column in ("at_ns", "first_ns", "last_due_ns"))
            cells = [Cell(name), Cell(f"{swap['version']:,}", swap["version"]), *map(Cell, times)]
            rows.append([*cells, Cell(f"{swap['rows']:,}", swap["rows"]), Cell(swap["library"])])
    if not rows:
        return []
    columns = (
        Column("Symbol", False),
        Column("Version"),
        Column("In use from (UTC)", False),
        Column("First row asked", False),
        Column("Last row answered", False),
        Column("Rows"),
        Column("Library", False),
    )
    made = table("Models trained on the way, from what was answered before.", columns, rows)
    return [details(f"Trained models ({len(rows):,})", made)]


def _settings(manifest: Manifest) -> dict[str, dict[str, str]]:
    settings: Mapping[str, Any] = manifest.settings
    about = {
        "Run": manifest.run_id,
        "Period": wording.period(manifest.start_ns, manifest.end_ns),
        "Trials": f"{manifest.trials:,}",
        "Took": wording.duration(manifest.seconds),
        "Code": manifest.code_version,
    }
    about |= {f"Digest of {name}": text for name, text in manifest.digests.items()}
    groups = {"Run": about}
    for name in ("history", "engine", "trading", "retrain"):
        values = settings.get(name)
        if isinstance(values, Mapping):
            groups[name.capitalize()] = {key: _value(key, one) for key, one in values.items()}
    return groups


def _value(name: str, value: Any) -> str:
    if name.endswith("_ns") and isinstance(value, int):
        return wording.moment(value) if name in ("start_ns", "end_ns") else durations.text(value)
    return wording.setting(value)


def _data_row(name: str, one: SymbolResult) -> list[Cell]:
    remark = f"FAILED: {one.remark}" if one.failed else one.remark
    return [
        Cell(name),
        Cell(one.venue),
        Cell(f"{one.bars:,}", one.bars),
        Cell(wording.moment(one.first_ns)),
        Cell(wording.moment(one.last_ns)),
        Cell(f"{one.sessions:,}", one.sessions),
        Cell(f"{one.forecasts:,}", one.forecasts),
        Cell(f"{one.answers:,}", one.answers),
        Cell(wording.number(one.seconds, 1), one.seconds),
        Cell(remark or wording.NOTHING, tone="bad" if one.failed else ""),
    ]
