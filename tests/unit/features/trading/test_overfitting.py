"""Published numbers, a split worked out by hand, and cases whose answer is known."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from features.errors import ConfigError, DataError
from features.trading.overfitting import (
    SharpeEvidence,
    backtest_overfitting,
    deflated_sharpe,
    expected_max_sharpe,
    independent_trials,
    probabilistic_sharpe,
)


def noise(n: int, k: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (n, k))


# Published numbers


@pytest.mark.parametrize(
    ("skew", "kurtosis", "published"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)], ids=["normal", "real"]
)
def test_probabilistic_sharpe_of_the_papers_hedge_fund(
    skew: float, kurtosis: float, published: float
) -> None:
    """Bailey & Lopez de Prado 2012: two years of months, a ratio of 0.458 a month."""
    assert SharpeEvidence(0.458, 24, skew, kurtosis).above(0.0) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(
    ("per_year", "skew", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
    ids=["days", "weeks", "months", "months of hedge funds"],
)
def test_least_track_record_for_a_yearly_ratio_of_two_against_one(
    per_year: int, skew: float, kurtosis: float, years: float
) -> None:
    """The same paper's examples at 95 % confidence."""
    found = SharpeEvidence(2 / math.sqrt(per_year), 0, skew, kurtosis)
    assert found.least_count(1 / math.sqrt(per_year)) / per_year == pytest.approx(years, abs=5e-3)


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "published"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_deflated_sharpe_of_the_papers_example(
    trials: int, skew: float, kurtosis: float, published: float
) -> None:
    """Bailey & Lopez de Prado 2014: a yearly 2.5 over 1,250 days, the trials' yearly variance being 1/2."""
    luck = expected_max_sharpe(trials, 0.5 / 250)
    found = SharpeEvidence(2.5 / math.sqrt(250), 1250, skew, kurtosis).above(luck)
    assert found == pytest.approx(published, abs=5e-5)
    if trials == 100:
        assert luck == pytest.approx(0.1132, abs=5e-5)


def test_pure_overfitting_has_probability_one() -> None:
    """Bailey et al. 2015, full overfit: where all ratios of the whole are 0, winners inside lose outside."""
    returns = noise(320, 30)
    returns -= returns.mean(axis=0)
    found = backtest_overfitting(returns / returns.std(axis=0))
    assert found.probability == 1.0 and found.probability_of_loss == 1.0
    assert len(found.logits) == 12_870  # halves of 16 blocks
    assert found.slope < -0.9


# By simulation and by hand


def test_expected_maximum_is_that_of_simulated_trials() -> None:
    best = np.random.default_rng(2).normal(0.0, 0.3, (20_000, 50)).max(axis=1).mean()
    assert expected_max_sharpe(50, 0.09) == pytest.approx(best, rel=0.02)
    assert expected_max_sharpe(1, 0.09) == 0.0


def test_probabilistic_sharpe_is_right_as_often_as_it_says() -> None:
    """Of samples without skill, a tenth have a probability above 90 %."""
    samples = noise(5_000, 60)
    share = np.mean([probabilistic_sharpe(sample) > 0.9 for sample in samples])
    assert share == pytest.approx(0.1, abs=0.015)


def test_deflated_sharpe_is_the_probabilistic_one_against_luck() -> None:
    returns = noise(500, 20)
    sharpes = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    best = returns[:, sharpes.argmax()]
    luck = expected_max_sharpe(20, statistics.variance(sharpes))
    assert deflated_sharpe(best, sharpes) == pytest.approx(probabilistic_sharpe(best, luck))
    assert deflated_sharpe(best, sharpes) < 0.9 < probabilistic_sharpe(best)
    assert deflated_sharpe(best, sharpes, trials=2.0) > deflated_sharpe(best, sharpes)
    assert deflated_sharpe(best, [sharpes.max()]) == probabilistic_sharpe(best)


def plain_overfitting(matrix: np.ndarray, blocks: int) -> list[float]:
    """Logits of all splits, in plain Python."""
    parts = np.array_split(matrix, blocks)
    logits = []
    for inside in itertools.combinations(range(blocks), blocks // 2):
        halves = [
            np.concatenate([part for i, part in enumerate(parts) if (i in inside) == want])
            for want in (True, False)
        ]
        ratios = [
            [statistics.fmean(column) / statistics.stdev(column) for column in half.T.tolist()]
            for half in halves
        ]
        winner = ratios[0].index(max(ratios[0]))
        rank = sorted(ratios[1]).index(ratios[1][winner]) + 1
        share = rank / (matrix.shape[1] + 1)
        logits.append(math.log(share / (1 - share)))
    return logits


def test_every_split_agrees_with_plain_python() -> None:
    returns = noise(63, 7) + 1e-3
    logits = plain_overfitting(returns[-60:], 6)
    found = backtest_overfitting(returns, blocks=6)  # the oldest three rows fit in no block
    assert found.logits.tolist() == pytest.approx(logits)
    assert found.probability == np.mean(np.array(logits) <= 1e-12)


def test_no_skill_is_a_coin_and_real_skill_is_not() -> None:
    coins = [backtest_overfitting(noise(200, 20, seed), blocks=8).probability for seed in range(40)]
    assert np.mean(coins) == pytest.approx(0.5, abs=0.1)
    returns = noise(400, 20)
    returns[:, 7] += 0.005
    found = backtest_overfitting(returns, blocks=8)
    assert found.probability == found.probability_of_loss == 0.0


def test_variants_that_are_the_same_say_nothing() -> None:
    same = np.repeat(noise(100, 1), 5, axis=1)
    assert math.isnan(backtest_overfitting(same).probability)
    assert math.isnan(backtest_overfitting(np.zeros((100, 3))).probability)


def test_trials_that_hang_together_count_less() -> None:
    independent = noise(5_000, 10)
    assert independent_trials(independent) == pytest.approx(10, abs=0.2)
    assert independent_trials(np.repeat(independent[:, :1], 10, axis=1)) == pytest.approx(1.0)
    half = independent + independent[:, :1] * np.ones(10)
    assert 1.0 < independent_trials(half) < 7.0
    assert independent_trials(np.zeros((50, 4))) == 4.0
    assert independent_trials(independent[:, :1]) == 1.0


# Nothing to judge


def test_what_cannot_be_computed_is_nan() -> None:
    for returns in ([], [0.01], [0.01, 0.01, 0.01], [math.nan, 0.01]):
        assert math.isnan(probabilistic_sharpe(returns))
        assert math.isnan(deflated_sharpe(returns, [0.1, 0.2]))
    # A shape that no sample has leaves the variance below zero.
    assert math.isnan(SharpeEvidence(2.0, 100, 5.0, 3.0).above())
    assert SharpeEvidence(-0.1, 100).least_count() == math.inf


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 trials can't be"):
        expected_max_sharpe(0, 1.0)
    with pytest.raises(ConfigError, match=r"overfitting\.blocks: 5 blocks can't be; use 2, 4 \.\.\. 20"):
        backtest_overfitting(noise(100, 4), blocks=5)
    with pytest.raises(DataError, match="20 periods of 4 variants are too few for 16 blocks"):
        backtest_overfitting(noise(20, 4))
    with pytest.raises(DataError, match=r"not \(periods, variants\)"):
        backtest_overfitting(np.zeros(10))
    with pytest.raises(ConfigError, match=r"1\.0 is no confidence"):
        SharpeEvidence(0.1, 10).least_count(confidence=1.0)
