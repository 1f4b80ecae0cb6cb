"""One symbol's backtest: the engine's own numbers, whatever it is cut into and wherever it is killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluster.errors import StoreUnreachable
from cluster.storage.folder_store import FolderStore
from features.bars import Bars, BarSpec
from features.engine import SymbolEngine
from features.model_slots import as_plain
from features.trading.account import Account
from features.trading.performance import measure
from features.trading.rules import Rule
from jobs.backtesting import rule_results
from jobs.backtesting.result import Results, SymbolResult
from jobs.backtesting.settings import BacktestSettings
from jobs.backtesting.symbol_run import pieces, run_symbol
from tests.unit.features.engine_runs import SECOND, market
from tests.unit.jobs.backtesting.histories import Failing, Given, candles, rows, settings

HISTORY = candles(240, session_bars=100)


def run(
    store: FolderStore, run_id: str, batches: Any, spec: BacktestSettings, piece_rows: int = 0
) -> tuple[SymbolResult, dict[str, list[bytes]]]:
    results = Results(store, run_id)
    result = run_symbol(Given(batches), results, spec, "venue", "AAA", piece_rows=piece_rows)
    assert not result.failed, result.remark
    return timeless(result), rows(results, result)


def timeless(result: SymbolResult) -> SymbolResult:
    """A result without what depends on the clock and on the size of pieces."""
    return replace(result, seconds=0.0, split={}, parts={})


def test_it_is_the_engine_and_the_accounts_and_nothing_else(store: Failing) -> None:
    """Scores, answers and curves are those of an engine, rules and accounts fed by hand."""
    spec = settings()
    result, found = run(store, "one", [HISTORY], spec, piece_rows=64)
    engine = SymbolEngine(spec.engine_spec("AAA"))
    step = engine.update_bars(HISTORY)
    assert result.engine == engine.digest()
    assert list(result.scores) == [as_plain(one) for one in engine.scores()]
    assert (result.bars, result.sessions, result.forecasts) == (240, 3, len(step.forecasts))
    answers = Results(store, "one").read("answers", "venue", "AAA").to_pylist()
    assert [one["due_ns"] for one in answers] == [one.due_ns for one in step.answers]
    assert [one["forecast"] for one in answers] == [one.forecast for one in step.answers]
    assert result.answers == sum(one["outcome"] is not None for one in answers) < len(answers)
    for variant in spec.variants:
        expected = np.full(len(HISTORY), np.nan)
        said = [one.expected_return for one in step.forecasts if one.horizon == variant.horizon]
        expected[len(expected) - len(said) :] = said
        account = Account(spec.trading)
        traded = account.update(HISTORY, Rule(variant.rule).update(HISTORY, expected))
        own = result.rule(variant.text)
        assert own is not None
        assert own.performance == measure(traded, spec.trading.capital).as_dict()
        curve = Results(store, "one").read("curve", "venue", "AAA").to_pylist()
        mine = [one for one in curve if one["rule"] == variant.text]
        assert [one["equity"] for one in mine] == traded.column("equity").tolist()
        assert mine[-1]["costs"] == pytest.approx(own.performance["costs"])
        assert len(found.get(f"trades {variant.text}", [])) == len(traded.trips)
    assert sum(len(found.get(f"fills {rule}", [])) for rule in spec.rules) > 10


@pytest.mark.parametrize("piece_rows", [1, 17, 64, 1000])
def test_pieces_change_no_bit(store: Failing, piece_rows: int) -> None:
    """However the history comes and however it is cut, every row and digest is the same."""
    short = HISTORY[:40] if piece_rows == 1 else HISTORY
    want = run(store, "whole", [short], settings())
    cut = [short[:3], short[3:3], short[3:50], short[50:]]
    assert run(store, "cut", cut, settings(), piece_rows) == want


def test_killed_at_any_write_it_goes_on_to_the_same_bits(store: Failing) -> None:
    """Whatever put fails, the next start ends in what an undisturbed run has, and leaves no checkpoint."""
    history = [HISTORY[:140]]
    want = run(store, "undisturbed", history, settings(), 60)
    killed = 0
    for puts in range(40):
        run_id = f"killed{puts}"
        store.arm(puts)
        try:
            run(store, run_id, history, settings(), 60)
            break
        except StoreUnreachable:
            killed += 1
        store.arm(1 << 60)
        assert run(store, run_id, history, settings(), 60) == want
        assert Results(store, run_id).checkpoint("venue", "AAA") is None
    assert killed > 10


def test_a_finished_symbol_is_not_computed_again(store: Failing) -> None:
    """The second start reads nothing."""
    want = run(store, "one", [HISTORY], settings())
    lines: list[str] = []
    result = run_symbol(Given([]), Results(store, "one"), settings(), "venue", "AAA", report=lines.append)
    assert timeless(result) == want[0]
    assert lines == ["AAA: done before"]


def test_a_checkpoint_of_other_settings_is_not_used(store: Failing) -> None:
    """It says so, and begins at the beginning."""
    results = Results(store, "one")
    results.put_checkpoint("venue", "AAA", b"damaged")
    lines: list[str] = []
    run_symbol(Given([HISTORY]), results, settings(), "venue", "AAA", lines.append)
    assert "from the beginning" in lines[0]
    assert rows(results, results.summary("venue", "AAA")) == run(store, "two", [HISTORY], settings())[1]


def test_ticks_are_gathered_into_the_same_bars_as_live(store: Failing) -> None:
    """The engine of a backtest over ticks ends in the state of one that was fed them as they came."""
    spec = settings(
        bars=BarSpec("time", SECOND, max_fill=5),
        horizons=("1s", "3s"),
        features=("log_return:1", "flow_imbalance:2"),
        rules=("forecast:0", "long"),
    )
    ticks = market(200, seed=3, gaps=2)
    engine = SymbolEngine(spec.engine_spec("AAA"))
    for at in range(0, len(ticks), 5):
        engine.update(ticks[at : at + 5])
    result, _ = run(store, "ticks", [ticks], spec, 64)
    assert result.engine == engine.digest()
    assert list(result.scores) == [as_plain(one) for one in engine.scores()]


NOTHING = HISTORY[:0]
FLAT = Bars.from_columns(HISTORY.start_ns, HISTORY.end_ns, close=np.full(240, 5.0))


@pytest.mark.parametrize(
    ("batches", "changes", "remark"),
    [
        ([], {}, "no bars in this period"),
        ([NOTHING], {}, "no bars in this period"),
        ([HISTORY[:1]], {}, "1 bar; the first forecast is made after 3"),
        ([HISTORY[:3]], {}, "no horizon has passed within a session: nothing to score"),
        ([FLAT], {}, "the price never moved"),
        ([HISTORY], {"features": ("spread",)}, "no feature was ever known"),
        ([HISTORY], {"features": ("log_return:9999",)}, "no feature was ever known"),
    ],
)
def test_odd_histories_give_a_clear_row(store: Failing, batches, changes, remark) -> None:  # type: ignore[no-untyped-def]
    """Nothing fails, and the result says what there was."""
    result, _ = run(store, "odd", batches, settings(**changes))
    assert result.remark == remark
    assert result.bars == sum(len(batch) for batch in batches)
    assert len(result.rules) == (len(settings().rules) if result.bars else 0)


def test_bars_that_can_not_be_fail_their_symbol_alone(store: Failing) -> None:
    """What is wrong is told; nothing of the symbol counts, so that the next start tries again."""
    broken = Bars(HISTORY.times.copy(), HISTORY.values.copy())
    broken.column("reference")[200] = -1.0
    results = Results(store, "broken")
    result = run_symbol(Given([broken]), results, settings(), "venue", "AAA", piece_rows=64)
    assert result.failed and "reference price" in result.remark
    assert results.summary("venue", "AAA") is None


def test_long_curves_are_thinned_out_for_measuring(store: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit one bar a minute is kept; what needs every bar is the account's own sum."""
    spec = settings(bars=BarSpec("time", SECOND), horizons=("1s",), rules=("crossover:2,5", "long"))
    ticks = market(400, seed=1)
    exact, _ = run(store, "exact", [ticks], spec, 500)
    monkeypatch.setattr(rule_results, "MOST_ROWS", 100)
    thin, _ = run(store, "thin", [ticks], spec, 300)
    for one, other in zip(exact.rules, thin.rules, strict=True):
        for name in ("bars", "final_equity", "trades", "fills", "costs", "exposure"):
            assert one.performance[name] == other.performance[name]
        assert one.performance["max_drawdown"] == pytest.approx(other.performance["max_drawdown"])
        assert other.performance["periods"] < one.performance["periods"]


def test_pieces_pass_over_what_was_fed() -> None:
    """Any skip and size give the rest of the history in order."""
    batches = [HISTORY[:10], HISTORY[10:10], HISTORY[10:37], HISTORY[37:]]
    for skip in (0, 5, 10, 37, 239, 240, 500):
        for size in (1, 20, 1000):
            cut = list(pieces(iter(batches), skip, size))
            joined = Bars.concat(cut)
            assert joined.end_ns.tolist() == HISTORY.end_ns[skip:].tolist()
            assert all(len(piece) == size for piece in cut[:-1])
