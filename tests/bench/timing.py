"""The fastest of some passes: what the code takes when nothing gets in its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_PASSES = 3


def fastest_s(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of some passes, and what it gave; the first, untimed one compiles."""
    found, times = run(), []
    for _ in range(_PASSES):
        began = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - began)
    return min(times), found


def best_ns(run: Callable[[], Any], n: int) -> float:
    """Nanoseconds per item of the fastest of some passes."""
    return fastest_s(run)[0] / n * 1e9
