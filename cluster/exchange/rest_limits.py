"""The request weight limit of REST: so much per minute of the wall clock, as the venue counts it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one request: let in or not, the weight used this minute, when to come back."""

    admitted: bool
    used: int
    retry_after_s: int


class WeightLimit:
    """Weight used in the current minute. `now_s` is wall time, seconds since 1970."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.refused = 0
        self._minute = -1
        self._used = 0

    def admit(self, weight: int, now_s: float) -> Admission:
        """Charge a request; refused ones are charged nothing."""
        minute = int(now_s // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        if self._used + weight > self.per_minute:
            self.refused += 1
            return Admission(False, self._used, max(1, math.ceil((minute + 1) * 60 - now_s)))
        self._used += weight
        return Admission(True, self._used, 0)
