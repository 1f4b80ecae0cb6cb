"""Whether the forecasts beat naive, in words; and the tables that say by how much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jobs.reporting import wording
from jobs.reporting.forecasts import Forecasts, Score, SymbolForecasts
from jobs.reporting.markup import Cell, Column, Html, Section, bullets, details, join, paragraph, table, tag
from jobs.reporting.wording import interval, many, number

BETTER, WORSE, OPEN, UNKNOWN = "better", "worse", "open", "unknown"
_TONES = {BETTER: "good", WORSE: "bad", OPEN: "quiet", UNKNOWN: "quiet"}
_WORDS = {
    BETTER: "beats naive",
    WORSE: "worse than naive",
    OPEN: "does not beat naive",
    UNKNOWN: "too few answers",
}
_MOST_SINGLE = 1_000
_MOST_REMARKS = 8
_TAIL = 0.025
"""Share of symbols whose 95 % interval lies above 0 though there is no skill."""


def verdict(score: Score | None) -> str:
    """What the 95 % interval of the skill says of a score."""
    if score is None:
        return UNKNOWN
    low, high = score["lifetime"]["skill_low"], score["lifetime"]["skill_high"]
    if low is None or high is None:
        # No spread in the gains: a model that always says "no change" is naive itself.
        return OPEN if score["lifetime"]["r2"] == 0.0 else UNKNOWN
    return BETTER if low > 0.0 else WORSE if high < 0.0 else OPEN


def sentence(score: Score, horizon: str) -> str:
    """The verdict on one symbol's forecast at one horizon."""
    life = score["lifetime"]
    skill, low, high = life["r2"], life["skill_low"], life["skill_high"]
    bounds = f" (95 %: {interval(low, high, 100, 3)})"
    said = verdict(score)
    if said == BETTER:
        return f"The forecast beats naive at {horizon} by {wording.fine_percent(skill)} of the MSE{bounds}."
    if said == WORSE:
        return f"The forecast is worse than naive at {horizon}: skill {wording.fine_percent(skill)}{bounds}."
    if said == OPEN:
        known = bounds if low is not None else ""
        return f"The forecast does not beat naive at {horizon}: skill {wording.fine_percent(skill)}{known}."
    return f"At {horizon} there are too few answers for a verdict: {score['count']:,}."


def verdict_section(forecasts: Forecasts, more: Sequence[Html] = ()) -> Section:
    """A card for each horizon, more cards, then what is to be said of single symbols."""
    cards = [_card(forecasts, horizon) for horizon in forecasts.horizons]
    body = [tag("div", join([*cards, *more]), class_="verdicts")]
    names = forecasts.names
    remarks = [f"{names[one.venue, one.symbol]}: {one.remark}" for one in forecasts.symbols if one.remark]
    if remarks:
        listed = bullets(remarks)
        long = len(remarks) > _MOST_REMARKS
        body.append(tag("h3", "To be known"))
        body.append(details(f"{many(len(remarks), 'symbol')} with a remark", listed) if long else listed)
    return Section("verdict", "Verdict", join(body))


def card(title: str, lines: Sequence[str], tone: str = "quiet") -> Html:
    """One statement in a frame, the first line large."""
    content = [tag("h3", title), *(paragraph(line) for line in lines)]
    return tag("div", join(content), class_=f"verdict {tone}")


def _card(forecasts: Forecasts, horizon: str) -> Html:
    title = f"Forecast over {horizon}"
    scored = [one for one in forecasts.symbols if one.score(horizon) is not None]
    if not scored:
        return card(title, [f"Nothing was scored at {horizon}.", _why(forecasts.symbols)])
    if len(scored) == 1:
        score = scored[0].score(horizon)
        assert score is not None
        return card(
            title, [sentence(score, horizon), _record(score, forecasts.coverage)], _TONES[verdict(score)]
        )
    said = [verdict(one.score(horizon)) for one in scored]
    better, worse, n = said.count(BETTER), said.count(WORSE), len(scored)
    rest = f"and is worse in {worse or 'none'}."
    first = f"The forecast beats naive at {horizon} in {better} of {n} symbols, {rest}"
    if not better:
        first = f"The forecast does not beat naive at {horizon} in any of {n} symbols, {rest}"
    skills = [score["lifetime"]["r2"] for one in scored if (score := one.score(horizon)) is not None]
    known = [skill for skill in skills if skill is not None]
    answers = sum(score["count"] for one in scored if (score := one.score(horizon)) is not None)
    middle = float(np.median(known)) if known else None
    second = f"Median skill {wording.fine_percent(middle)}; {answers:,} answers."
    third = (
        f"Without any skill, chance alone would show {wording.number(_TAIL * n, 1)} of {n} symbols as better."
        if better
        else ""
    )
    tone = (
        "good"
        if better > max(1.0, 2.0 * _TAIL * n) and better > worse
        else "bad"
        if worse > better
        else "quiet"
    )
    return card(title, [line for line in (first, second, third) if line], tone)


def _why(symbols: Sequence[SymbolForecasts]) -> str:
    if not symbols:
        return "There is no symbol in it."
    return f"{many(len(symbols), 'symbol')}, {many(sum(one.rows for one in symbols), 'row')} in all."


def _record(score: Score, coverage: float) -> str:
    life = score["lifetime"]
    hits, covered = wording.percent(life["hit_rate"], 1), wording.percent(life["coverage"], 1)
    return (
        f"{score['count']:,} answers; the sign was right in {hits}; {covered} were inside the interval, "
        f"which states {wording.percent(coverage, 0)}."
    )


_FORECAST_COLUMNS = (
    Column("Symbol", False),
    Column("Horizon", False),
    Column("Verdict", False, "By the 95 % interval of the skill"),
    Column("Skill %", hint="Share of naive's mean squared error that is saved"),
    Column("95 %", hint="Interval of the skill"),
    Column("DM", hint="Diebold-Mariano statistic; above 0 is better than naive"),
    Column("p", hint="Its two-sided p-value"),
    Column("Answers"),
    Column("Void", hint="Questions without an answer: gaps, ends of sessions"),
    Column("Sign right %"),
    Column("Inside %", hint="Outcomes inside the interval"),
    Column("Width bps", hint="Mean width of the interval in basis points"),
    Column("Bias bps", hint="Mean of forecast minus outcome"),
    Column("RMSE bps"),
    Column("Naive bps", hint="Naive's root mean squared error"),
)


def symbols_section(forecasts: Forecasts) -> Section:
    """The table of all symbols and horizons."""
    rows = []
    for one in forecasts.symbols:
        name = forecasts.names[one.venue, one.symbol]
        rows += [_forecast_row(name, horizon, one.score(horizon)) for horizon in forecasts.horizons]
    stated = wording.percent(forecasts.coverage, 0)
    caption = (
        f"Forecasts against naive (no change), scored as docs/scores.md says. Intervals state {stated}. "
        "A column's title sorts by it."
    )
    return Section("symbols", "Forecasts by symbol", table(caption, _FORECAST_COLUMNS, rows))


def _forecast_row(name: str, horizon: str, score: Score | None) -> list[Cell]:
    said = verdict(score)
    begin = [Cell(name), Cell(horizon), Cell(_WORDS[said], tone=_TONES[said])]
    if score is None:
        return begin[:2] + [Cell("nothing scored", tone="quiet")] + [Cell(wording.NOTHING)] * 12
    life = score["lifetime"]
    low, high = life["skill_low"], life["skill_high"]
    rmse, naive = (None if life[one] is None else life[one] ** 0.5 for one in ("mse", "mse_naive"))
    return [
        *begin,
        Cell(number(_times(life["r2"], 100), 3), life["r2"], _TONES[said]),
        Cell(interval(low, high, 100, 3), low),
        Cell(number(life["dm"], 2), life["dm"]),
        Cell(wording.chance(life["dm_p"]), life["dm_p"]),
        Cell(f"{score['count']:,}", score["count"]),
        Cell(f"{score['voided']:,}", score["voided"]),
        Cell(number(_times(life["hit_rate"], 100), 1), life["hit_rate"]),
        Cell(number(_times(life["coverage"], 100), 1), life["coverage"]),
        Cell(wording.bps(life["mean_width"], 1), life["mean_width"]),
        Cell(wording.bps(life["bias"], 3), life["bias"]),
        Cell(wording.bps(rmse, 2), rmse),
        Cell(wording.bps(naive, 2), naive),
    ]


def models_section(forecasts: Forecasts, note: str = "") -> Section | None:
    """The scores model by model, over all symbols and in single ones; None where no learner was scored."""
    models = list(dict.fromkeys(score["model"] for one in forecasts.symbols for score in one.scores))
    if len(models) < 2:
        return None
    summary = [_model_row(forecasts, model, horizon) for horizon in forecasts.horizons for model in models]
    columns = (
        Column("Model", False),
        Column("Horizon", False),
        Column("Symbols"),
        Column("Better", hint="Symbols in which it beats naive, by the 95 % interval"),
        Column("Worse"),
        Column("Median skill %"),
        Column("Best %"),
        Column("Worst %"),
        Column("Median MAE / naive", hint="Mean absolute error over naive's; below 1 is better"),
        Column("Sign right %", hint="Median over symbols"),
        Column("Invalid", hint="Forecasts that were no finite number, all symbols"),
    )
    parts = [paragraph(note)] if note else []
    parts.append(table("Every model against naive, over the whole life of the ledger.", columns, summary))
    rows = [
        _single_row(forecasts.names[one.venue, one.symbol], score)
        for one in forecasts.symbols
        for score in one.scores
    ]
    single = table("Every model in every symbol.", _SINGLE_COLUMNS, rows, _MOST_SINGLE)
    parts.append(details(f"Every symbol ({len(rows):,} rows)", single))
    return Section("models", "Model by model", join(parts))


def _model_row(forecasts: Forecasts, model: str, horizon: str) -> list[Cell]:
    found = [score for one in forecasts.symbols if (score := one.score(horizon, model)) is not None]
    said = [verdict(score) for score in found]
    lives = [score["lifetime"] for score in found]
    skills = [life["r2"] for life in lives if life["r2"] is not None]
    ratios = [life["mae"] / life["mae_naive"] for life in lives if life["mae_naive"]]
    hits = [life["hit_rate"] for life in lives if life["hit_rate"] is not None]
    middle = float(np.median(skills)) if skills else None
    best, worst = (max(skills), min(skills)) if skills else (None, None)
    ratio = float(np.median(ratios)) if ratios else None
    hit = float(np.median(hits)) if hits else None
    invalid = sum(score["invalid"] for score in found)
    better, worse = said.count(BETTER), said.count(WORSE)
    return [
        Cell(model),
        Cell(horizon),
        Cell(f"{len(found):,}", len(found)),
        Cell(f"{better:,}", better, "good" if better else ""),
        Cell(f"{worse:,}", worse, "bad" if worse else ""),
        Cell(number(_times(middle, 100), 3), middle),
        Cell(number(_times(best, 100), 3), best),
        Cell(number(_times(worst, 100), 3), worst),
        Cell(number(ratio, 4), ratio),
        Cell(number(_times(hit, 100), 1), hit),
        Cell(f"{invalid:,}", invalid),
    ]


_SINGLE_COLUMNS = (
    Column("Symbol", False),
    Column("Horizon", False),
    Column("Model", False),
    Column("Skill %"),
    Column("95 %"),
    Column("p"),
    Column("Answers"),
    Column("MAE / naive"),
    Column("Sign right %"),
    Column("Recent skill %", hint="Weighted towards the newest answers"),
)


def _single_row(name: str, score: Score) -> list[Cell]:
    life, recent = score["lifetime"], score["recent"]
    ratio = life["mae"] / life["mae_naive"] if life["mae_naive"] else None
    return [
        Cell(name),
        Cell(score["horizon"]),
        Cell(score["model"]),
        Cell(number(_times(life["r2"], 100), 3), life["r2"], _TONES[verdict(score)]),
        Cell(interval(life["skill_low"], life["skill_high"], 100, 3), life["skill_low"]),
        Cell(wording.chance(life["dm_p"]), life["dm_p"]),
        Cell(f"{score['count']:,}", score["count"]),
        Cell(number(ratio, 4), ratio),
        Cell(number(_times(life["hit_rate"], 100), 1), life["hit_rate"]),
        Cell(number(_times(recent["r2"], 100), 3), recent["r2"]),
    ]


def _times(value: float | None, by: float) -> float | None:
    return None if value is None else value * by
