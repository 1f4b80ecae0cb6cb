"""Latencies, kept as counts in logarithmic buckets: cheap to add to, cheap to read quantiles from."""

from __future__ import annotations

import math
from itertools import accumulate

_PER_OCTAVE = 8
_FIRST_NS = 1_000
_BUCKETS = 30 * _PER_OCTAVE


class LatencyHistogram:
    """Counts from 1 µs to some 1,000 s in steps of 9 %; what lies beyond goes to the last bucket."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0

    def add(self, latency_ns: int) -> None:
        """Count one latency."""
        ratio = latency_ns / _FIRST_NS
        at = int(_PER_OCTAVE * math.log2(ratio)) if ratio > 1.0 else 0
        self._counts[min(at, _BUCKETS - 1)] += 1
        self.count += 1

    def quantile_ms(self, share: float) -> float | None:
        """The latency that `share` of all stay below, in ms, at most 9 % too high; None without any."""
        if not self.count:
            return None
        below = list(accumulate(self._counts))
        at = next(at for at, count in enumerate(below) if count >= share * self.count)
        return float(_FIRST_NS * 2.0 ** ((at + 1) / _PER_OCTAVE) / 1e6)

    def report(self) -> dict[str, float | int | None]:
        """Count and quantiles as plain values."""
        return {
            "count": self.count,
            "p50_ms": self.quantile_ms(0.5),
            "p90_ms": self.quantile_ms(0.9),
            "p99_ms": self.quantile_ms(0.99),
        }
