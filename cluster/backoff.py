"""When to try again: growing waits with jitter, and a venue's limit on connection attempts.

Pure: the caller brings the time and the randomness, and does the waiting.
"""

from __future__ import annotations

import random
from collections import deque
from datetime import UTC
from email.utils import parsedate_to_datetime

TIME_HEALS = frozenset({408, 418, 425, 429})
"""HTTP refusals that are worth another attempt; 418 is Binance's word for a 429 that was not obeyed."""
_LONGEST_RETRY_AFTER_DIGITS = 9


class Backoff:
    """Waits between attempts: `first_s`, then up to base, 2 base, 4 base ... and at most `max_s`.

    `jitter` is the random share of a wait: 1 draws it evenly between 0 and its bound, so that a
    hundred feeds cut at the same instant don't come back at the same instant; 0 always waits the
    bound.
    """

    def __init__(
        self, first_s: float, base_s: float, max_s: float, jitter: float, rng: random.Random
    ) -> None:
        self._first_s = first_s
        self._base_s = base_s
        self._max_s = max_s
        self._jitter = jitter
        self._rng = rng
        self._failures = 0

    def next_s(self) -> float:
        """The wait before the next attempt; counts that attempt."""
        failures, self._failures = self._failures, self._failures + 1
        if failures == 0:
            return self._first_s
        exponent = min(failures - 1, 32)  # 2**32 times any base is past any bound
        bound = min(self._max_s, self._base_s * 2.0**exponent)
        return bound * (1.0 - self._jitter * self._rng.random())

    def reset(self) -> None:
        """Called when a connection has proved good: the next wait is `first_s` again."""
        self._failures = 0


class AttemptLimit:
    """At most `attempts` within any `window_s` seconds, on any clock that only goes forward."""

    def __init__(self, attempts: int, window_s: float) -> None:
        self._attempts = attempts
        self._window_s = window_s
        self._made: deque[float] = deque()

    def wait_s(self, now_s: float) -> float:
        """How long an attempt has to wait; 0 when it may be made now."""
        while self._made and self._made[0] <= now_s - self._window_s:
            self._made.popleft()
        if len(self._made) < self._attempts:
            return 0.0
        return self._made[0] + self._window_s - now_s

    def note(self, now_s: float) -> None:
        """Called when an attempt is made."""
        self._made.append(now_s)


def retry_after_s(header: str | None, now_ns: int) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3); None if it asks for none.

    It holds seconds or a date; a date in the past is 0, unreadable text is None.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:_LONGEST_RETRY_AFTER_DIGITS])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now_ns / 1e9)
