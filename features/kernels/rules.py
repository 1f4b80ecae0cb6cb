"""The kernels of trading rules: what is known at the end of each bar in, target positions out.

All have the same form. `p` are the rule's arguments, `s` its state (the constants below, then what the rule
keeps), `session` and `close` (n,) are the bars', `expected` (n,) the forecasts made at their ends; the target
goes into `out` (n,). A bar without a price leaves state and target as they were. Windows begin anew in every
session.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from features.kernels.window import log_ratio, slide_moments, slide_sum

# Places in the state that all rules share; their own begin at OWN.
AGE, SESSION, TARGET, OWN = range(4)


@njit(inline="always")
def _void(s: Any, session: int, close: float) -> bool:
    """Begin a new session where there is one; whether the bar has no price."""
    if session != s[SESSION]:
        s[SESSION], s[AGE], s[TARGET] = session, 0.0, 0.0
    return not 0.0 < close < math.inf


@njit(inline="always")
def _side(value: float, limit: float) -> float:
    if value > limit:
        return 1.0
    return -1.0 if value < -limit else 0.0


@njit(cache=True)
def constant(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """The same target always."""
    for i in range(out.size):
        out[i] = p[0]


@njit(cache=True)
def crossover(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """Side of the fast mean of n closes against the slow one. State: two block sums, two buffers."""
    fast, slow, band = int(p[0]), int(p[1]), p[2] * 1e-4
    first, second = s[OWN + 2 : OWN + 2 + fast], s[OWN + 2 + fast :]
    fast_share, slow_share = 1.0 / fast, 1.0 / slow
    block, slow_block, age, now = s[OWN], s[OWN + 1], int(s[AGE]), s[SESSION]
    r, q = age % fast, age % slow
    for i in range(out.size):
        if session[i] != now:
            now = session[i]
            s[TARGET] = block = slow_block = 0.0
            age = r = q = 0
        x = close[i]
        if not 0.0 < x < math.inf:
            out[i] = s[TARGET]
            continue
        total, block = slide_sum(first, fast, r, x, block)
        slow_total, slow_block = slide_sum(second, slow, q, x, slow_block)
        age += 1
        r = r + 1 if r < fast - 1 else 0
        q = q + 1 if q < slow - 1 else 0
        target = 0.0
        if age >= slow:
            mean = slow_total * slow_share
            target = _side(total * fast_share - mean, band * mean)
        out[i] = s[TARGET] = target
    s[OWN], s[OWN + 1], s[AGE], s[SESSION] = block, slow_block, age, now


@njit(cache=True)
def ema_crossover(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """Side of the fast exponential average against the slow one. State: the two averages."""
    a_fast, a_slow, slow, band = 2.0 / (p[0] + 1.0), 2.0 / (p[1] + 1.0), p[1], p[2] * 1e-4
    for i in range(out.size):
        x = close[i]
        if not _void(s, session[i], x):
            if s[AGE] == 0.0:
                s[OWN] = s[OWN + 1] = x
            s[OWN] += a_fast * (x - s[OWN])
            s[OWN + 1] += a_slow * (x - s[OWN + 1])
            s[AGE] += 1.0
            if s[AGE] >= slow:
                s[TARGET] = _side(s[OWN] - s[OWN + 1], band * s[OWN + 1])
        out[i] = s[TARGET]


@njit(cache=True)
def momentum(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """Side of the log return over n bars. State: the last n closes."""
    n, limit = int(p[0]), p[1] * 1e-4
    for i in range(out.size):
        x = close[i]
        if not _void(s, session[i], x):
            age = int(s[AGE])
            place = OWN + age % n
            if age >= n:
                s[TARGET] = _side(log_ratio(x, s[place]), limit)
            s[place] = x
            s[AGE] += 1.0
        out[i] = s[TARGET]


@njit(cache=True)
def reversal(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """Against closes far from their mean, until they are back. State: shift, two sums, two buffers."""
    enter, n, leave = p[0], int(p[1]), p[2]
    first, second = s[OWN + 3 : OWN + 3 + n], s[OWN + 3 + n :]
    for i in range(out.size):
        x = close[i]
        if not _void(s, session[i], x):
            age = int(s[AGE])
            if age == 0:
                s[OWN], s[OWN + 1], s[OWN + 2] = x, 0.0, 0.0
            offset, variance, s[OWN], s[OWN + 1], s[OWN + 2] = slide_moments(
                first, second, n, 1.0 / n, age % n, x, s[OWN], s[OWN + 1], s[OWN + 2]
            )
            s[AGE] += 1.0
            if age >= n - 1:
                z = ((x - s[OWN]) - offset) / math.sqrt(variance) if variance > 0.0 else 0.0
                if abs(z) > enter:
                    s[TARGET] = -1.0 if z > 0.0 else 1.0
                elif s[TARGET] * z >= -leave * abs(s[TARGET]):
                    s[TARGET] = 0.0
        out[i] = s[TARGET]


@njit(cache=True)
def forecast(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """Side of the expected return where it is beyond a limit, for some bars. State: bars left."""
    limit, hold = p[0] * 1e-4, p[1]
    for i in range(out.size):
        if not _void(s, session[i], close[i]):
            s[OWN] = s[OWN] - 1.0 if s[AGE] > 0.0 else 0.0
            s[AGE] = 1.0
            side = _side(expected[i], limit)
            if side != 0.0:
                s[TARGET], s[OWN] = side, hold
            elif s[OWN] <= 0.0:
                s[TARGET] = s[OWN] = 0.0
        out[i] = s[TARGET]


@njit(cache=True)
def forecast_size(p: Any, s: Any, session: Any, close: Any, expected: Any, out: Any) -> None:
    """The expected return as a share of a scale, moved only by steps. No state of its own."""
    scale, limit, step = p[0] * 1e-4, p[1] * 1e-4, p[2]
    for i in range(out.size):
        if not _void(s, session[i], close[i]):
            x = expected[i]
            target = min(max(x / scale, -1.0), 1.0) if abs(x) > limit else 0.0
            if target == 0.0 or abs(target - s[TARGET]) >= step:
                s[TARGET] = target
        out[i] = s[TARGET]


@njit(cache=True)
def means(n: int, s: Any, session: Any, close: Any, out: Any) -> None:
    """Mean of the last n closes, as `crossover` has it, for rules that share it; NaN until there are n.

    State (4 + n): age, session, block sum, last mean, buffer.
    """
    buffer, share = s[4:], 1.0 / n
    age, now, block, mean = int(s[0]), s[1], s[2], s[3]
    r = age % n
    for i in range(out.size):
        if session[i] != now:
            now, block, mean = session[i], 0.0, math.nan
            age = r = 0
        x = close[i]
        if 0.0 < x < math.inf:
            total, block = slide_sum(buffer, n, r, x, block)
            age += 1
            r = r + 1 if r < n - 1 else 0
            mean = total * share if age >= n else math.nan
        out[i] = mean
    s[0], s[1], s[2], s[3] = age, now, block, mean


@njit(cache=True)
def sides(fast: Any, slow: Any, band_bps: float, out: Any) -> None:
    """The targets of `crossover` from means that `means` has made."""
    band = band_bps * 1e-4
    for i in range(out.size):
        out[i] = _side(fast[i] - slow[i], band * slow[i])
