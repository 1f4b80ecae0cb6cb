"""The slope of a noisy series over time, with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_BLOCKS = 12
_LEAST_BLOCKS = 4
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope with the interval that holds it with a probability of 95 %."""

    per_hour: float
    low: float
    high: float


UNKNOWN = Trend(math.nan, -math.inf, math.inf)


def trend(at_s: Sequence[float], values: Sequence[float]) -> Trend:
    """The slope of a series per hour: Theil and Sen's, over the medians of twelve blocks of time.

    A few readings that stand out move neither slope nor interval. Neighbouring readings are alike, so that
    an interval from all of them would be too narrow. Unknown from fewer than four readings.
    """
    blocks = [part for part in np.array_split(np.arange(len(at_s)), _BLOCKS) if len(part)]
    if len(blocks) < _LEAST_BLOCKS:
        return UNKNOWN
    times_h = [float(np.median(np.take(at_s, part))) / _HOUR_S for part in blocks]
    medians = [float(np.median(np.take(values, part))) for part in blocks]
    found = stats.theilslopes(medians, times_h, 0.95)
    return Trend(float(found.slope), float(found.low_slope), float(found.high_slope))
