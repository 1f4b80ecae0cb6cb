"""When an event is due: event time mapped to seconds since the exchange opened. No clock here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import ConfigError


def parse_speed(text: str) -> float:
    """ "1", "120" or "max" (infinity). Raises ConfigError."""
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (0 < speed < math.inf):
        raise ConfigError(f"speed {text!r} can't be used", fix='give a number above zero, or "max"')
    return speed


class Pacer:
    """Event times of one source, block after block, as seconds since the start.

    `speed` is finite, and `start_ns` the event time of the start. Without `skip_idle_s` an event is due
    at (ts - start) / speed. With it, a stretch without events that would take longer takes that long.
    """

    def __init__(self, speed: float, skip_idle_s: float | None, start_ns: int) -> None:
        self._speed = speed
        self._skip_idle_s = skip_idle_s
        self.start_ns = start_ns
        self._last_ns = start_ns
        self._last_due_s = 0.0

    def due_s(self, ts_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """When the next events are due. Never falls; equal for events of one instant."""
        if self._skip_idle_s is None:
            return (ts_ns - self.start_ns) / (1e9 * self._speed)
        gaps = np.diff(ts_ns, prepend=self._last_ns) / (1e9 * self._speed)
        due = self._last_due_s + np.cumsum(np.minimum(gaps, self._skip_idle_s))
        self._last_ns = int(ts_ns[-1])
        self._last_due_s = float(due[-1])
        return due


@dataclass(frozen=True, slots=True)
class Opening:
    """How publishing began: `at_s` by the publisher's clock, and the pace from there on.

    `at_s` may lie before the process itself, or ahead of it. `pacer` is None at full speed.
    """

    at_s: float
    pacer: Pacer | None
