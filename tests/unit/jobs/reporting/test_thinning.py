"""Thinned curves: no peak and no trough is lost, and parts give what the whole gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jobs.reporting.thinning import Thinner, thinned

CURVES = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300)


@given(CURVES, st.integers(4, 80))
def test_ends_and_extremes_stay_and_points_are_few(values: list[float], most: int) -> None:
    y = np.array(values, np.float64)
    x, kept = thinned(np.arange(len(y)), y, most)
    known = y[np.isfinite(y)]
    assert len(kept) <= most
    assert np.array_equal(y[x], kept)
    assert np.all(np.diff(x) > 0)
    if len(known):
        assert (kept[0], kept[-1], kept.min(), kept.max()) == (known[0], known[-1], known.min(), known.max())
    else:
        assert len(kept) == 0


@given(CURVES, st.integers(4, 80), st.lists(st.integers(0, 300), max_size=5))
def test_parts_give_what_the_whole_gives(values: list[float], most: int, cuts: list[int]) -> None:
    y = np.array(values, np.float64)
    x = np.arange(len(y))
    thinner = Thinner(len(y), most)
    edges = [0, *sorted(min(cut, len(y)) for cut in cuts), len(y)]
    for low, high in pairwise(edges):
        thinner.add(x[low:high], y[low:high])
    for whole, parts in zip(thinned(x, y, most), thinner.curve(), strict=True):
        assert np.array_equal(whole, parts)


def test_every_stretch_keeps_its_own_extremes() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=10_000)
    x, _ = thinned(np.arange(10_000), y, 400)
    for stretch in range(100):
        own = np.arange(100 * stretch, 100 * stretch + 100)
        assert {own[0], own[-1], own[y[own].argmin()], own[y[own].argmax()]} == set(x) & set(own)


def test_a_short_curve_stays_as_it_is() -> None:
    y = np.arange(50.0)
    assert np.array_equal(thinned(np.arange(50), y, 60)[1], y)
