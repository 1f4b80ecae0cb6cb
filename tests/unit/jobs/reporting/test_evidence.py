"""What answers show, against the same numbers worked out another way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from jobs.reporting.answers import AnswerRows, Evidence, boil_down, together
from jobs.reporting.rolling_skill import LEAST_PANES, Panes, PaneSums, rolling

MINUTE = 60_000_000_000
N = 4_000


def rows(seed: int = 0, size: float = 1e-3) -> AnswerRows:
    """Answers a minute apart with some skill, wide and narrow intervals, some void, some unmoved."""
    random = np.random.default_rng(seed)
    forecast = size * random.normal(size=N)
    outcome = 0.3 * forecast + size * random.normal(size=N)
    width = size * random.uniform(1.0, 4.0, N)
    outcome[::50] = np.nan
    outcome[7::100] = 0.0
    p_up = random.uniform(0.2, 0.8, N)
    return AnswerRows(
        MINUTE * np.arange(1, N + 1), forecast, forecast - width, forecast + width, outcome, p_up
    )


def boiled(given: AnswerRows, cuts: tuple[int, ...] = ()) -> tuple[Panes, Evidence]:
    edges = [0, *cuts, N]

    def chunks() -> Iterator[AnswerRows]:
        for low, high in pairwise(edges):
            yield given[low:high]

    panes = Panes.of(0, N * MINUTE, 2 * MINUTE)
    return panes, boil_down(chunks, panes, 2)


def test_deciles_are_those_of_a_sort() -> None:
    given = rows()
    _, found = boiled(given)
    known = np.isfinite(given.outcome)
    forecast, outcome = given.forecast[known], given.outcome[known]
    order = np.argsort(forecast)
    for group, own in enumerate(np.array_split(order, 10)):
        assert found.by_forecast.count[group] == pytest.approx(len(own), abs=10)
        assert found.by_forecast.mean_expected[group] == pytest.approx(
            forecast[own].mean(), rel=0.1, abs=2e-5
        )
        assert found.by_forecast.mean_found[group] == pytest.approx(outcome[own].mean(), abs=3e-5)
    assert found.by_forecast.count.sum() == known.sum() == found.answers
    assert found.unmoved == np.count_nonzero(outcome == 0.0)
    error = 1.96 * outcome[order[:392]].std() / np.sqrt(392 / 2)
    assert found.by_forecast.error[0] == pytest.approx(error, rel=0.05)


def test_shares_of_widths_and_probabilities_are_counts() -> None:
    given = rows()
    _, found = boiled(given)
    known = given[np.isfinite(given.outcome)]
    inside = (known.lower <= known.outcome) & (known.outcome <= known.upper)
    assert found.by_width.found.sum() == inside.sum()
    assert found.panes.covered.sum() == inside.sum()
    own = (known.p_up >= 0.5) & (known.p_up < 0.55)
    assert found.by_p_up.count[10] == own.sum()
    assert found.by_p_up.mean_found[10] == pytest.approx((known.outcome[own] > 0.0).mean())


def test_chunks_change_nothing() -> None:
    given = rows()
    _, whole = boiled(given)
    _, parts = boiled(given, (1, 7, 1_000, 1_000, 3_999))
    for name in ("by_forecast", "by_width", "by_p_up"):
        assert np.allclose(getattr(whole, name).found, getattr(parts, name).found)
        assert np.array_equal(getattr(whole, name).count, getattr(parts, name).count)
    assert np.allclose(whole.panes.gain, parts.panes.gain)


def test_a_window_has_the_skill_of_its_answers_and_a_band_of_its_panes() -> None:
    given = rows()
    panes, found = boiled(given)
    curve = rolling(found.panes, panes)
    k = panes.window
    assert len(curve.skill) == panes.count - k + 1
    place = panes.number(given.made_at_ns)
    own = np.isfinite(given.outcome) & (place < k)
    y, f = given.outcome[own], given.forecast[own]
    assert curve.skill[0] == pytest.approx(1.0 - np.sum((y - f) ** 2) / np.sum(y**2))
    gain = np.array([np.sum(y[place[own] == p] ** 2 - (y - f)[place[own] == p] ** 2) for p in range(k)])
    naive = np.array([np.sum(y[place[own] == p] ** 2) for p in range(k)])
    spread = np.std(gain - curve.skill[0] * naive, ddof=1) / np.sqrt(k) / naive.mean()
    assert curve.high[0] - curve.skill[0] == pytest.approx(stats.t.ppf(0.975, k - 1) * spread, rel=1e-3)


def test_the_band_holds_as_often_as_it_says() -> None:
    """A forecast exactly as good as naive, slow and over ten overlapping steps: 0 is inside nearly always."""
    random = np.random.default_rng(3)
    draws, n = 300, 1_200
    panes = Panes(0, n - 1, n // (4 * LEAST_PANES))
    inside = 0
    for _ in range(draws):
        forecast = np.repeat(random.normal(size=n // 10), 10)
        steps = np.convolve(random.normal(size=n + 9), np.ones(10), "valid")
        outcome = steps + 0.5 * forecast  # so that f * (2 * y - f) is 0 on average
        sums = PaneSums.nothing(panes)
        sums.add(panes.number(np.arange(n)), forecast, outcome, np.full(n, np.nan))
        first = rolling(sums, panes)
        inside += int(first.low[0] <= 0.0 <= first.high[0])
    assert 0.9 < inside / draws < 0.99


def test_symbols_together_count_by_their_own_size() -> None:
    _, small = boiled(rows(1, 1e-5))
    _, large = boiled(rows(2, 1e-2))
    both = together([small, large])
    assert both.panes.skill == pytest.approx((small.panes.skill + large.panes.skill) / 2)
    assert both.answers == small.answers + large.answers


@pytest.mark.parametrize("count", [0, 1])
def test_next_to_nothing_gives_nothing(count: int) -> None:
    few = rows()[1 : 1 + count]

    def chunks() -> Iterator[AnswerRows]:
        yield few

    for panes in (Panes.of(0, 0, MINUTE), Panes(0, 40 * MINUTE, 40)):
        found = boil_down(chunks, panes, 1)
        assert found.answers == count
        assert np.isnan(rolling(found.panes, panes).skill).all()
        assert np.isnan(found.by_width.mean_found).sum() == 10 - count
