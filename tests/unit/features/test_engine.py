"""The whole loop of one symbol: what it forecasts, scores, refuses and survives."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.bars import Bars, BarSpec
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError, SnapshotError, SpecError
from features.ticks import TickBuffer, Ticks
from tests.unit.features.engine_runs import SECOND, START_NS, market, run, said, small_spec

DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def ticks() -> Ticks:
    return market(400, seed=1, gaps=2)


# What it says


def test_every_forecast_is_for_its_bar_and_its_horizon(ticks: Ticks) -> None:
    engine = SymbolEngine(small_spec(coverage=0.8))
    step = engine.update(ticks)
    ends = step.bars.end_ns.tolist()[2:]
    assert [f.made_at_ns for f in step.forecasts] == [end for end in ends for _ in range(2)]
    assert {(f.symbol, f.coverage, f.model, f.version) for f in step.forecasts} == {
        ("TEST", 0.8, "mixture", 0)
    }
    length = {"1s": SECOND, "3s": 3 * SECOND}
    references = dict(zip(step.bars.end_ns.tolist(), step.bars.column("reference").tolist(), strict=True))
    for forecast in step.forecasts:
        assert forecast.due_ns == forecast.made_at_ns + length[forecast.horizon]
        assert forecast.price == references[forecast.made_at_ns]
        assert forecast.price_forecast == forecast.price * math.exp(forecast.expected_return)
        assert forecast.lower <= forecast.price_forecast <= forecast.upper


def test_the_first_forecast_comes_with_the_bar_that_was_asked_for(ticks: Ticks) -> None:
    for first in (1, 7):
        engine = SymbolEngine(small_spec(first_forecast_bars=first))
        step = engine.update(ticks)
        assert step.forecasts[0].made_at_ns == step.bars.end_ns[first - 1]
        assert engine.bars_seen == len(step.bars)


def test_an_answer_is_the_return_of_the_reference_price_over_the_horizon(ticks: Ticks) -> None:
    step = SymbolEngine(small_spec()).update(ticks)
    price = {
        (end, session): reference
        for end, session, reference in zip(
            step.bars.end_ns.tolist(),
            step.bars.session.tolist(),
            step.bars.column("reference").tolist(),
            strict=True,
        )
    }
    session_of = dict(zip(step.bars.end_ns.tolist(), step.bars.session.tolist(), strict=True))
    scored = 0
    for answer in step.answers:
        later = price.get((answer.due_ns, session_of[answer.made_at_ns]))
        if later is None:
            assert math.isnan(answer.outcome)
        else:
            assert answer.outcome == math.log(later / answer.price)
            scored += 1
    assert scored > 500


def test_an_answer_repeats_what_the_forecast_had_said(ticks: Ticks) -> None:
    step = SymbolEngine(small_spec()).update(ticks)
    made = {(f.horizon, f.made_at_ns): f for f in step.forecasts}
    for answer in step.answers:
        forecast = made[answer.horizon, answer.made_at_ns]
        assert (answer.due_ns, answer.price) == (forecast.due_ns, forecast.price)
        assert answer.forecast == forecast.expected_return
        assert answer.price * math.exp(answer.lower) == forecast.lower
        assert answer.price * math.exp(answer.upper) == forecast.upper


def test_the_watermark_names_the_newest_tick_that_is_known() -> None:
    buffer = TickBuffer()
    for i in range(4):
        ts = START_NS + i * SECOND + 300_000_000
        buffer.trade(ts, ts, 50 + i, 100.0, 1.0, 0)
        buffer.quote(ts + 7, ts + 7, 99.0, 101.0, 1.0, 1.0)
    step = SymbolEngine(small_spec(first_forecast_bars=1)).update(buffer.take())
    assert [f.watermark_trade_id for f in step.forecasts[::2]] == [50, 51, 52]
    assert [f.watermark_ns - START_NS for f in step.forecasts[::2]] == [
        i * SECOND + 300_000_007 for i in range(3)
    ]


def test_a_venue_without_trade_ids_leaves_the_watermark_without_one() -> None:
    ticks = Ticks.from_columns(9, ts_ns=START_NS + SECOND * np.arange(9), price=100.0, size=1.0)
    step = SymbolEngine(small_spec()).update(ticks)
    assert {f.watermark_trade_id for f in step.forecasts} == {None}


def test_warm_and_degraded_say_what_is_missing() -> None:
    no_quotes = market(60, quotes=False)
    step = SymbolEngine(small_spec()).update(no_quotes)
    first, last = step.forecasts[0], step.forecasts[-1]
    assert (first.warm, first.degraded) == (False, ("2 of 4 features are missing",))
    assert (last.warm, last.degraded) == (True, ("1 of 4 features are missing",))
    full = SymbolEngine(small_spec(features=("log_return:1", "zscore:4"))).update(no_quotes)
    assert (full.forecasts[-1].warm, full.forecasts[-1].degraded) == (True, ())


def test_a_new_session_is_cold_again_and_voids_what_was_open(ticks: Ticks) -> None:
    engine = SymbolEngine(small_spec())
    step = engine.update(ticks)
    sessions = sorted(set(step.bars.session.tolist()))
    assert len(sessions) > 2
    for session in sessions[1:]:
        start = step.bars.end_ns[step.bars.session == session][0]
        assert not next(f for f in step.forecasts if f.made_at_ns == start).warm
    for horizon, bars in (("1s", 1), ("3s", 3)):
        score = engine.ledger.score("mixture", horizon)
        voided = [a for a in step.answers if a.horizon == horizon and math.isnan(a.outcome)]
        assert score.voided == len(voided) >= 2 * bars
        made = sum(f.horizon == horizon for f in step.forecasts)
        assert score.count == made - score.voided - bars


def test_it_learns_a_signal_and_says_who_is_listened_to() -> None:
    engine = SymbolEngine(small_spec(features=("last_side", "log_return:1"), horizons=("1s",)))
    engine.update(market(4000, seed=3, quotes=False))
    score = engine.ledger.score("mixture", "1s")
    assert score.lifetime.r2 > 0.02
    weights = engine.weights()["1s"]
    assert list(weights) == ["naive", "ew_mean:0.01", "ridge:5,0.999"]
    assert weights["ridge:5,0.999"] > 0.3
    assert 0.86 < score.lifetime.coverage < 0.94


# What it survives


def test_prices_that_leap_by_13_digits_give_finite_forecasts() -> None:
    random = np.random.default_rng(4)
    price = np.where(random.random(600) < 0.3, 1e-8, 1e5)
    ticks = Ticks.from_columns(600, ts_ns=START_NS + SECOND * np.arange(600), price=price, size=1.0)
    for models in (("ridge:0.001,0.9",), ("river_linear:1", "river_bayesian", "river_tree:1")):
        spec = small_spec(models=("naive", *models), first_forecast_bars=1)
        step = SymbolEngine(spec).update(ticks)
        assert len(step.forecasts) > 1000
        for f in step.forecasts:
            assert 0.0 < f.lower <= f.price_forecast <= f.upper < math.inf
            assert 0.0 <= f.p_up <= 1.0


def test_a_price_that_never_moves_is_forecast_not_to_move() -> None:
    ticks = Ticks.from_columns(900, ts_ns=START_NS + SECOND * np.arange(900), price=7.0, size=0.0)
    step = SymbolEngine(small_spec()).update(ticks)
    assert {(f.price_forecast, f.lower, f.upper) for f in step.forecasts[-200:]} == {(7.0, 7.0, 7.0)}
    assert step.forecasts[-1].p_up < 0.4


def test_without_a_closed_bar_there_is_nothing_to_say() -> None:
    engine = SymbolEngine(small_spec())
    for batch in (Ticks.from_columns(0), market(1)):
        step = engine.update(batch)
        assert (len(step.bars), step.features.shape, step.forecasts, step.answers) == (0, (0, 4), [], [])
    assert (engine.bars_seen, engine.open_questions) == (0, 0)


# Bars from history


def daily(n: int) -> Bars:
    random = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(0.01 * random.standard_normal(n)))
    start = START_NS // DAY * DAY + DAY * np.arange(n)
    return Bars.from_columns(start, start + DAY, close=close, volume=1e6)


DAILY = EngineSpec(
    "TEST",
    bars=BarSpec.parse("time:1d"),
    features=("log_return:1", "rsi:5"),
    horizons=("1d", "5d"),
    models=("naive", "ridge:50"),
)


def test_history_that_is_bars_already_goes_the_same_way() -> None:
    bars, engine = daily(300), SymbolEngine(DAILY)
    step = engine.update_bars(bars)
    assert len(step.forecasts) == 2 * 291
    assert {f.watermark_trade_id for f in step.forecasts} == {None}
    closes = bars.column("close")
    ends = bars.end_ns.tolist()
    for answer in step.answers:
        later = closes[ends.index(answer.due_ns)]
        assert answer.outcome == math.log(later / answer.price)
    assert engine.ledger.score("mixture", "5d").count == 291 - 5


def test_bars_one_by_one_say_what_bars_at_once_say() -> None:
    bars, whole, single = daily(120), SymbolEngine(DAILY), SymbolEngine(DAILY)
    want = said([whole.update_bars(bars)])
    assert said([single.update_bars(bars[i : i + 1]) for i in range(len(bars))]) == want
    assert single.digest() == whole.digest()


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0, math.inf])
def test_a_bar_without_a_price_is_refused_and_leaves_no_trace(bad: float) -> None:
    engine = SymbolEngine(DAILY)
    engine.update_bars(daily(30))
    before, bars = engine.digest(), daily(30)
    for column in ("reference", "close"):
        broken = Bars(bars.times.copy(), bars.values.copy())
        broken.column(column)[7] = bad
        with pytest.raises(DataError):
            engine.update_bars(broken)
        assert engine.digest() == before


# Snapshots


def test_a_fresh_process_goes_on_to_the_bit(ticks: Ticks, tmp_path: Path) -> None:
    spec = small_spec(models=("naive", "ridge:5", "river_tree:5"))
    _, whole = run(spec, [ticks])
    _, half = run(spec, [ticks[: len(ticks) // 2]])
    (tmp_path / "snapshot").write_bytes(half.snapshot())
    (tmp_path / "ticks").write_bytes(ticks[len(ticks) // 2 :].to_bytes())
    program = (
        "import sys; from pathlib import Path; from features.engine import SymbolEngine;"
        "from features.ticks import Ticks; from tests.unit.features.engine_runs import small_spec;"
        "folder = Path(sys.argv[1]);"
        "spec = small_spec(models=('naive', 'ridge:5', 'river_tree:5'));"
        "engine = SymbolEngine.restore(spec, (folder / 'snapshot').read_bytes());"
        "engine.update(Ticks.from_bytes((folder / 'ticks').read_bytes()));"
        "print(engine.digest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.strip() == whole.digest(), done.stderr


def test_equal_engines_have_equal_digests_and_every_part_counts(ticks: Ticks) -> None:
    _, one = run(small_spec(), [ticks])
    _, other = run(small_spec(), [ticks])
    assert one.digest() == other.digest()
    other.ledger.void(0)
    assert one.digest() != other.digest()
    assert SymbolEngine(small_spec()).digest() != one.digest()


def test_a_snapshot_of_other_settings_of_a_newer_version_or_damaged_is_refused(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, engine = run(small_spec(), [ticks])
    data = engine.snapshot()
    for changes in ({"symbol": "OTHER"}, {"coverage": 0.8}, {"models": ("naive",)}, {"horizons": ("1s",)}):
        with pytest.raises(SnapshotError, match="other settings"):
            SymbolEngine.restore(small_spec(**changes), data)
    changed = bytes([data[500] ^ 1])
    for damaged in (data[:-1], data[:500] + changed + data[501:], b"", data + b"x"):
        with pytest.raises(SnapshotError, match="damaged"):
            SymbolEngine.restore(small_spec(), damaged)
    monkeypatch.setattr("features.engine._SNAPSHOT_VERSION", 1_000)
    newer = engine.snapshot()
    monkeypatch.undo()
    with pytest.raises(SnapshotError, match="version 1000 is newer"):
        SymbolEngine.restore(small_spec(), newer)


def test_taking_a_snapshot_changes_nothing(ticks: Ticks) -> None:
    _, engine = run(small_spec(), [ticks])
    before = engine.digest()
    assert engine.snapshot() == engine.snapshot()
    assert engine.digest() == before


# Settings


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"horizons": ()}, 'horizons: there is no horizon; give at least one, for example "10s"'),
        ({"horizons": ("1500ms",)}, "horizons: horizon 1500ms is not a multiple of the bar interval 1s"),
        ({"horizons": ("10",)}, "horizons: '10' is not a duration"),
        ({"horizons": ("3s", "3s")}, "horizons: listed twice: 3s; list each once"),
        ({"models": ()}, "models: the first model is not naive; naive comes first"),
        ({"models": ("ridge",)}, "models: the first model is not naive"),
        ({"models": ("naive", "ridge", "ridge")}, "models: listed twice: ridge:"),
        ({"models": ("naive", "rigde")}, "models: unknown model 'rigde'; did you mean 'ridge'?"),
        ({"features": ("log_retrun:1",)}, "features: unknown feature 'log_retrun'; did you mean"),
        ({"features": ()}, "features: no features are given"),
        ({"coverage": 0.4}, "coverage: coverage 0.4 is not in [0.5, 1)"),
        ({"coverage": 1.0}, "coverage: coverage 1.0 is not in [0.5, 1)"),
        ({"coverage": math.nan}, "coverage: coverage nan is not in [0.5, 1)"),
        ({"ledger_half_life": 0.0}, "ledger_half_life: 0.0 is no half-life"),
        ({"first_forecast_bars": 0}, "first_forecast_bars: 0 is below 1"),
    ],
)
def test_settings_that_cannot_be_used_say_why(changes: dict[str, object], says: str) -> None:
    with pytest.raises(SpecError) as error:
        small_spec(**changes)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_a_horizon_is_counted_in_bars_exactly_or_as_one_event_bar() -> None:
    assert small_spec().horizon_bars("1m") == 60
    assert small_spec(bars=BarSpec.parse("time:15s"), horizons=("30s",)).horizon_bars("30s") == 2
    assert small_spec(bars=BarSpec.parse("tick:100")).horizon_bars("1500ms") == 1


def test_equal_settings_have_equal_identity_however_their_numbers_are_written() -> None:
    one = small_spec(ledger_half_life=5000, bars=BarSpec("time", SECOND))
    other = small_spec(ledger_half_life=5000.0, bars=BarSpec.parse("time:1s"))
    assert one.digest() == other.digest()
    assert small_spec(first_forecast_bars=4).digest() != small_spec().digest()
