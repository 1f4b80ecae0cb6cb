"""A grid is its rules and accounts by themselves, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import DataError, SnapshotError, SpecError
from features.trading import grid as module
from features.trading.account import Account
from features.trading.grid import Grid
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec
from tests.unit.features.trading.account_reference import minute_bars, random_market

TEXTS = ("crossover:2,7", "crossover:3,7,20", "crossover:7,30", "long", "reversal:1,8", "forecast:30,2")
RULES = [RuleSpec.parse(text) for text in TEXTS]
SPEC = TradingSpec(half_spread_bps=2, sizing="capital:0.7")
BARS, _ = random_market(1_500, 31)
EXPECTED = np.random.default_rng(32).normal(0.0, 5e-3, 1_500)


def test_each_account_ends_where_it_would_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 64)
    grid = Grid(RULES, SPEC)
    grid.update(BARS, EXPECTED)
    for spec, totals, equity in zip(RULES, grid.totals, grid.equity, strict=True):
        account = Account(SPEC)
        account.update(BARS, Rule(spec).update(BARS, EXPECTED))
        assert totals == account.totals
        assert equity == account.equity
    assert len({totals.fills for totals in grid.totals}) > 3


def test_cuts_and_restarts_change_no_bit() -> None:
    whole, grid = Grid(RULES, SPEC), Grid(RULES, SPEC)
    whole.update(BARS, EXPECTED)
    at = 0
    for end in (0, 1, 2, 40, 41, 900, 1_500):
        grid.update(BARS[at:end], EXPECTED[at:end])
        grid, at = Grid.restore(RULES, SPEC, grid.snapshot()), end
    assert grid.digest() == whole.digest()
    assert grid.totals == whole.totals


def test_a_snapshot_of_other_rules_is_refused() -> None:
    with pytest.raises(SnapshotError, match="other settings"):
        Grid.restore(RULES[:2], SPEC, Grid(RULES[1:3], SPEC).snapshot())


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    with pytest.raises(SpecError, match="grid: no rules are given"):
        Grid([], SPEC)
    grid = Grid(RULES, SPEC)
    before = grid.digest()
    for expected in (None, [0.0]):
        with pytest.raises(DataError, match="grid: forecast:30,2 needs expected returns"):
            grid.update(minute_bars([1.0, 2.0]), expected)
    assert grid.digest() == before
