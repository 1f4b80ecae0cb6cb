"""Benchmark 6: how good the forecasts are, on real trades and on the generated market.

The engine sees the trades in order, learns as it goes, and every forecast is scored once its horizon has
passed; it never sees a day before it forecasts it. R2 is the share of the naive forecast's squared error
that is saved (naive: no change). Days are scored apart, the learning goes on over them.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from functools import partial

from cluster.exchange.market import MarketSpec
from features.engine import DEFAULT_MODELS, EngineSpec, SymbolEngine
from features.forecast import Answer
from features.ledger import Ledger, LedgerSpec, Score
from features.ticks import Ticks
from tests.bench import sources
from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table

_HORIZONS = {"10s": 10, "60s": 60}
_IMPLIED = "implied_mid_gap"
_PIECE = 20_000
_DAY_NS = 86_400_000_000_000


def _replay(where: str, ticks: Ticks, sample: Sample) -> None:
    """Feed all trades; rows by horizon and day, then over all days for every model."""
    engine = SymbolEngine(EngineSpec(where.rpartition(" ")[2], models=DEFAULT_MODELS))
    gap = engine.feature_set.columns.index(_IMPLIED)
    gaps: dict[int, float] = {}
    days: dict[tuple[str, int], list[Answer]] = defaultdict(list)
    for first in range(0, len(ticks), _PIECE):
        step = engine.update(ticks[first : first + _PIECE])
        gaps |= zip(step.bars.end_ns.tolist(), step.features[:, gap].tolist(), strict=True)
        for answer in step.answers:
            days[answer.horizon, answer.made_at_ns // _DAY_NS].append(answer)
    several = len({day for _, day in days}) > 1
    whole: dict[str, list[Answer]] = defaultdict(list)
    for (horizon, day), answers in sorted(days.items()):
        whole[horizon] += answers
        if several:
            date = datetime.fromtimestamp(day * _DAY_NS / 1e9, UTC).date()
            _add(sample, f"days: {where}, {horizon}, {date}", _score(horizon, answers, gaps)[0])
    river = _river_engine(ticks)
    for horizon, answers in whole.items():
        for model in engine.model_names[1:]:
            _add(sample, f"models: {where}, {horizon}, {model}", engine.ledger.score(model, horizon))
        rival = f"models: {where}, {horizon}, rival:"
        _add(sample, f"{rival} River's linear regression", river.ledger.score(river.model_names[1], horizon))
        _add(sample, f"{rival} back to the implied mid", _score(horizon, answers, gaps)[1])


def _river_engine(ticks: Ticks) -> SymbolEngine:
    """River's linear regression on the same features, scored as it forecasts without our mixture."""
    engine = SymbolEngine(EngineSpec("RIVAL", models=("naive", "river_linear")))
    for first in range(0, len(ticks), _PIECE):
        engine.update(ticks[first : first + _PIECE])
    return engine


def _score(horizon: str, answers: list[Answer], gaps: dict[int, float]) -> tuple[Score, Score]:
    """The forecast's score over some answers, and that of "back to the mid of the last buy and sell".

    By the same arithmetic as the engine's ledger. The second one shows how much of the first is no more
    than the bounce of the last price between bid and ask.
    """
    spec = LedgerSpec(("forecast", "mid"), (_HORIZONS[horizon],), (horizon,), 0.9, 5000.0, lag_spans=2)
    ledger = Ledger(spec)
    nan = float("nan")
    for one in answers:
        mid = gaps.get(one.made_at_ns, nan)
        ledger.record(0, one.outcome, [one.forecast, mid], [one.lower, nan], [one.upper, nan])
    return ledger.score("forecast", horizon), ledger.score("mid", horizon)


def _add(sample: Sample, row: str, score: Score) -> None:
    track = score.lifetime
    metrics = {
        "r2": 100.0 * track.r2,
        "low": 100.0 * track.skill_low,
        "high": 100.0 * track.skill_high,
        "hits": 100.0 * track.hit_rate,
        "coverage": 100.0 * track.coverage,
        "n": float(score.count),
    }
    sample.add(row, **{name: value for name, value in metrics.items() if value == value})


def _real(symbol: str, effort: Effort) -> Sample:
    sample = Sample()
    ticks = sources.real_trades(symbol)
    _replay(f"real {symbol}", ticks[: effort.pick(len(ticks), 60_000)], sample)
    return sample


def _made(effort: Effort) -> Sample:
    sample = Sample()
    market = MarketSpec(symbols=("BTCUSDT",), seed=1, start_ns=sources.START_NS).open(0)
    blocks = [market.next_events().ticks for _ in range(effort.pick(2_160, 120))]
    _replay("generated BTCUSDT", Ticks.concat(blocks), sample)
    if why := sources.no_real_file():
        sample.notes.append(f"real trades skipped: {why}")
    sample.notes.append(f"the generated market runs for {len(blocks) / 360:.1f} hours of its own time")
    return sample


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {"generated market": _made}
    if not sources.no_real_file():
        cases |= {f"real {symbol}": partial(_real, symbol) for symbol in sources.real_symbols()}
    return cases


_COLUMNS = (
    Column("r2", "R2 against naive, %"),
    Column("low", "95 % interval from"),
    Column("high", "to"),
    Column("hits", "hit rate, %"),
    Column("coverage", "coverage of 90 % intervals, %"),
    Column("n", "answers"),
)

BENCHMARK = Benchmark(
    name="skill",
    title="forecasts scored against naive",
    cases=_cases(),
    tables=(
        Table("The forecast (mixture), by day", _COLUMNS, (), "what", "days: "),
        Table("All models over the whole stream", _COLUMNS, (), "what", "models: "),
    ),
    rounds=1,
    limit_s=600.0,
)
