"""Numbers as venues write them: decimal text to the nearest float64, and nothing else."""

from __future__ import annotations

import math
import re

_is_decimal = re.compile(r"[0-9]+(?:\.[0-9]+)?").fullmatch
_SHOWN = 40


def decimal(text: str) -> float:
    """The float64 nearest to an unsigned decimal text such as "61837.63000000".

    Stricter than float(), which also takes "nan", "inf", "1_0", " 1", "-1" and "1e5": none of
    these is a price or a size, and one that slips through poisons every feature after it.
    Raises ValueError for those, and for a number too large for a float64.
    """
    if _is_decimal(text) is None:
        raise ValueError(f"{text[:_SHOWN]!r} is not a decimal number")
    value = float(text)
    if value == math.inf:
        raise ValueError(f"{text[:_SHOWN]!r} is too large")
    return value


def positive_decimal(text: str) -> float:
    """As `decimal`, and above 0. Raises ValueError otherwise."""
    value = decimal(text)
    if value <= 0.0:
        raise ValueError(f"{text[:_SHOWN]!r} is not above 0")
    return value
