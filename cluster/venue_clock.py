"""What time it is at the venue, judged from what it sends.

Our clock and the venue's differ, by a second and more on real machines. The smallest difference
between receipt and event time of late is clock skew plus the fastest way here: the best estimate of
"venue time now" is our clock less that difference. It stamps quotes that carry no time of their own
and says when a time bar is over though no tick has come.
"""

from __future__ import annotations

from collections import deque

_WINDOW_NS = 60_000_000_000


class VenueClock:
    """Sliding minimum of (received - event time) over the last minute of receipts."""

    def __init__(self) -> None:
        self._least: deque[tuple[int, int]] = deque()

    def observe(self, event_ns: int, received_ns: int) -> None:
        """Learn from an event that carries the venue's time."""
        lag = received_ns - event_ns
        least = self._least
        while least and least[-1][1] >= lag:
            least.pop()
        least.append((received_ns, lag))
        while least[0][0] < received_ns - _WINDOW_NS:
            least.popleft()

    @property
    def lag_ns(self) -> int | None:
        """Our clock minus the venue's, with the fastest way here; None before the first event."""
        return self._least[0][1] if self._least else None

    def venue_ns(self, now_ns: int) -> int | None:
        """The venue's time when our clock says `now_ns`; None before the first event."""
        return now_ns - self._least[0][1] if self._least else None
