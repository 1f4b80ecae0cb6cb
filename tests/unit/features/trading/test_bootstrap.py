"""Resamples hang together as they should, and intervals cover what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.errors import ConfigError, DataError
from features.trading.bootstrap import BootstrapSpec, block_length, interval, resample_rows


def autoregressive(share: float, n: int, seed: int) -> np.ndarray:
    """x = share * the one before + noise, from its own long run."""
    shocks = np.random.default_rng(seed).normal(0.0, 1.0, n + 100)
    series = np.zeros(n + 100)
    for i in range(1, n + 100):
        series[i] = share * series[i - 1] + shocks[i]
    return series[100:]


def test_blocks_have_the_mean_length_and_every_row_the_same_chance() -> None:
    n, block = 200, 8.0
    drawn = [resample_rows(n, block, 3, draw) for draw in range(500)]
    follows = np.mean([(np.diff(rows) % n == 1).mean() for rows in drawn])
    # The next row follows unless a block ends, or by chance after it has.
    assert follows == pytest.approx(1 - (1 / block) * (1 - 1 / n), abs=0.004)
    counts = np.bincount(np.concatenate(drawn), minlength=n)
    assert counts.min() > 350 and counts.max() < 650
    assert resample_rows(n, 1.0, 3, 0).tolist() != list(range(n))


def test_a_draw_depends_on_its_seed_and_number_alone() -> None:
    assert resample_rows(50, 5.0, 1, 7).tolist() == resample_rows(50, 5.0, 1, 7).tolist()
    assert resample_rows(50, 5.0, 1, 7).tolist() != resample_rows(50, 5.0, 1, 8).tolist()
    assert resample_rows(50, 5.0, 1, 7).tolist() != resample_rows(50, 5.0, 2, 7).tolist()


def plain_rows(n: int, block: float, seed: int, draw: int) -> list[int]:
    """SplitMix64 and the blocks in plain Python."""
    rows: list[int] = []
    step = 0x9E3779B97F4A7C15
    state = mixed(mixed(seed) + draw * step)
    while len(rows) < n:
        u, v = (float(mixed(state + i * step) >> 11) / 2**53 for i in (1, 2))
        state += 2 * step
        length = 1 + math.floor(math.log(1 - u) / math.log1p(-1 / block))
        rows += [(int(v * n) + i) % n for i in range(length)]
    return rows[:n]


def mixed(x: int) -> int:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x %= 2**64
        x = (x ^ (x >> shift)) * factor % 2**64
    return x ^ (x >> 31)


def test_draws_are_the_same_on_every_machine() -> None:
    assert resample_rows(6, 2.0, 0, 0).tolist() == [2, 3, 4, 5, 5, 1]
    for seed, draw in ((0, 0), (1, 5), (2**62, 1999)):
        assert resample_rows(300, 6.5, seed, draw).tolist() == plain_rows(300, 6.5, seed, draw)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_the_chosen_block_length_is_near_the_best_one(share: float) -> None:
    """Of an autoregressive series it is known: (2 share / (1 - share^2))^(2/3) n^(1/3)."""
    found = np.mean([block_length(autoregressive(share, 4_000, seed)) for seed in range(20)])
    best = (2 * share / (1 - share**2)) ** (2 / 3) * 4_000 ** (1 / 3)
    assert found == pytest.approx(best, rel=0.15)


def test_block_lengths_have_limits() -> None:
    assert np.mean([block_length(autoregressive(0.0, 1_000, seed)) for seed in range(10)]) < 3
    few = [block_length(np.random.default_rng(seed).normal(size=8)) for seed in range(200)]
    assert (min(few), max(few)) == (1.0, 3.0)
    assert block_length(np.ones(50)) == block_length([1.0, 2.0]) == 1.0
    two = np.column_stack([autoregressive(0.8, 500, 1), autoregressive(0.0, 500, 2)])
    assert block_length(two) == block_length(two[:, 0])


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """The mean of 400 values that hang together is 0; independent draws would promise far too much."""

    def covered(block: float | None) -> float:
        found = [
            interval(autoregressive(0.5, 400, seed), spec=BootstrapSpec(300, 0.9, seed, block))
            for seed in range(300)
        ]
        return float(np.mean([one.lower <= 0.0 <= one.upper for one in found]))

    assert 0.82 < covered(None) < 0.95
    assert covered(1.0) < 0.75


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mean", np.mean),
        ("sharpe", lambda x: x.mean() / x.std(ddof=1)),
        ("total_return", lambda x: np.prod(1.0 + x) - 1.0),
    ],
    ids=["mean", "sharpe", "total_return"],
)
def test_compiled_statistics_are_the_plain_ones(name: str, function) -> None:  # type: ignore[no-untyped-def]
    returns = 0.01 * autoregressive(0.4, 300, 5) + 1e-3
    spec = BootstrapSpec(draws=200, seed=9)
    compiled, plain = interval(returns, name, spec), interval(returns, function, spec)
    for field in ("estimate", "lower", "upper", "standard_error", "share_above_zero", "block"):
        assert getattr(compiled, field) == pytest.approx(getattr(plain, field), rel=1e-9)


def test_rows_of_several_columns_are_drawn_together() -> None:
    pair = np.column_stack([autoregressive(0.3, 200, 1), autoregressive(0.3, 200, 1) - 0.25])
    found = interval(pair, lambda rows: float((rows[:, 0] - rows[:, 1]).mean()))
    assert (found.lower, found.upper) == pytest.approx((0.25, 0.25))
    assert found.share_above_zero == 1.0


def test_what_is_not_finite_is_left_out_and_too_little_is_nan() -> None:
    returns = autoregressive(0.2, 100, 3)
    holed = np.insert(returns, 50, [math.nan, math.inf])
    assert interval(holed) == interval(returns)
    for few in ([], [0.1], [0.1, math.nan, 0.2, 0.3]):
        found = interval(few)
        assert math.isnan(found.lower) and found.draws == 0
        assert found.as_dict()["estimate"] is None
    still = interval(np.full(50, 0.1), "sharpe")
    assert math.isnan(still.estimate) and still.draws == 0
    assert interval(np.full(50, -2.0), "total_return").estimate == -1.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draws": 0}, "bootstrap.draws: 0 draws can't be; use 1000 or more"),
        ({"coverage": 1.0}, "bootstrap.coverage: 1.0 is no coverage; use one like 0.9"),
        ({"seed": -1}, "bootstrap.seed: -1 is no seed; use a whole number from 0"),
        ({"block": 0.5}, "bootstrap.block: blocks of 0.5 can't be; use 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BootstrapSpec(**settings)
    assert str(caught.value) == said


def test_unknown_statistics_and_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown statistic 'median'; use one of: mean, sharpe, "):
        interval(np.ones(10), "median")
    with pytest.raises(DataError, match=r"values have shape \(5, 2\); a named statistic takes \(n,\)"):
        interval(np.ones((5, 2)))
