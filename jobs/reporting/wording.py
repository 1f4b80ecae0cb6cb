"""Numbers, times and verdicts as people read them. Plain text: `markup` escapes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

NOTHING = "–"
"""What stands where there is no number."""
MINUS = "−"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_known(value: float | None) -> bool:
    """Whether there is a number: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A number with thousands separators, so many digits after the point."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{abs(value):,.{digits}f}"
    zero = not any(digit in text for digit in "123456789")
    before = "" if zero else MINUS if value < 0.0 else "+" if sign else ""
    return before + text


def count(value: float | None) -> str:
    """A whole number."""
    return number(value, 0)


def percent(share: float | None, digits: int = 2, sign: bool = False) -> str:
    """A share of 1 in percent."""
    return NOTHING if share is None or not math.isfinite(share) else f"{number(100 * share, digits, sign)} %"


def fine_percent(share: float | None, sign: bool = False) -> str:
    """A share of 1 in percent with three significant digits, two after the point at least."""
    if share is None or not math.isfinite(share):
        return NOTHING
    size = abs(100 * share)
    digits = 2 if size >= 1.0 or size == 0.0 else min(6, 2 - math.floor(math.log10(size)))
    return percent(share, max(2, digits), sign)


def bps(log_return: float | None, digits: int = 2) -> str:
    """A log return in basis points."""
    return number(None if log_return is None else 1e4 * log_return, digits)


def significant(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0.0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -5 or size > 11:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return number(value, max(0, digits - 1 - size))


def interval(
    low: float | None, high: float | None, scale: float = 1.0, digits: int = 2, unit: str = ""
) -> str:
    """Two bounds, "0.31 to 1.33 %"; a dash where either is unknown."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    return f"{number(scale * low, digits)} to {number(scale * high, digits)}{unit}"


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None or not math.isfinite(p):
        return NOTHING
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def moment(ns: int | None) -> str:
    """A time in UTC, to the second; "–" for none."""
    if not ns:
        return NOTHING
    return (_EPOCH + timedelta(microseconds=ns // 1_000)).strftime("%Y-%m-%d %H:%M:%S")


def period(start_ns: int, end_ns: int) -> str:
    """A span of time in UTC."""
    if not start_ns or not end_ns:
        return "no time at all"
    return f"{moment(start_ns)} to {moment(end_ns)} UTC"


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: "3 d 4 h", "12 min 5 s", "1.82 s", "4 ms"."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.0:
        return MINUS + duration(-seconds)
    if seconds == 0.0:
        return "0 s"
    if seconds < 1.0:
        return f"{number(1e3 * seconds, 0 if seconds >= 0.01 else 2)} ms"
    if seconds < 60.0:
        return f"{seconds:.3g} s"
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left, parts = round(seconds), []
    for unit, size in sizes:
        if left >= size:
            parts.append(f"{left // size:,} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])


def many(n: int, one: str, several: str = "") -> str:
    """A count with its noun: "1 symbol", "13 symbols"."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def setting(value: Any) -> str:
    """The value of a setting, lists and mappings flattened."""
    if value is None or value == "" or value == [] or value == ():
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {setting(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(one) for one in value)
    if isinstance(value, float):
        return f"{value:,.10g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
