"""Simulated trading: cuts and restarts change no bit, and nothing depends on what comes later."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import Bars
from features.trading.account import Account, Step
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec
from tests.unit.features.trading.account_reference import minute_bars, random_market

BARS = 240
MARKETS = tuple(random_market(BARS, seed)[0] for seed in (1, 2))
RULES = (
    "long",
    "crossover:3,9",
    "ema_crossover:3,9,5",
    "momentum:4,10",
    "reversal:1.5,8,0.5",
    "forecast:40,3",
    "forecast_size:80,10,0.2",
)
SPECS = (
    TradingSpec(),
    TradingSpec(1e5, 3, 1, 0, False, 3, "capital:2", 2.5, flat_at_session_end=True),
    TradingSpec(1e5, 20, 10, 5, latency_bars=0, sizing="units:300", allow_short=False),
)
FORECASTS = np.where(
    np.random.default_rng(5).random(BARS) < 0.1, np.nan, np.random.default_rng(6).normal(0.0, 0.006, BARS)
)
_CUT = st.tuples(st.integers(0, BARS), st.booleans())


def run(rule: Rule, account: Account, bars: Bars, forecasts: np.ndarray) -> Step:
    return account.update(bars, rule.update(bars, forecasts))


def same(a: Step, b: Step, rows: int) -> bool:
    """Whether two runs are equal bit for bit in the first `rows` bars."""
    fills = [step.fills[step.fills["bar"] < rows].tobytes() for step in (a, b)]
    return fills[0] == fills[1] and a.curve[:, :rows].tobytes() == b.curve[:, :rows].tobytes()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(MARKETS), st.sampled_from(RULES), st.sampled_from(SPECS), st.lists(_CUT, max_size=10))
def test_cuts_and_restarts_change_no_bit(
    bars: Bars, text: str, spec: TradingSpec, cuts: list[tuple[int, bool]]
) -> None:
    named = RuleSpec.parse(text)
    whole = Rule(named), Account(spec)
    want = run(*whole, bars, FORECASTS)
    rule, account = Rule(named), Account(spec)
    parts, at = [], 0
    for end, restore in [*sorted(cuts), (BARS, False)]:
        parts.append(run(rule, account, bars[at:end], FORECASTS[at:end]))
        at = end
        if restore:
            rule = Rule.restore(named, rule.snapshot())
            account = Account.restore(spec, account.snapshot())
    found = Step.concat(parts)
    assert same(found, want, BARS) and found.end_ns.tobytes() == want.end_ns.tobytes()
    assert found.trips.tobytes() == want.trips.tobytes()
    assert (rule.digest(), account.digest()) == (whole[0].digest(), whole[1].digest())


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RULES),
    st.sampled_from(SPECS),
    st.integers(0, BARS),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_nothing_depends_on_later_bars(
    text: str, spec: TradingSpec, known: int, seed: int, shuffled: bool
) -> None:
    """Bars and forecasts from `known` on are shuffled, or replaced by those of another market."""
    bars = MARKETS[0]
    random = np.random.default_rng(seed)
    order = np.concatenate([np.arange(known), known + random.permutation(BARS - known)])
    other = (
        bars.values[:, order]
        if shuffled
        else np.where(np.arange(BARS) < known, bars.values, MARKETS[1].values)
    )
    times = bars.times.copy()
    times[2, known:] += random.integers(0, 3, BARS - known)
    changed = Bars(times, np.ascontiguousarray(other))
    a = run(Rule(RuleSpec.parse(text)), Account(spec), bars, FORECASTS)
    b = run(Rule(RuleSpec.parse(text)), Account(spec), changed, FORECASTS[order])
    assert same(a, b, known)


def test_a_rule_that_looked_ahead_would_be_caught() -> None:
    """The comparison above sees a target that knows the next close."""
    spec = TradingSpec(latency_bars=0)
    up, down = (minute_bars([100.0, 101.0, 100.0, last]) for last in (103.0, 98.0))
    steps = []
    for bars in (up, down):
        foresight = np.append(np.sign(np.diff(bars.column("close"))), 0.0)
        steps.append(Account(spec).update(bars, foresight))
    assert same(*steps, 2) and not same(*steps, 3)
