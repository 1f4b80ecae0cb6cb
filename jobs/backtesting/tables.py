"""The result of a backtest as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.backtesting.result import Manifest, RuleResult, SymbolResult
from jobs.backtesting.summary import BETTER, mixture_score, verdict

_MOST_LINES = 40
_MOST_NAMES = 8


def show(console: Console, manifest: Manifest) -> None:
    """Print the forecasts' scores, what the rules came to, and what is to be said about the whole."""
    horizons = manifest.settings["engine"]["horizons"]
    lines = [(one, horizon) for one in manifest.symbols for horizon in horizons]
    shown = [(one, horizon) for one, horizon in lines if mixture_score(one, horizon)]
    if shown:
        console.print(_forecasts(shown[:_MOST_LINES]))
    traded = [(one, rule) for one in manifest.symbols for rule in one.rules]
    if traded:
        console.print(_rules(traded[:_MOST_LINES]))
    for count in (len(shown) - _MOST_LINES, len(traded) - _MOST_LINES):
        if count > 0:
            console.print(f"… and {count} more lines: they are in the manifest")
    for line in remarks(manifest.symbols):
        console.print(line, markup=False)
    for line in conclusions(manifest.summary):
        console.print(line, markup=False)


def remarks(symbols: Sequence[SymbolResult]) -> list[str]:
    """What is to be said of single symbols; those of which the same is said share a line."""
    alike: dict[str, list[str]] = {}
    for one in symbols:
        if one.remark:
            alike.setdefault(f"{'FAILED: ' if one.failed else ''}{one.remark}", []).append(one.symbol)
    said = []
    for remark, names in alike.items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        said.append(f"{', '.join(names[:_MOST_NAMES])}{more}: {remark}")
    return said


def conclusions(summary: Mapping[str, Any]) -> list[str]:
    """What the whole comes to, in sentences."""
    said = []
    for line in summary["forecasts"]:
        many = line["symbols"]
        if not many:
            said.append(f"{line['horizon']}: nothing was scored.")
            continue
        said.append(
            f"{line['horizon']}: the forecast beats naive in {line['better']} of {many} symbols, is worse in "
            f"{line['worse']}; median skill {_percent(line['median_skill'], 3)}."
            + ("" if line["better"] else " It does not beat naive.")
        )
    rules = summary["rules"]
    for line in rules["lines"]:
        said.append(
            f"{line['rule']}: {_percent(line['total_return'], 2)} over all symbols, Sharpe "
            f"{_interval(line['sharpe'], line['sharpe_low'], line['sharpe_high'])}."
        )
    if best := rules["best"]:
        if best["rule"] is None:
            said.append("No rule has moved, so none is the best.")
        else:
            chance = best["overfitting_probability"]
            said.append(
                f"Best of {summary['trials']} trials: {best['rule']}. Chance that its Sharpe ratio is more "
                f"than luck: {_percent(best['deflated_sharpe'], 1)} (deflated Sharpe ratio); that picking "
                f"the best of these rules is overfitting: {_percent(chance, 1)}."
            )
    return said


def _forecasts(lines: Sequence[tuple[SymbolResult, str]]) -> Table:
    table = Table(title="Forecasts against naive (no change)", title_justify="left")
    for name in ("symbol", "horizon"):
        table.add_column(name, no_wrap=True)
    for name in ("bars", "n", "skill % (95 %)", "hit %", "coverage %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("beats naive")
    for one, horizon in lines:
        score = mixture_score(one, horizon)
        assert score is not None
        life = score["lifetime"]
        value, low, high = (_times(life[name], 100) for name in ("r2", "skill_low", "skill_high"))
        said = verdict(score)
        table.add_row(
            one.symbol,
            horizon,
            f"{one.bars:,}",
            f"{score['count']:,}",
            _interval(value, low, high, 3),
            _number(_times(life["hit_rate"], 100), 1),
            _number(_times(life["coverage"], 100), 1),
            said,
            style="bold" if said == BETTER else None,
        )
    return table


def _rules(lines: Sequence[tuple[SymbolResult, RuleResult]]) -> Table:
    table = Table(title="Rules after costs", title_justify="left")
    for name in ("symbol", "rule"):
        table.add_column(name, no_wrap=True)
    numbers = ("return %", "Sharpe (95 %)", "max fall %", "trades", "hit %", "turnover/y", "costs %")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for one, rule in lines:
        said = rule.performance
        table.add_row(
            one.symbol,
            rule.rule,
            _number(_times(said["total_return"], 100), 2),
            _interval(said["sharpe"], rule.sharpe_low, rule.sharpe_high),
            _number(_times(said["max_drawdown"], 100), 1),
            f"{said['trades']:,}",
            _number(_times(said["hit_rate"], 100), 1),
            _number(said["turnover_per_year"], 0),
            _number(said["costs"] / said["capital"] * 100, 2),
        )
    return table


def _interval(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f} ({_number(low, digits)} to {_number(high, digits)})"


def _percent(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
