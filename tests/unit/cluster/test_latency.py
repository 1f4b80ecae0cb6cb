"""Quantiles from logarithmic buckets: never too low, at most 9 % too high."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cluster.latency import LatencyHistogram


def filled(latencies_ns: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for latency in latencies_ns:
        histogram.add(latency)
    return histogram


def test_without_latencies_there_are_no_quantiles() -> None:
    assert filled([]).report() == {"count": 0, "p50_ms": None, "p90_ms": None, "p99_ms": None}


@pytest.mark.parametrize("exact_ns", [1_001, 2_000, 8_000, 123_456, 10**6, 5 * 10**7, 3 * 10**9, 9 * 10**11])
def test_a_quantile_is_at_most_9_percent_too_high(exact_ns: int) -> None:
    got = filled([exact_ns]).quantile_ms(0.5)
    assert got is not None
    assert exact_ns / 1e6 <= got <= 1.0906 * exact_ns / 1e6


def test_quantiles_are_those_of_the_sorted_latencies() -> None:
    latencies = np.random.default_rng(0).lognormal(math.log(2e6), 1.0, 5000).astype(int)
    histogram = filled(latencies.tolist())
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = np.sort(latencies)[math.ceil(share * 5000) - 1] / 1e6
        got = histogram.quantile_ms(share)
        assert got is not None
        assert exact <= got <= 1.0906 * exact


def test_latencies_below_a_microsecond_or_below_zero_go_to_the_first_bucket() -> None:
    assert filled([-(10**9), 0, 5, 1000]).quantile_ms(1.0) == pytest.approx(0.00109, rel=0.01)


def test_what_lies_beyond_goes_to_the_last_bucket() -> None:
    got = filled([10**15]).quantile_ms(0.5)
    assert got == pytest.approx(1e-3 * 2**30)


def test_the_report_is_plain_json() -> None:
    report = filled([10**6] * 99 + [10**8]).report()
    assert json.loads(json.dumps(report)) == report
    assert report["count"] == 100
    assert report["p50_ms"] == report["p90_ms"] == report["p99_ms"] == pytest.approx(1.0, rel=0.1)
