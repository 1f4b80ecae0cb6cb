"""How trading rules did: over all symbols, symbol by symbol, and what of it is luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.backtesting.result import Manifest, RuleResult
from jobs.reporting import wording
from jobs.reporting.markup import Cell, Column, Html, Section, join, paragraphs, table
from jobs.reporting.verdicts import card
from jobs.reporting.wording import interval, number, percent


def rule_cards(summary: Mapping[str, Any]) -> list[Html]:
    """The best rule over all symbols, and how far it is luck, as cards for the verdict."""
    rules = summary["rules"]
    lines = [line for line in rules["lines"] if line["total_return"] is not None]
    if not lines:
        return []
    best = max(lines, key=lambda line: (line["sharpe"] is not None, line["sharpe"], line["total_return"]))
    return [card("Trading after costs", _best(best, rules, summary["trials"]), _tone(best))]


def rules_section(manifest: Manifest, names: Mapping[tuple[str, str], str]) -> Section:
    """Tables of the rules: all symbols in equal shares, then each symbol."""
    summary = manifest.summary
    parts = [
        table(_all_caption(manifest), _ALL_COLUMNS, [_all_row(line) for line in summary["rules"]["lines"]])
    ]
    parts.append(paragraphs(luck(summary)))
    rows = [_row(names[one.venue, one.symbol], rule) for one in manifest.symbols for rule in one.rules]
    parts.append(table("Each rule on each symbol, after costs.", _COLUMNS, rows))
    return Section("rules", "Trading rules", join(parts))


def luck(summary: Mapping[str, Any]) -> list[str]:
    """What the deflated Sharpe ratio and the probability of overfitting say, in sentences."""
    best = summary["rules"]["best"]
    trials = summary["trials"]
    if best is None:
        return (
            ["One rule was tried, so its Sharpe ratio is not deflated."] if summary["rules"]["lines"] else []
        )
    if best["rule"] is None:
        return ["No rule has moved, so none is the best."]
    said = (
        f"Of {wording.many(trials, 'trial')}, {best['rule']} has the highest Sharpe ratio. The chance that "
        f"it is more than the luck of trying so many is {_or_unknown(best['deflated_sharpe'])} (deflated "
        "Sharpe ratio)."
    )
    chance = best["overfitting_probability"]
    more = f"The chance that picking the best of these rules is overfitting is {_or_unknown(chance)}."
    return [said, more]


def _best(best: Mapping[str, Any], rules: Mapping[str, Any], trials: int) -> list[str]:
    low, high = best["sharpe_low"], best["sharpe_high"]
    bounds = f" (95 %: {interval(low, high)})" if low is not None else ""
    earned = best["total_return"]
    did = "makes" if earned > 0.0 else "loses" if earned < 0.0 else "neither makes nor loses money:"
    lines = [
        f"{best['rule']} {did} {percent(abs(earned))} over all symbols, Sharpe "
        f"{number(best['sharpe'])}{bounds}."
    ]
    if low is None or high is None or low <= 0.0 <= high:
        lines.append("Its Sharpe ratio can't be told from 0.")
    chosen = rules["best"]
    if chosen and chosen["deflated_sharpe"] is not None:
        lines.append(
            f"After {wording.many(trials, 'trial')}, the chance that it is more than luck: "
            f"{_or_unknown(chosen['deflated_sharpe'])}."
        )
    return lines


def _tone(best: Mapping[str, Any]) -> str:
    low, high = best["sharpe_low"], best["sharpe_high"]
    return "good" if low is not None and low > 0.0 else "bad" if high is not None and high < 0.0 else "quiet"


def _or_unknown(share: float | None) -> str:
    return "unknown" if share is None else percent(share, 1)


_ALL_COLUMNS = (
    Column("Rule", False),
    Column("Return %"),
    Column("Sharpe", hint="Yearly"),
    Column("95 %", hint="Stationary bootstrap"),
)


def _all_caption(manifest: Manifest) -> str:
    rules = manifest.summary["rules"]
    if not rules["lines"]:
        return "All symbols in equal shares of the capital."
    periods = f"{rules['periods']:,} periods of {rules['period']}"
    return f"All symbols in equal shares of the capital; Sharpe from {periods}."


def _all_row(line: Mapping[str, Any]) -> list[Cell]:
    return [
        Cell(line["rule"]),
        _share(line["total_return"], 2, True),
        Cell(number(line["sharpe"]), line["sharpe"]),
        Cell(interval(line["sharpe_low"], line["sharpe_high"]), line["sharpe_low"]),
    ]


_COLUMNS: Sequence[Column] = (
    Column("Symbol", False),
    Column("Rule", False),
    Column("Return %"),
    Column("CAGR %", hint="Yearly compound return; none below four weeks"),
    Column("Sharpe", hint="Yearly"),
    Column("95 %", hint="Of the Sharpe ratio, from a stationary bootstrap"),
    Column("Sortino"),
    Column("Calmar"),
    Column("Max. fall %", hint="Deepest fall from a peak"),
    Column("Longest fall", hint="Longest time below a peak"),
    Column("Trades", hint="Round trips"),
    Column("Won %", hint="Round trips that made money after costs"),
    Column("Mean trade", hint="In quote currency, after costs"),
    Column("Profit factor", hint="What winners made for each unit that losers lost"),
    Column("Exposed %", hint="Bars with a position"),
    Column("Turnover / y", hint="Value of all fills in a year over the mean equity"),
    Column("Costs %", hint="Fees, spread and slippage, of the capital"),
)


def _row(name: str, rule: RuleResult) -> list[Cell]:
    said = rule.performance
    longest = said["longest_drawdown_s"]
    costs = said["costs"] / said["capital"] if said["costs"] is not None else None
    return [
        Cell(name),
        Cell(rule.rule),
        _share(said["total_return"], 2, True),
        _share(said["cagr"], 1),
        Cell(number(said["sharpe"]), said["sharpe"]),
        Cell(interval(rule.sharpe_low, rule.sharpe_high), rule.sharpe_low),
        Cell(number(said["sortino"]), said["sortino"]),
        Cell(number(said["calmar"]), said["calmar"]),
        _share(said["max_drawdown"], 1),
        Cell(wording.duration(longest), longest),
        Cell(f"{said['trades']:,}", said["trades"]),
        _share(said["hit_rate"], 1),
        Cell(number(said["average_trade"]), said["average_trade"]),
        Cell(number(said["profit_factor"]), said["profit_factor"]),
        _share(said["exposure"], 1),
        Cell(number(said["turnover_per_year"], 0), said["turnover_per_year"]),
        _share(costs, 2),
    ]


def _share(value: float | None, digits: int, toned: bool = False) -> Cell:
    tone = "" if not toned or not value else "good" if value > 0.0 else "bad"
    return Cell(number(None if value is None else 100 * value, digits), value, tone)
